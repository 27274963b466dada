'use strict'

// npx keepwire: reads the arguments, does what they say and sets the exit code. Reports go to stdout, progress and complaints to
// stderr.

const { parseArgs } = require('node:util')

const { version } = require('../../package.json')
const { bench, isOwnMachine, LEAST_SECONDS, MOST_CONNECTIONS, MOST_SECONDS, OTHERS, SIDE } = require('./bench.js')
const { side } = require('./bench-side.js')
const { check, MOST_REQUESTS } = require('./check.js')
const { benchReport, colours, report } = require('./report.js')
const { SORTS, top } = require('./top.js')

const DASHBOARD_PORT = '9230'

/** How it ends besides `check`'s 0, 1 and 2: as sysexits.h has them. */
const USAGE = 64
const BUG = 70

const HELP = [
  'Usage: keepwire check URL [options]',
  '       keepwire top [PORT | URL] [options]',
  '       keepwire bench URL [options]',
  '',
  'check',
  'What a server does to keep-alive connections: how it answers, how many connections a series of requests needs, what it says of how',
  'long a connection may be idle, and what to set.',
  '',
  'Options of check:',
  `  -n, --requests N         requests, one after another, 2 to ${MOST_REQUESTS}; default 20`,
  '      --idle               also waits for the server to close an idle connection',
  '      --idle-limit S       for so many seconds at most; default 130',
  `      --agent-options JSON options of keepwire's agent, such as '{"connectTimeout":2000}'`,
  '',
  'top',
  'The origins of a process that has a dashboard (KEEPWIRE_DASHBOARD, keepwire/dashboard), once a second. Without a port or a URL: 9230.',
  'On a terminal s sorts by the next column, q ends it.',
  '',
  'Options of top:',
  `      --sort COLUMN        ${SORTS.join(', ')}`,
  '      --origin ORIGIN      only that one, and its connections',
  '      --token TOKEN        of the dashboard; else KEEPWIRE_DASHBOARD_TOKEN is taken',
  '      --once               one look, of a second',
  '',
  'bench',
  'How many requests a second keepwire has answered, and what they cost, beside others, each in a process of its own. It refuses',
  'servers that are not on this machine.',
  '',
  'Options of bench:',
  `  -c, --connections N      requests at a time, over as many connections, 1 to ${MOST_CONNECTIONS}; default 50`,
  `  -d, --duration S         seconds for each side, ${LEAST_SECONDS} to ${MOST_SECONDS}; default 10`,
  `      --vs A,B             whom to compare with: ${OTHERS.join(', ')}; default node. fast: the request of`,
  '                           keepwire/http; undici and agentkeepalive must be installed where the command runs',
  '      --agent-options JSON as of check, for all sides that have the option',
  '      --i-own-this         the server may be on another machine: it is yours, and may be put under load',
  '',
  'Options of all:',
  '      --json               the report as JSON; of top a line for each look',
  '  -h, --help',
  '  -v, --version',
  '',
  `Exit code: 0 connections are reused, 1 they are not, or requests failed, 2 the server can't be reached, or the dashboard (top), ${USAGE} wrong arguments.`,
  '',
  'Examples:',
  '  npx keepwire check https://example.com/',
  '  npx keepwire check http://localhost:3000/health -n 10 --idle',
  `  npx keepwire check https://10.0.0.5/ --agent-options '{"rejectUnauthorized":false}'`,
  '  npx keepwire check https://example.com/ --json',
  '  npx keepwire top 9230 --sort failed',
  '  npx keepwire bench http://localhost:3000/ -c 50 -d 10 --vs node,undici',
  '',
].join('\n')

class UsageError extends Error {}

/** @type {import('node:util').ParseArgsConfig['options']} */
const OPTIONS = {
  requests: { type: 'string', short: 'n', default: '20' },
  idle: { type: 'boolean', default: false },
  'idle-limit': { type: 'string', default: '130' },
  'agent-options': { type: 'string', default: '{}' },
  connections: { type: 'string', short: 'c', default: '50' },
  duration: { type: 'string', short: 'd', default: '10' },
  vs: { type: 'string', default: 'node' },
  'i-own-this': { type: 'boolean', default: false },
  once: { type: 'boolean', default: false },
  origin: { type: 'string' },
  sort: { type: 'string', default: SORTS[0] },
  token: { type: 'string' },
  json: { type: 'boolean', default: false },
  help: { type: 'boolean', short: 'h', default: false },
  version: { type: 'boolean', short: 'v', default: false },
}

/** @param {string[]} args */
function parsed(args) {
  try {
    const { positionals, values } = parseArgs({ args, options: OPTIONS, allowPositionals: true })
    return { positionals, values: /** @type {Record<string, any>} */ (values) }
  } catch (error) {
    throw new UsageError(/** @type {Error} */ (error).message)
  }
}

/**
 * @param {string} name
 * @param {string} text
 * @param {number} least
 * @param {number} most
 */
function number(name, text, least, most) {
  const value = Number(text)
  if (text.trim() !== '' && Number.isInteger(value) && value >= least && value <= most) return value
  throw new UsageError(`${name} must be a whole number from ${least} to ${most}, not '${text}'`)
}

/** @param {string} text */
function duration(text) {
  const value = Number(text)
  if (text.trim() !== '' && value >= LEAST_SECONDS && value <= MOST_SECONDS) return value * 1000
  throw new UsageError(`--duration must be a number from ${LEAST_SECONDS} to ${MOST_SECONDS}, not '${text}'`)
}

/** @param {string | undefined} text */
function target(text) {
  if (text === undefined) throw new UsageError('this command needs a URL')
  // 'localhost:3000' is one, of a scheme that nobody meant.
  if (!/^https?:\/\//i.test(text)) throw new UsageError(`the URL must begin with http:// or https://, not '${text}'`)
  try {
    return new URL(text)
  } catch {
    throw new UsageError(`'${text}' is no URL`)
  }
}

/** @param {string} text */
function agentOptions(text) {
  let options
  try {
    options = JSON.parse(text)
  } catch {
    // Told below.
  }
  if (options === null || typeof options !== 'object' || Array.isArray(options)) {
    throw new UsageError(`--agent-options must be a JSON object, such as '{"timeout":5000}'`)
  }
  return options
}

/**
 * A dashboard's address.
 * @param {string} text
 */
function board(text) {
  if (/^\d+$/.test(text)) return new URL(`http://127.0.0.1:${number('the port', text, 1, 65_535)}/`)
  const url = target(text)
  if (url.protocol !== 'http:') throw new UsageError('dashboards speak http://')
  return url
}

/** @param {Record<string, any>} values */
function topOptions({ json, once, origin, sort, token }) {
  if (!SORTS.includes(sort)) throw new UsageError(`--sort must be one of ${SORTS.join(', ')}, not '${sort}'`)
  return { json, once, origin, sort, token: token ?? process.env.KEEPWIRE_DASHBOARD_TOKEN }
}

/** @param {string} text */
function sidesNamed(text) {
  const names = [...new Set(text.split(',').filter(Boolean))]
  for (const name of names) {
    if (!OTHERS.includes(name)) throw new UsageError(`--vs takes names of ${OTHERS.join(', ')}, not '${name}'`)
  }
  return names
}

/**
 * @param {URL} url
 * @param {Record<string, any>} values
 */
async function runBench(url, values) {
  const options = {
    connections: number('--connections', values.connections, 1, MOST_CONNECTIONS),
    durationMs: duration(values.duration),
    others: sidesNamed(values.vs),
    agentOptions: agentOptions(values['agent-options']),
  }
  if (!values['i-own-this'] && !(await isOwnMachine(url))) {
    throw new UsageError(
      `${url.hostname} is not this machine: bench puts it under load, so say --i-own-this if it is yours`,
    )
  }
  const tell = progress()
  const result = await bench(url, { ...options, tell })
  tell('')
  print(values.json ? `${JSON.stringify(result, null, 2)}\n` : benchReport(result, colours(process.stdout)))
  return result.exitCode
}

/** Says on a terminal what is under way, in one line. */
function progress() {
  const { isTTY } = process.stderr
  return (/** @type {string} */ line) => {
    if (isTTY) process.stderr.write(`\r\u001b[K${line}`)
  }
}

/** @param {string[]} args */
async function run(args) {
  const { positionals, values } = parsed(args)
  if (values.version) return print(`${version}\n`)
  if (values.help || positionals.length === 0) {
    print(HELP)
    return values.help ? 0 : USAGE
  }
  const [command, url, ...rest] = positionals
  // Of bench's own.
  if (command === SIDE && process.send !== undefined) return side()
  if (!['bench', 'check', 'top'].includes(command)) throw new UsageError(`there is no command '${command}'`)
  if (rest.length > 0) throw new UsageError(`'${rest[0]}' is one argument too many`)
  if (command === 'top') return top(board(url ?? DASHBOARD_PORT), topOptions(values))
  if (command === 'bench') return runBench(target(url), values)
  const tell = progress()
  const result = await check(target(url), {
    requests: number('--requests', values.requests, 2, MOST_REQUESTS),
    idleLimitMs: values.idle ? number('--idle-limit', values['idle-limit'], 1, 3600) * 1000 : 0,
    agentOptions: agentOptions(values['agent-options']),
    tell,
  }).catch(refused)
  tell('')
  print(values.json ? `${JSON.stringify(result, null, 2)}\n` : report(result, colours(process.stdout)))
  return result.exitCode
}

/**
 * Agents refuse options that make no sense.
 * @param {Error & { code?: string }} error
 * @returns {never}
 */
function refused(error) {
  if (/^ERR_(INVALID_ARG|OUT_OF_RANGE)/.test(error.code ?? ''))
    throw new UsageError(`--agent-options: ${error.message}`)
  throw error
}

/** @param {string} text */
function print(text) {
  process.stdout.write(text)
  return 0
}

/** @param {string[]} args */
async function main(args) {
  try {
    process.exitCode = await run(args)
  } catch (error) {
    const isUsage = error instanceof UsageError
    console.error(isUsage ? `keepwire: ${error.message}\nkeepwire --help says more` : error)
    process.exitCode = isUsage ? USAGE : BUG
  }
}

module.exports = { main }
