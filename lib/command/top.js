'use strict'

// What a process with a dashboard does, in the terminal: its origins, once a second, or one of them with its connections.

const http = require('node:http')

const { colours, printable } = require('./report.js')

/** @typedef {import('../agent/totals.js').Totals} Totals */
/** @typedef {import('../command/report.js').Colours} Colours */
/** @typedef {{ pid: number, runtime: string, at: number, origins: Record<string, Totals>, connections?: any[] }} Told */
/** @typedef {{ origin: string, totals: Totals, answered: number, perSecond: number | null }} Row */

const EVERY_MS = 1000
const MOST_CONNECTIONS = 30
/** Of an answer, whoever gives it. */
const MOST_CHARACTERS = 64 * 1024 * 1024
const MOST_MS = 30_000

/** @param {Record<string, number>} counts */
const sum = (counts) => Object.values(counts).reduce((total, count) => total + count, 0)

/** @param {Totals} totals */
function answeredBy({ durationMs }) {
  const all = Object.values(durationMs).flatMap((byStatus) => Object.values(byStatus))
  return all.reduce((total, { count }) => total + count, 0)
}

/** @param {number} ms */
const milliseconds = (ms) => (ms === 0 ? '–' : ms < 10 ? `${ms.toFixed(1)} ms` : `${Math.round(ms)} ms`)

/** @typedef {{ heading: string, width: number, by: (row: Row) => number | string, text: (row: Row) => string }} Column */

/** By what they are sorted with `--sort`. @type {Record<string, Column>} */
const COLUMNS = {
  requests: {
    heading: 'req/s',
    width: 9,
    by: ({ answered, perSecond }) => perSecond ?? answered,
    text: ({ perSecond }) => (perSecond === null ? '–' : perSecond.toFixed(perSecond < 100 ? 1 : 0)),
  },
  busy: { heading: 'busy', width: 7, by: ({ totals }) => totals.leased, text: ({ totals }) => String(totals.leased) },
  idle: { heading: 'idle', width: 7, by: ({ totals }) => totals.idle, text: ({ totals }) => String(totals.idle) },
  waiting: {
    heading: 'waiting',
    width: 9,
    by: ({ totals }) => totals.queued,
    text: ({ totals }) => String(totals.queued),
  },
  opened: {
    heading: 'opened',
    width: 9,
    by: ({ totals }) => totals.created,
    text: ({ totals }) => String(totals.created),
  },
  reused: {
    heading: 'reused',
    width: 9,
    by: ({ totals: { created, reused } }) => reused / Math.max(1, created + reused),
    text({ totals: { created, reused } }) {
      const all = created + reused
      return all === 0 ? '–' : `${(Math.floor((1000 * reused) / all) / 10).toFixed(1)} %`
    },
  },
  'first-byte': {
    heading: 'p50',
    width: 10,
    by: ({ totals }) => totals.firstByteMs.p50,
    text: ({ totals }) => milliseconds(totals.firstByteMs.p50),
  },
  slowest: {
    heading: 'p99',
    width: 10,
    by: ({ totals }) => totals.firstByteMs.p99,
    text: ({ totals }) => milliseconds(totals.firstByteMs.p99),
  },
  failed: {
    heading: 'failed',
    width: 9,
    by: ({ totals }) => sum(totals.errors),
    text: ({ totals }) => String(sum(totals.errors)),
  },
}

const SORTS = Object.keys(COLUMNS)

class Unreachable extends Error {}

/**
 * @param {URL} url of a dashboard
 * @param {{ origin?: string, token?: string }} options
 * @returns {Promise<Told>}
 */
function ask(url, { origin, token }) {
  const target = new URL('stats.json', url)
  if (origin !== undefined) target.searchParams.set('origin', origin)
  const headers = token === undefined ? {} : { Authorization: `Bearer ${token}` }
  return new Promise((resolve, reject) => {
    const request = http.get(target, { agent: false, headers, timeout: 5000 }, (response) => {
      let text = ''
      response.setEncoding('utf8')
      response.on('data', (chunk) => {
        text += chunk
        if (text.length > MOST_CHARACTERS) request.destroy(new Unreachable('what answers there is no dashboard'))
      })
      response.on('error', reject)
      response.on('end', () => {
        if (response.statusCode !== 200) return reject(new Unreachable(`${response.statusCode}: ${text.trim()}`))
        try {
          // Not for the terminal to obey.
          resolve(JSON.parse(text, (_, value) => (typeof value === 'string' ? printable(value) : value)))
        } catch {
          reject(new Unreachable('what answers there is no dashboard'))
        }
      })
    })
    request.on('timeout', () => request.destroy(new Error('no answer in 5 s')))
    const timer = setTimeout(() => request.destroy(new Error('the answer takes too long')), MOST_MS)
    request.on('close', () => clearTimeout(timer))
    request.on('error', reject)
  })
}

/**
 * @param {Told} now
 * @param {Told | undefined} before
 * @param {string} sort
 * @returns {Row[]} the largest first
 */
function rowsOf(now, before, sort) {
  const seconds = before === undefined ? 0 : (now.at - before.at) / 1000
  const rows = Object.entries(now.origins).map(([origin, totals]) => {
    const answered = answeredBy(totals)
    const then = before?.origins[origin]
    const perSecond = seconds > 0 ? Math.max(0, answered - (then === undefined ? 0 : answeredBy(then))) / seconds : null
    return { origin, totals, answered, perSecond }
  })
  const { by } = COLUMNS[sort]
  return rows.sort((one, other) => Number(by(other)) - Number(by(one)) || (one.origin < other.origin ? -1 : 1))
}

/**
 * @param {Told} told
 * @param {Row[]} rows
 * @param {{ sort: string, width: number, height: number }} screen
 * @param {Colours} paint
 */
function picture({ connections, pid, runtime }, rows, { height, sort, width }, { bad, dim, strong }) {
  const columns = Object.entries(COLUMNS)
  const taken = columns.reduce((total, [, column]) => total + column.width, 0)
  const room = Math.max(20, width - taken)
  const heading = columns.map(([id, { heading: text, width: wide }]) => {
    const padded = text.padStart(wide)
    return id === sort ? strong(padded) : dim(padded)
  })
  const lines = [
    dim(`process ${pid}, ${runtime}, ${rows.length} ${rows.length === 1 ? 'origin' : 'origins'}, sorted by ${sort}`),
    '',
    dim('origin'.padEnd(room)) + heading.join(''),
  ]
  for (const row of rows) {
    const name = printable(row.origin)
    const shown = name.length < room ? name.padEnd(room) : `${name.slice(0, room - 2)}… `
    const cells = columns.map(([id, { text, width: wide }]) => {
      const cell = text(row).padStart(wide)
      return id === 'failed' && sum(row.totals.errors) > 0 ? bad(cell) : cell
    })
    lines.push(shown + cells.join(''))
  }
  if (rows.length === 0) lines.push('no request has been made yet')
  if (connections !== undefined) {
    lines.push('', dim('connection  state     age         requests  peer'))
    for (const { ageMs, id, remoteAddress, remotePort, state, tls, uses } of connections.slice(0, MOST_CONNECTIONS)) {
      const peer = remoteAddress === null ? '–' : `${remoteAddress}:${remotePort}`
      const age = `${(ageMs / 1000).toFixed(1)} s`
      const secured = tls === null ? '' : `  ${tls.protocol}`
      lines.push(
        `#${String(id).padEnd(10)} ${state.padEnd(9)} ${age.padEnd(11)} ${String(uses).padEnd(9)} ${peer}${secured}`,
      )
    }
  }
  return lines.slice(0, height)
}

/**
 * @param {URL} url of a dashboard
 * @param {{ json: boolean, once: boolean, origin?: string, sort: string, token?: string }} options
 * @returns {Promise<number>} the exit code
 */
async function top(url, { json, once, origin, sort, token }) {
  const { stdout } = process
  const isTTY = stdout.isTTY === true && !json
  const paint = colours(stdout)
  let chosen = sort
  let isOver = false
  let wake = () => {}
  const stopKeys =
    isTTY && !once
      ? keys((key) => {
          if (key === 'q' || key === '\u0003') isOver = true
          else if (key === 's') chosen = SORTS[(SORTS.indexOf(chosen) + 1) % SORTS.length]
          wake()
        })
      : () => {}
  /** @type {Told | undefined} */
  let before
  try {
    for (let look = 1; !isOver; look += 1) {
      const now = await ask(url, { origin, token })
      const rows = rowsOf(now, before, chosen)
      before = now
      // A rate takes two looks.
      const isLast = once && look === 2
      if (json && (!once || isLast)) {
        const told = rows.map(({ origin: name, answered, perSecond, totals }) => ({
          origin: name,
          answered,
          perSecond,
          ...totals,
        }))
        stdout.write(`${JSON.stringify({ at: now.at, pid: now.pid, origins: told, connections: now.connections })}\n`)
      } else if (!once || isLast) {
        const screen = {
          sort: chosen,
          width: stdout.columns ?? 120,
          height: isTTY && !once ? (stdout.rows ?? 40) - 1 : Infinity,
        }
        const lines = picture(now, rows, screen, paint)
        stdout.write(isTTY && !once ? `\u001b[H\u001b[2J${lines.join('\n')}\n` : `${lines.join('\n')}\n`)
      }
      if (isLast) return 0
      await new Promise((resolve) => {
        const timer = setTimeout(resolve, EVERY_MS)
        wake = () => {
          clearTimeout(timer)
          resolve(undefined)
        }
      })
    }
    return 0
  } catch (error) {
    const { message } = /** @type {Error} */ (error)
    process.stderr.write(`keepwire: ${url.href}: ${printable(message)}\n`)
    return 2
  } finally {
    stopKeys()
  }
}

/** @param {(key: string) => void} listener */
function keys(listener) {
  const { stdin } = process
  if (!stdin.isTTY) return () => {}
  stdin.setRawMode(true)
  stdin.setEncoding('utf8')
  stdin.resume()
  stdin.on('data', listener)
  return () => {
    stdin.setRawMode(false)
    stdin.pause()
    stdin.off('data', listener)
  }
}

module.exports = { SORTS, top }
