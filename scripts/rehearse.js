'use strict'

// `npm run rehearse [-- --quick] [-- --table] [-- WORD…]`: a release, but for the world: packs what a release would publish, publishes it to a
// registry on loopback, and installs it from there into empty projects as users do; makes programs of it with bundlers. `--quick`,
// for CI: with npm alone. Words choose package managers and bundlers by their names. `--table` writes what came of it into docs/bundlers-and-platforms.md.

require('./node-version.js')
const fs = require('node:fs')
const os = require('node:os')
const path = require('node:path')

const manifest = require('../package.json')
const { target } = require('./package.js')
const { fetchPrograms } = require('./programs.js')
const { root, run, runNpm } = require('./process.js')
const { BUNDLERS } = require('./rehearsal/bundlers.js')
const { MANAGERS } = require('./rehearsal/managers.js')
const { SAYS, carried, makeProject } = require('./rehearsal/project.js')
const { startRegistry } = require('./rehearsal/registry.js')
const { makeRelease, publishRelease } = require('./release.js')
const { UserError, runScript, say, secondsSince } = require('./report.js')
const { fetchRuntimes } = require('./runtimes.js')
const { ensureReady } = require('./setup.js')

const USAGE = 'usage: npm run rehearse -- [--quick | --table | word…]'
const PAGE = path.join(root, 'docs', 'bundlers-and-platforms.md')
const STEP_TIMEOUT_MS = 180_000
/** What the second project may take, of the five minutes that a newcomer has. */
const TARBALLS_DEADLINE_MS = 60_000

/** @typedef {{ name: string, cells: string[], failure: string | null }} Row */

/**
 * @param {string[]} command
 * @param {string} cwd
 * @param {NodeJS.ProcessEnv} env
 */
function step([file, ...args], cwd, env) {
  return run(file, args, { cwd, env, capture: 'both', timeoutMs: STEP_TIMEOUT_MS })
}

/** @param {import('./process.js').Outcome} outcome */
const failureOf = ({ code, output, timedOut }) =>
  `${timedOut ? 'took too long' : `exit code ${code}`}\n${output.trim()}`

/**
 * What README says of a second project: both tarballs, and axios.
 * @param {string} scratch
 * @param {import('./package.js').Packed[]} tarballs
 * @param {NodeJS.ProcessEnv} env
 */
async function rehearseTarballs(scratch, tarballs, env) {
  const startedAt = performance.now()
  const project = path.join(scratch, 'second project')
  makeProject(project)
  const args = [
    'install',
    ...tarballs.map(({ tarball }) => tarball),
    'axios',
    '--no-audit',
    '--no-fund',
    '--loglevel=error',
  ]
  const installed = await runNpm(args, { cwd: project, env, capture: 'both' })
  if (installed.code !== 0) throw new UserError(`npm install of the tarballs failed: ${failureOf(installed)}`)
  const outcome = await step([process.execPath, 'app.js'], project, env)
  if (!carried(outcome)) throw new UserError(`the second project does not say "${SAYS}": ${failureOf(outcome)}`)
  const took = performance.now() - startedAt
  if (took > TARBALLS_DEADLINE_MS) throw new UserError(`the second project took ${(took / 1000).toFixed(0)} s.`)
  say(`a second project has it from tarballs, and its axios calls are carried, after ${secondsSince(startedAt)}`)
}

/**
 * @param {import('./rehearsal/managers.js').Manager} manager
 * @param {import('./rehearsal/managers.js').Tools} tools
 * @param {string} scratch
 * @param {(cache: string) => NodeJS.ProcessEnv} environment
 * @returns {Promise<Row>}
 */
async function rehearseManager(manager, tools, scratch, environment) {
  const startedAt = performance.now()
  const project = path.join(scratch, manager.name.replace(/\W+/g, '-'))
  makeProject(project)
  const { commands, run: command } = manager.plan(tools, project)
  const env = environment(path.join(scratch, 'cache'))
  const cells = [`\`${manager.how}\``, `\`${manager.runs}\``]
  for (const each of commands) {
    const outcome =
      each[0] === 'npm'
        ? await runNpm(each.slice(1), { cwd: project, env, capture: 'both' })
        : await step(each, project, env)
    if (outcome.code !== 0) return { name: manager.name, cells, failure: failureOf(outcome) }
  }
  const outcome = await step(command, project, env)
  if (!carried(outcome)) return { name: manager.name, cells, failure: failureOf(outcome) }
  say(`${manager.name}: installed and carried in ${secondsSince(startedAt)}`)
  return { name: manager.name, cells, failure: null }
}

/**
 * @param {import('./rehearsal/bundlers.js').Bundler} bundler
 * @param {import('./rehearsal/managers.js').Tools} tools
 * @param {string} project with keepwire installed
 * @param {string} out an empty folder
 * @param {boolean} byRecipe
 * @returns {Promise<string | null>} what went wrong
 */
async function makeAndRun({ make }, tools, project, out, byRecipe) {
  fs.mkdirSync(out, { recursive: true })
  try {
    const outcome = await step(await make(tools, project, out, byRecipe), out, {})
    return carried(outcome) ? null : failureOf(outcome)
  } catch (error) {
    return error instanceof Error ? error.message : String(error)
  }
}

/**
 * @param {import('./rehearsal/bundlers.js').Bundler} bundler
 * @param {import('./rehearsal/managers.js').Tools} tools
 * @param {string} project with keepwire installed
 * @param {string} scratch
 * @returns {Promise<Row>}
 */
async function rehearseBundler(bundler, tools, project, scratch) {
  const startedAt = performance.now()
  const { carries, name, recipe } = bundler
  const folder = `out-${name.replace(/\W+/g, '-')}`
  // In an empty folder nothing but the result can be found; external packages are looked for in the folders above.
  const out = path.join(carries ? scratch : project, folder)
  const failure = await makeAndRun(bundler, tools, project, out, recipe !== '')
  const cells = [recipe === '' ? 'nothing' : `\`${recipe}\``, carries ? 'yes' : 'no']
  if (recipe === '') return { name, cells: [...cells, ''], failure }
  const without = await makeAndRun(bundler, tools, project, path.join(scratch, `${folder}-without`), false)
  const said = without?.includes('ERR_KEEPWIRE_ADDON')
    ? 'the result throws `ERR_KEEPWIRE_ADDON`'
    : 'it stops at the addon'
  say(`${name}: made and carried in ${secondsSince(startedAt)}`)
  if (without === null) return { name, cells, failure: 'it carries the addon without its recipe' }
  return { name, cells: [...cells, said], failure }
}

/**
 * @param {string} text
 * @param {string} name of the table, as the page's comments have it
 * @param {string[]} titles
 * @param {Row[]} rows
 */
function withTable(text, name, titles, rows) {
  const lines = [titles, titles.map(() => '---'), ...rows.map(({ name, cells }) => [name, ...cells])]
  const table = lines.map((cells) => `| ${cells.join(' | ')} |`).join('\n')
  const [begin, end] = [`<!-- ${name}: made by npm run rehearse -- --table -->`, `<!-- end of ${name} -->`]
  const [from, to] = [text.indexOf(begin), text.indexOf(end)]
  if (from < 0 || to < from) throw new UserError(`${PAGE} has no place for the table of ${name}.`)
  return `${text.slice(0, from + begin.length)}\n\n${table}\n\n${text.slice(to)}`
}

/**
 * For CI the one that runs this, if verdaccio runs on it.
 * @param {boolean} quick
 */
async function nodeForPrograms(quick) {
  if (quick && Number(process.versions.node.split('.')[0]) >= 20) return process.execPath
  const [{ command }] = await fetchRuntimes(['node24'])
  return command
}

/**
 * @template {{ name: string }} T
 * @param {T[]} all
 * @param {string[]} words
 */
function chosen(all, words) {
  return words.length === 0 ? all : all.filter(({ name }) => words.some((word) => name.toLowerCase().includes(word)))
}

/**
 * @param {boolean} quick
 * @param {string[]} words
 * @param {string} scratch an empty folder
 */
async function rehearse(quick, words, scratch) {
  const node = await nodeForPrograms(quick)
  const [bun, deno] = quick ? [] : await fetchRuntimes(['bun1.4', 'deno2'])
  // The first installs what the bundlers are given.
  const managers = quick ? MANAGERS.slice(0, 1) : [MANAGERS[0], ...chosen(MANAGERS.slice(1), words)]
  const bundlers = quick ? [] : chosen(BUNDLERS, words)
  const programs = [...managers, ...bundlers].flatMap(({ program }) => program ?? [])
  await fetchPrograms(['verdaccio', ...new Set(programs)])

  const packed = path.join(scratch, 'packed')
  const storage = path.join(scratch, 'registry')
  for (const folder of [packed, storage]) fs.mkdirSync(folder)
  const { main, platforms } = await makeRelease(path.join(root, 'lib', 'native'), packed, [target])
  const registry = await startRegistry(storage, node)
  const environment = (/** @type {string} */ cache) => registry.environment(cache)
  const cache = path.join(scratch, 'cache')
  try {
    await registry.publishAxios(scratch)
    const published = await publishRelease(packed, environment(cache))
    const again = await publishRelease(packed, environment(cache))
    if (published.join() !== `keepwire-${target},keepwire` || again.length > 0) {
      throw new UserError(`a release publishes what is not there: ${published}, and then ${again || 'nothing'}.`)
    }
    const versions = await Promise.all(['keepwire', `keepwire-${target}`].map((name) => registry.versionsOf(name)))
    if (versions.some((each) => each.join() !== manifest.version)) {
      throw new UserError(`the registry has other versions than ${manifest.version}: ${versions.join(' and ')}.`)
    }
    say(`published keepwire and keepwire-${target} ${manifest.version} to a registry of this machine`)

    await rehearseTarballs(scratch, [main, ...platforms], environment(cache))
    const tools = { node, bun: bun?.command ?? '', deno: deno?.command ?? '', registry: registry.url }
    const installed = []
    for (const manager of managers) installed.push(await rehearseManager(manager, tools, scratch, environment))
    const made = []
    for (const bundler of bundlers) made.push(await rehearseBundler(bundler, tools, path.join(scratch, 'npm'), scratch))
    return { installed, made }
  } finally {
    const said = await registry.close()
    if (said !== null) say(`the registry had ended before:\n${said}`)
  }
}

if (require.main === module) {
  runScript(async () => {
    const args = process.argv.slice(2)
    const words = args.filter((arg) => !arg.startsWith('-'))
    if (args.length > words.length + 1 || args.some((arg) => arg.startsWith('-') && !/^--(quick|table)$/.test(arg))) {
      throw new UserError(USAGE)
    }
    if (args.includes('--table') && words.length > 0) throw new UserError(USAGE)
    await ensureReady({ dev: true })
    // A real path: bundlers resolve links, and would see the project elsewhere.
    const scratch = fs.realpathSync(fs.mkdtempSync(path.join(os.tmpdir(), 'keepwire-rehearsal-')))
    try {
      const { installed, made } = await rehearse(args.includes('--quick'), words, scratch)
      const failed = [...installed, ...made].filter(({ failure }) => failure !== null)
      for (const { name, failure } of failed) console.error(`\n${name}: ${failure}`)
      if (failed.length > 0)
        throw new UserError(`the rehearsal failed for ${failed.map(({ name }) => name).join(', ')}.`)
      if (args.includes('--table')) {
        const text = fs.readFileSync(PAGE, 'utf8')
        const withManagers = withTable(text, 'package managers', ['package manager', 'install', 'run'], installed)
        const titles = ['bundler', 'to be set', 'the result carries the addon', 'without it']
        fs.writeFileSync(PAGE, withTable(withManagers, 'bundlers', titles, made))
      }
      say('the rehearsal went well')
    } finally {
      if (process.env.KEEPWIRE_KEEP_REHEARSAL === undefined) fs.rmSync(scratch, { recursive: true, force: true })
      else say(`left it in ${scratch}`)
    }
  })
}
