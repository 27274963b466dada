'use strict'

// `npm run rehearse [-- --quick] [-- --here] [-- --table] [-- WORD…]`: a release, but for the world: packs what a release would publish, publishes it to a
// registry on loopback, and installs it from there into empty projects as users do; makes programs of it with bundlers. First it runs what
// README tells a newcomer to run, in a fresh clone, or `--here`. `--quick`, for CI: with npm alone. Words choose package managers and bundlers by their names. `--table` writes what came of it into docs/bundlers-and-platforms.md.

require('./node-version.js')
const fs = require('node:fs')
const os = require('node:os')
const path = require('node:path')

const manifest = require('../package.json')
const { target } = require('./package.js')
const { fetchPrograms, homeOf } = require('./programs.js')
const { root, run, runNpm } = require('./process.js')
const { linesFor } = require('./docs/shell.js')
const { BUNDLERS } = require('./rehearsal/bundlers.js')
const { firstLook, gettingStarted, shell } = require('./rehearsal/first-look.js')
const { MANAGERS } = require('./rehearsal/managers.js')
const { carried, makeProject } = require('./rehearsal/project.js')
const { startRegistry } = require('./rehearsal/registry.js')
const { makeRelease, publishRelease } = require('./release.js')
const { UserError, runScript, say, secondsSince } = require('./report.js')
const { fetchRuntimes } = require('./runtimes.js')
const { ensureReady } = require('./setup.js')

const USAGE = 'usage: npm run rehearse -- [--quick] [--here] [--table | word…]'
const PAGE = path.join(root, 'docs', 'bundlers-and-platforms.md')
const STEP_TIMEOUT_MS = 180_000

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
 * The command that docs/bundlers-and-platforms.md opens with.
 * @param {string} project with keepwire installed
 * @param {Set<string>} ran
 */
async function rehearseEsbuildCommand(project, ran) {
  const [line] = linesFor('rehearsal').filter((each) => each.startsWith('esbuild '))
  const PATH = [path.join(homeOf('esbuild'), 'node_modules', '.bin'), process.env.PATH].join(path.delimiter)
  await shell(line, project, { PATH })
  const outcome = await step([process.execPath, path.join('out', 'app.js')], project, {})
  if (!carried(outcome)) throw new UserError(`what this makes does not run:\n${line}\n${failureOf(outcome)}`)
  ran.add(line)
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
 * @param {{ quick: boolean, here: boolean, words: string[] }} options
 * @param {string} scratch an empty folder
 */
async function rehearse({ quick, here, words }, scratch) {
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
  await makeRelease(path.join(root, 'lib', 'native'), packed, [target])
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

    /** @type {Set<string>} */
    const ran = new Set()
    if (words.length === 0) {
      const look = { scratch: path.join(scratch, 'look'), env: environment(cache), ran }
      fs.mkdirSync(look.scratch)
      await firstLook(look, !here)
      await gettingStarted(look, quick)
    }
    const tools = { node, bun: bun?.command ?? '', deno: deno?.command ?? '', registry: registry.url }
    const installed = []
    for (const manager of managers) installed.push(await rehearseManager(manager, tools, scratch, environment))
    ran.add(MANAGERS[0].how)
    const made = []
    for (const bundler of bundlers) made.push(await rehearseBundler(bundler, tools, path.join(scratch, 'npm'), scratch))
    if (words.length === 0) {
      if (!quick) await rehearseEsbuildCommand(path.join(scratch, 'npm'), ran)
      const left = [...linesFor('quick'), ...(quick ? [] : linesFor('rehearsal'))].filter((line) => !ran.has(line))
      if (left.length > 0) throw new UserError(`nobody ran what docs/ say:\n${left.join('\n')}`)
    }
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
    const [quick, here, table] = ['--quick', '--here', '--table'].map((flag) => args.includes(flag))
    if (args.length > words.length + [quick, here, table].filter(Boolean).length) throw new UserError(USAGE)
    if (table && (quick || words.length > 0)) throw new UserError(USAGE)
    await ensureReady({ dev: true })
    // A real path: bundlers resolve links, and would see the project elsewhere.
    const scratch = fs.realpathSync(fs.mkdtempSync(path.join(os.tmpdir(), 'keepwire-rehearsal-')))
    try {
      const { installed, made } = await rehearse({ quick, here, words }, scratch)
      const failed = [...installed, ...made].filter(({ failure }) => failure !== null)
      for (const { name, failure } of failed) console.error(`\n${name}: ${failure}`)
      if (failed.length > 0)
        throw new UserError(`the rehearsal failed for ${failed.map(({ name }) => name).join(', ')}.`)
      if (table) {
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
