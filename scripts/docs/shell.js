'use strict'

// The lines of the `sh` blocks in README and docs/, and who runs each as it stands there. A test compares this table with the pages.

const fs = require('node:fs')
const path = require('node:path')

const { PAGES } = require('./pages.js')
const { root } = require('../process.js')

/**
 * `test`: __test__/package/shell.test.js; `quick`: `npm run rehearse -- --quick`, so each run of CI; `rehearsal`: `npm run rehearse`;
 * `{ not }`: nobody, and why.
 * @typedef {'test' | 'quick' | 'rehearsal' | { not: string }} Runner
 */

/** @type {Record<string, Runner>} */
const LINES = {
  'npm install keepwire': 'quick',
  'npm run demo': 'quick',
  'npm run demo -- --dashboard': 'quick',
  'npm run demo -- http://example.com/': 'test',
  'npm run package': 'quick',
  'cd ../project': 'quick',
  'npm install ../keepwire/target/package/*.tgz': 'quick',
  'npm install ../keepwire/target/package/*.tgz axios': 'quick',
  'npm install ../keepwire --foreground-scripts': 'rehearsal',
  'npm install git+https://example.com/keepwire.git': {
    not: 'needs a public repository; the rehearsal installs from one in a folder',
  },
  'node --require keepwire/register program.js': 'test',
  'bun --preload keepwire/register program.js': 'test',
  'deno run -A --require ./node_modules/keepwire/lib/register.js program.js': 'test',
  'KEEPWIRE_FETCH=1 node --require keepwire/register program.js': 'test',
  'KEEPWIRE_DASHBOARD=9230 node --require keepwire/register app.js': 'test',
  'npx keepwire check https://example.com/ --idle': 'test',
  'npx keepwire top 9230 --sort failed': 'test',
  'npx keepwire bench http://localhost:3000/ -c 50 -d 10 --vs node,undici': 'test',
  'esbuild app.js --bundle --platform=node --external:keepwire --outfile=out/app.js': 'rehearsal',
  'npm run bench': {
    not: 'takes a quarter of an hour, and needs a machine that does nothing else',
  },
}

/** @typedef {{ page: string, language: string, code: string }} Block */

/** @param {string} page @returns {Block[]} */
function blocksOf(page) {
  const text = fs.readFileSync(path.join(root, page), 'utf8')
  return Array.from(text.matchAll(/^```(.*)\n([\s\S]*?)^```$/gm), ([, language, code]) => ({ page, language, code }))
}

/** All blocks of code in the pages of the site. */
const allBlocks = () => PAGES.flatMap(blocksOf)

/** The lines of a block, without comments. @param {Block} block */
const linesOf = ({ code }) =>
  code
    .split('\n')
    .map((line) => line.replace(/(^|\s+)# .*$/, '').trim())
    .filter((line) => line !== '')

/** @param {Runner} runner */
const linesFor = (runner) => Object.keys(LINES).filter((line) => LINES[line] === runner)

module.exports = { LINES, allBlocks, linesFor, linesOf }
