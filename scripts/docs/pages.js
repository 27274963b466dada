'use strict'

// The pages of the docs site, in the order of its sidebar. They are files of the repository as they stand there: a link that leads
// from one to another on GitHub does so on the site.

const fs = require('node:fs')
const path = require('node:path')

const { root } = require('../process.js')

/**
 * @typedef {object} Group
 * @property {string} title
 * @property {string[]} files paths from the repository's root
 * @property {boolean} [collapsed] whether the sidebar shows its title alone at first
 */

const of = (/** @type {string} */ folder, /** @type {string[]} */ ...names) =>
  names.map((name) => `${folder}${name}.md`)

/** All pages of a folder, by their names. @param {string} folder */
const all = (folder) =>
  fs
    .readdirSync(path.join(root, folder))
    .filter((file) => file.endsWith('.md'))
    .sort()
    .map((file) => `${folder}/${file}`)

/** @type {Group[]} */
const GROUPS = [
  { title: 'Start', files: [...of('', 'README'), ...of('docs/', 'getting-started', 'migration')] },
  {
    title: 'Requests',
    files: of(
      'docs/',
      'options',
      'errors',
      'reuse-and-retries',
      'shared-connections',
      'limits-per-host',
      'dns',
      'proxies',
      'https',
      'http2',
      'fetch',
      'fast-request',
      'fallback',
      'differences',
    ),
  },
  {
    title: 'Production',
    files: of(
      'docs/',
      'observability',
      'security',
      'performance',
      'bundlers-and-platforms',
      'mocks-tracers-and-test-runners',
    ),
  },
  { title: 'Project', files: of('', 'CHANGELOG', 'SECURITY', 'CONTRIBUTING', 'ARCHITECTURE') },
  { title: 'Internals', files: all('docs/internals'), collapsed: true },
  { title: 'Decisions', files: all('docs/decisions'), collapsed: true },
]

const PAGES = GROUPS.flatMap(({ files }) => files)

/** What stands above a page. @param {string} file */
function titleOf(file) {
  const heading = /^# (.+)$/m.exec(fs.readFileSync(path.join(root, file), 'utf8'))?.[1]
  if (heading === undefined) throw new Error(`${file} has no heading`)
  return heading.replaceAll('`', '')
}

/** A heading's anchor, as GitHub makes it. @param {string} heading without marks of links */
function anchorOf(heading) {
  return heading
    .trim()
    .toLowerCase()
    .replace(/[^\p{L}\p{N} _-]/gu, '')
    .replaceAll(' ', '-')
}

/**
 * What a link in a page leads to.
 * @param {string} page
 * @param {string} href relative, with or without an anchor
 * @returns {{ file: string, hash: string, isPage: boolean }} `file`: its path from the repository's root
 */
function targetOf(page, href) {
  const [name, anchor] = href.split('#')
  const file = name === '' ? page : path.posix.join(path.posix.dirname(page), decodeURI(name))
  return { file, hash: anchor === undefined ? '' : `#${anchor}`, isPage: PAGES.includes(file) }
}

module.exports = { GROUPS, PAGES, anchorOf, targetOf, titleOf }
