'use strict'

// What a newcomer does: the commands of README and docs/getting-started.md as they stand there, one after another, in a folder with a checkout
// in `keepwire` and another program in `project`.

const { spawn } = require('node:child_process')
const fs = require('node:fs')
const path = require('node:path')

const { LINES, allBlocks, linesOf } = require('../docs/shell.js')
const { root, run, runNpm } = require('../process.js')
const { UserError, say, secondsSince } = require('../report.js')
const { SAYS, carried, makeProject } = require('./project.js')

/** From `git clone` to the second project's calls, the addon's build included. */
const DEADLINE_MS = 300_000
const LONGEST_STEP_MS = 900_000

/**
 * @typedef {object} Look
 * @property {string} scratch an empty folder
 * @property {NodeJS.ProcessEnv} env of the registry that knows axios
 * @property {Set<string>} ran the lines of scripts/docs/shell.js that have been run
 */

/** A block of a page that has this line, as it stands there. @param {string} page @param {string} line */
function blockWith(page, line) {
  const block = allBlocks().find((each) => each.page === page && each.language === 'sh' && linesOf(each).includes(line))
  if (block === undefined) throw new UserError(`${page} has no block with "${line}".`)
  return block
}

/**
 * Runs commands in a shell, which ends at the first that fails.
 * @param {string} code
 * @param {string} cwd
 * @param {NodeJS.ProcessEnv} env
 */
async function shell(code, cwd, env) {
  const PATH = [path.dirname(process.execPath), env.PATH ?? process.env.PATH].join(path.delimiter)
  // The shell's own idea of where it is: a link to this checkout counts as a folder beside the project.
  const options = {
    cwd,
    env: { ...env, PATH, PWD: cwd },
    capture: /** @type {'both'} */ ('both'),
    timeoutMs: LONGEST_STEP_MS,
  }
  const outcome = await run('sh', ['-e', '-c', code], options)
  if (outcome.code !== 0)
    throw new UserError(`this failed, with exit code ${outcome.code}:\n${code}\n${outcome.output}`)
  return outcome
}

/** Whether a page draws its charts: in Chromium if it is there, else by what it is given. @param {string} url */
async function drawsCharts(url) {
  const folders = (process.env.PATH ?? '').split(path.delimiter)
  const executablePath = folders.map((folder) => path.join(folder, 'chromium')).find((file) => fs.existsSync(file))
  if (executablePath === undefined) return (await fetch(`${url}stats.json`)).ok
  const { chromium } = require('playwright-core')
  const browser = await chromium.launch({ executablePath, args: ['--disable-gpu'], chromiumSandbox: false })
  try {
    const page = await browser.newPage()
    await page.goto(url)
    // A line with a few points, of requests that were made.
    await page.waitForFunction(
      () => /L.*L/.test(document.querySelector('svg path.line')?.getAttribute('d') ?? ''),
      null,
      {
        timeout: 60_000,
      },
    )
    return true
  } finally {
    await browser.close()
  }
}

/**
 * Starts a command that runs until it is ended, and looks at the page that it tells of.
 * @param {string} line
 * @param {string} cwd
 */
async function lookAtDashboard(line, cwd) {
  // A group of its own, so that Ctrl-C can be told to all of it.
  const child = spawn('sh', ['-c', line], { cwd, stdio: ['ignore', 'pipe', 'inherit'], detached: true })
  const group = -(/** @type {number} */ (child.pid))
  const kill = () => process.kill(group, 'SIGKILL')
  process.once('exit', kill)
  const ended = new Promise((resolve) => child.once('exit', resolve))
  try {
    const url = await new Promise((resolve, reject) => {
      let text = ''
      child.once('exit', () => reject(new UserError(`"${line}" ended:\n${text}`)))
      child.stdout.setEncoding('utf8').on('data', (piece) => {
        text += piece
        const [found] = /http:\/\/127\.0\.0\.1:\d+\//.exec(text) ?? []
        if (found !== undefined) resolve(found)
      })
    })
    if (!(await drawsCharts(url))) throw new UserError(`"${line}" shows no charts.`)
  } finally {
    process.removeListener('exit', kill)
    if (child.exitCode === null && child.signalCode === null) process.kill(group, 'SIGINT')
    await ended
  }
}

/**
 * A project with axios, installed from the tarballs by the block of a page.
 * @param {string} page
 * @param {Look} look
 */
async function secondProject(page, { scratch, env, ran }) {
  const project = path.join(scratch, 'project')
  fs.rmSync(project, { recursive: true, force: true })
  makeProject(project)
  const block = blockWith(page, 'npm run package')
  await shell(block.code, path.join(scratch, 'keepwire'), env)
  for (const line of linesOf(block)) ran.add(line)
  if (!block.code.includes('axios')) await npmInstall(['axios'], project, env)
  const outcome = await run(process.execPath, ['app.js'], { cwd: project, capture: 'both' })
  if (!carried(outcome)) throw new UserError(`the project does not say "${SAYS}":\n${outcome.output}`)
}

/**
 * @param {string[]} args
 * @param {string} cwd
 * @param {NodeJS.ProcessEnv} env
 */
async function npmInstall(args, cwd, env) {
  const { code, output } = await runNpm(['install', ...args, '--no-audit', '--no-fund'], { cwd, env, capture: 'both' })
  if (code !== 0) throw new UserError(`npm install ${args.join(' ')} failed:\n${output.trim()}`)
}

/**
 * README's first look, and the second project.
 * @param {Look} look
 * @param {boolean} fresh whether in a clone, which builds the addon, and in five minutes; else in this checkout
 */
async function firstLook(look, fresh) {
  const startedAt = performance.now()
  const checkout = path.join(look.scratch, 'keepwire')
  if (fresh) await shell(`git clone --quiet --depth 1 'file://${root}' keepwire`, look.scratch, {})
  else fs.symlinkSync(root, checkout)

  for (const line of linesOf(blockWith('README.md', 'npm run demo'))) {
    // It asks a server of the world: `npm test` has one of its own for it.
    if (LINES[line] === 'test') continue
    if (line.endsWith('--dashboard')) await lookAtDashboard(line, checkout)
    else {
      const { output } = await shell(line, checkout, {})
      if (!/^ {2}keepwire +█+ \d+\.\d\d s$/m.test(output)) throw new UserError(`"${line}" shows no chart:\n${output}`)
    }
    look.ran.add(line)
    say(`${line}: its charts are on the screen after ${secondsSince(startedAt)}`)
  }
  await secondProject('README.md', look)
  say(`a second project has keepwire from tarballs, and its axios calls are carried, after ${secondsSince(startedAt)}`)
  const took = performance.now() - startedAt
  if (took > DEADLINE_MS) throw new UserError(`a first look took ${(took / 1000).toFixed(0)} s.`)
}

/**
 * docs/getting-started.md: from tarballs again, and from the folder.
 * @param {Look} look
 * @param {boolean} quick
 */
async function gettingStarted(look, quick) {
  await secondProject('docs/getting-started.md', look)
  if (quick) return
  const project = path.join(look.scratch, 'project')
  fs.rmSync(project, { recursive: true })
  makeProject(project)
  await npmInstall(['axios'], project, look.env)
  const line = 'npm install ../keepwire --foreground-scripts'
  await shell(line, project, look.env)
  look.ran.add(line)
  const outcome = await run(process.execPath, ['app.js'], { cwd: project, capture: 'both' })
  if (!carried(outcome)) throw new UserError(`from a folder, the project does not say "${SAYS}":\n${outcome.output}`)
}

module.exports = { firstLook, gettingStarted, shell }
