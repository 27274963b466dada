'use strict'

// The command line of the benchmark.

const { spawnSync } = require('node:child_process')
const path = require('node:path')
const { parseArgs } = require('node:util')

const { UserError } = require('../scripts/report.js')
const { cases } = require('./cases.js')
const { idleCases } = require('./idle.js')
const { REGIMES } = require('./pin.js')
const { startCases } = require('./start-up.js')
const { survey } = require('./survey.js')

// Quick: sixteen cases of two to four sides, each (5 × 0.12 s + 0.3 s + start), end within a minute.
const PACES = {
  full: { rounds: 9, roundMs: 1_000, warmUpMs: 1_500, ceilingSeconds: 3, starts: 21 },
  // Ours and the runtime's, some forty cases: ten minutes.
  survey: { rounds: 9, roundMs: 250, warmUpMs: 500, ceilingSeconds: 1, starts: 9 },
  quick: { rounds: 5, roundMs: 120, warmUpMs: 300, ceilingSeconds: 1, starts: 5 },
}

const NAMES = [...cases, ...startCases, ...survey, ...idleCases].map(({ name }) => name)

const usage = `npm run bench -- [options]
  --quick           ${PACES.quick.rounds} short rounds: ends within a minute
  --survey          every case, 1 to 250 clients, slow servers, uploads, idle connections …: ours and the runtime's
  --pin REGIME      ${REGIMES.join(' or ')}: the client's threads share a core, or have one each (Linux)
  --document        writes the figures of --survey into docs/performance.md; with --case, of those cases only
  --case NAME       only this case; may be repeated: ${NAMES.join(', ')}
  --against FOLDER  keepwire only, beside the built checkout in FOLDER: what a change costs or gains
  --compare REV     the same beside another revision, which is built for it (and kept, in bench/revisions)
  --runtime PATH    node, bun or deno to run the sides with (default: the one that runs this)`

/** @param {string[]} args */
function readOptions(args) {
  let values
  try {
    values = parseArgs({
      args,
      options: {
        quick: { type: 'boolean', default: false },
        survey: { type: 'boolean', default: false },
        document: { type: 'boolean', default: false },
        pin: { type: 'string' },
        case: { type: 'string', multiple: true, default: [] },
        against: { type: 'string' },
        compare: { type: 'string' },
        runtime: { type: 'string', default: process.execPath },
        help: { type: 'boolean', short: 'h', default: false },
      },
    }).values
  } catch (error) {
    throw new UserError(`${error.message}\n${usage}`)
  }
  const unknown = values.case.find((name) => !NAMES.includes(name))
  if (unknown !== undefined) throw new UserError(`there is no case "${unknown}"\n${usage}`)
  const { document, pin } = values
  if (pin !== undefined && !REGIMES.includes(pin)) throw new UserError(`there is no regime "${pin}"\n${usage}`)
  if (values.against !== undefined && values.compare !== undefined) {
    throw new UserError(`--against and --compare each name the other side\n${usage}`)
  }
  if (document && !values.survey) throw new UserError(`--document is for --survey\n${usage}`)
  return {
    help: values.help,
    survey: values.survey,
    document,
    pin,
    cases: values.case,
    against: values.against === undefined ? undefined : builtCheckout(values.against),
    compare: values.compare,
    pace: PACES[values.quick ? 'quick' : values.survey ? 'survey' : 'full'],
    runtime: findRuntime(values.runtime),
  }
}

/** @returns {string} its full path */
function builtCheckout(folder) {
  const full = path.resolve(folder)
  try {
    require(full)
  } catch (error) {
    throw new UserError(`"${folder}" holds no built keepwire: ${error.message.split('\n')[0]}`)
  }
  return full
}

/** @returns {{ name: string, version: string, command: string, args: string[] }} args: what goes before a script */
function findRuntime(command) {
  const { stdout, error, status } = spawnSync(command, ['--version'], { encoding: 'utf8' })
  if (error || status !== 0)
    throw new UserError(`"${command}" cannot be started: ${error?.message ?? `exit code ${status}`}`)
  const version = /\d+\.\d+\.\d+\S*/.exec(stdout)?.[0] ?? 'unknown'
  if (stdout.startsWith('deno')) return { name: 'Deno', version, command, args: ['run', '-A'] }
  if (stdout.startsWith('v')) return { name: 'Node', version, command, args: [] }
  if (path.basename(command).startsWith('bun')) return { name: 'Bun', version, command, args: [] }
  throw new UserError(`"${command}" is none of node, bun and deno`)
}

module.exports = { builtCheckout, readOptions, usage }
