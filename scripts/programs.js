'use strict'

// `npm run programs [-- name…]`: fetches the packages that people's programs load beside keepwire (mocks, tracers, test
// runners, SDKs) from npm into .programs, each with what it needs in a folder of its own, so that two majors of one package
// stand side by side. No install script of theirs runs. What is there already is kept.

require('./node-version.js')
const fs = require('node:fs')
const path = require('node:path')

const { root, runNpm } = require('./process.js')
const { UserError, runScript, say, secondsSince } = require('./report.js')
const { alone } = require('./setup.js')

const folder = path.join(root, '.programs')

/**
 * @typedef {object} Program
 * @property {string} name of its folder, and what tests call it
 * @property {string[]} packages with their versions
 * @property {number} node the oldest major version of Node that it runs on
 * @property {boolean} [elsewhere] whether it runs on Bun and Deno as well, without keepwire
 * @property {boolean} [lean] whether optional dependencies are left out: native parts that nothing here needs
 * @property {boolean} [byName] whether it is fetched only for who names it: a command needs it, and no test
 * @property {Record<string, string>} [overrides] versions of what it depends on, where its own range has a fault
 */

/** The one table of versions. @type {Program[]} */
const PROGRAMS = [
  { name: 'nock13', packages: ['nock@13.5.6'], node: 18, elsewhere: true },
  { name: 'nock14', packages: ['nock@14.0.17'], node: 20, elsewhere: true },
  { name: 'nock15', packages: ['nock@15.0.6'], node: 22 },
  { name: 'msw2', packages: ['msw@2.15.0'], node: 20, elsewhere: true },
  { name: 'msw3', packages: ['msw@3.0.5'], node: 22 },
  { name: 'sinon', packages: ['sinon@22.1.0'], node: 20, elsewhere: true },
  { name: 'jest', packages: ['jest@30.5.2'], node: 18 },
  { name: 'vitest', packages: ['vitest@4.1.12'], node: 20 },
  { name: 'mocha', packages: ['mocha@12.0.3'], node: 20 },
  { name: 'ava', packages: ['ava@6.4.1'], node: 18 },
  { name: 'supertest', packages: ['supertest@7.3.2'], node: 18 },
  {
    name: 'opentelemetry',
    packages: [
      '@opentelemetry/api@1.9.0',
      '@opentelemetry/sdk-trace-node@2.12.1',
      '@opentelemetry/instrumentation@0.223.0',
      '@opentelemetry/instrumentation-http@0.223.0',
      '@opentelemetry/instrumentation-undici@0.33.0',
      '@opentelemetry/instrumentation-dns@0.66.0',
    ],
    node: 20,
    elsewhere: true,
  },
  { name: 'dd-trace', packages: ['dd-trace@5.132.0'], node: 18, elsewhere: true, lean: true },
  { name: 'newrelic', packages: ['newrelic@13.20.0'], node: 20, elsewhere: true, lean: true },
  { name: 'global-agent', packages: ['global-agent@4.1.6'], node: 18 },
  {
    name: 'sdks',
    packages: ['openai@7.59.0', '@anthropic-ai/sdk@1.14.0', 'stripe@23.1.0', 'ky@2.1.0', 'ofetch@1.5.1'],
    node: 22,
    elsewhere: true,
  },
  // For examples/express-proxy and examples/opentelemetry.
  { name: 'express', packages: ['express@5.3.0'], node: 18 },
  { name: 'otel-context', packages: ['@opentelemetry/context-async-hooks@3.1.1'], node: 22 },
  { name: 'http2-wrapper', packages: ['http2-wrapper@2.2.4'], node: 18 },
  // What `npm run docs` makes a site of docs/ with.
  { name: 'vitepress', packages: ['vitepress@1.6.4'], node: 18, byName: true },
  // What `npm run rehearse` publishes to, installs with and bundles with.
  {
    name: 'verdaccio',
    packages: ['verdaccio@6.8.0'],
    node: 20,
    byName: true,
    overrides: { 'node-fetch': '2.7.0' },
  },
  { name: 'pnpm', packages: ['pnpm@12.4.2'], node: 18, byName: true },
  { name: 'yarn1', packages: ['yarn@1.22.22'], node: 18, byName: true },
  { name: 'yarn4', packages: ['@yarnpkg/cli-dist@4.18.1'], node: 20, byName: true },
  { name: 'nft', packages: ['@vercel/nft@1.11.5'], node: 20, byName: true },
  { name: 'ncc', packages: ['@vercel/ncc@0.45.0'], node: 20, byName: true },
  { name: 'esbuild', packages: ['esbuild@0.28.2'], node: 18, byName: true },
  { name: 'webpack', packages: ['webpack@5.113.0'], node: 20, byName: true },
  {
    name: 'rollup',
    packages: [
      'rollup@4.68.8',
      '@rollup/plugin-commonjs@29.0.3',
      '@rollup/plugin-json@6.1.0',
      '@rollup/plugin-node-resolve@16.0.3',
    ],
    node: 20,
    byName: true,
  },
  { name: 'vite', packages: ['vite@8.4.0'], node: 20, byName: true },
]

/** @param {string} name */
const homeOf = (name) => path.join(folder, name)

/** What is written when all of it is there. @param {Program} program */
const stampOf = ({ packages, lean, overrides }) =>
  `${packages.join('\n')}\n${lean ? 'without optional packages\n' : ''}${overrides ? `${JSON.stringify(overrides)}\n` : ''}`

/** @param {Program} program */
function isFetched(program) {
  const stamp = path.join(homeOf(program.name), 'ready')
  return fs.existsSync(stamp) && fs.readFileSync(stamp, 'utf8') === stampOf(program)
}

/**
 * @param {Program} program
 * @param {string} progress
 */
async function fetchProgram(program, progress) {
  const home = homeOf(program.name)
  const startedAt = performance.now()
  say(`fetching ${program.packages.join(', ')} ${progress}`)
  fs.rmSync(home, { recursive: true, force: true })
  fs.mkdirSync(home, { recursive: true })
  const { overrides } = program
  fs.writeFileSync(path.join(home, 'package.json'), `${JSON.stringify({ private: true, overrides })}\n`)
  const args = ['install', ...program.packages, '--no-save', '--no-package-lock', '--no-audit', '--no-fund']
  args.push('--ignore-scripts', '--loglevel=error', ...(program.lean ? ['--omit=optional'] : []))
  const { code, output } = await runNpm(args, { cwd: home, capture: 'both' })
  if (code !== 0) throw new UserError(`npm could not install ${program.packages.join(', ')}:\n${output.trim()}`)
  fs.writeFileSync(path.join(home, 'ready'), stampOf(program))
  say(`fetched ${program.name} in ${secondsSince(startedAt)}`)
}

/** @param {string} name */
function programNamed(name) {
  const program = PROGRAMS.find((each) => each.name === name)
  if (program !== undefined) return program
  throw new UserError(`there is no program "${name}": choose from ${PROGRAMS.map((each) => each.name).join(', ')}.`)
}

/** @param {string[]} [names] none: all but those that are fetched by name */
async function fetchPrograms(names = []) {
  const wanted = names.length === 0 ? PROGRAMS.filter(({ byName }) => !byName) : names.map(programNamed)
  if (wanted.every(isFetched)) return
  // Two commands must not fetch into one folder at once.
  await alone(async () => {
    const missing = wanted.filter((program) => !isFetched(program))
    for (const [at, program] of missing.entries()) await fetchProgram(program, `(${at + 1} of ${missing.length})`)
  })
}

/** What the tests among `files` need. @param {string[]} files */
async function fetchProgramsFor(files) {
  if (files.some((file) => file.startsWith('__test__/programs/'))) await fetchPrograms()
}

module.exports = { PROGRAMS, fetchPrograms, fetchProgramsFor, homeOf, isFetched, programNamed }

if (require.main === module) {
  runScript(async () => {
    await fetchPrograms(process.argv.slice(2))
    for (const { name, packages } of PROGRAMS.filter(isFetched))
      console.log(`${name.padEnd(18)} ${packages.join(', ')}`)
  })
}
