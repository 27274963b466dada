'use strict'

// `npm run fetch:compare [-- [--all] [--reqwest] [http|https|h2 …]]`: the web platform's fetch tests as far as they apply on a
// server, with the runtime's own fetch and with ours, over HTTP, over TLS and over HTTP/2 (with which the runtime's own over TLS
// is compared). Prints a table each: a line a room, and each case that they do not agree on (--all: each case).
// Ends with an error if a case passes with the runtime's own and not with ours.

const path = require('node:path')

const root = path.join(__dirname, '..')
const { fetch } = require(root)
const { cases } = require(path.join(root, '__test__/fetch/cases.js'))
const { startFetchServer } = require(path.join(root, '__test__/support/fetch-server.js'))

/** What can't pass over HTTP/2, whoever asks. */
const NOT_OVER_HTTP2 = new Map([
  ['responses: status, ok and statusText', 'HTTP/2 has no reason phrase'],
  ['responses: an unusual status', "the runtime's server sends none above 599"],
])
const LIMIT_MS = 5_000
const runtimeFetch = globalThis.fetch

// A rejection that comes late is the case's own affair, and counted there.
process.on('unhandledRejection', () => {})
process.on('uncaughtException', () => {})

/** @returns {Promise<string | null>} what went wrong */
async function outcome(run, fetch, scheme) {
  const server = await startFetchServer(scheme)
  let timer
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error('never ends')), LIMIT_MS)
  })
  try {
    await Promise.race([run(fetch, server), late])
    return null
  } catch (error) {
    return String(error instanceof Error ? error.message : error).split('\n')[0]
  } finally {
    clearTimeout(timer)
    await server.stop()
  }
}

const mark = (wrong) => (wrong === null ? 'pass' : 'FAIL')

/** Our fetch, or that of reqwest's client. */
const ourFetch = process.argv.includes('--reqwest')
  ? (input, init) => fetch(input, { ...init, client: 'reqwest' })
  : fetch

async function main() {
  // Nobody vouches for the server, and what is compared is not that.
  process.env.NODE_TLS_REJECT_UNAUTHORIZED = '0'
  const chosen = process.argv.slice(2).filter((argument) => !argument.startsWith('--'))
  let worse = 0
  for (const scheme of chosen.length > 0 ? chosen : ['http', 'https', 'h2']) worse += await compare(scheme)
  process.exit(worse > 0 ? 1 : 0)
}

/** @param {string} scheme */
async function compare(scheme) {
  const showAll = process.argv.includes('--all')
  const { bun, deno, node } = process.versions
  const runtime = bun ? `Bun ${bun}` : deno ? `Deno ${deno}` : `Node ${node}`
  const rooms = new Map()
  const lines = []
  let worse = 0
  for (const { room, name, run } of cases) {
    const theirs = await outcome(run, runtimeFetch, scheme === 'h2' ? 'https' : scheme)
    const ours = await outcome(run, ourFetch, scheme)
    const sums = rooms.get(room) ?? { cases: 0, theirs: 0, ours: 0 }
    rooms.set(room, sums)
    sums.cases++
    if (theirs === null) sums.theirs++
    if (ours === null) sums.ours++
    const reason = scheme === 'h2' ? NOT_OVER_HTTP2.get(`${room}: ${name}`) : undefined
    if (theirs === null && ours !== null && reason === undefined) worse++
    if (showAll || (theirs === null) !== (ours === null)) {
      lines.push(`  ${`${room}: ${name}`.padEnd(64)}${mark(theirs).padStart(10)}${mark(ours).padStart(10)}`)
      if (ours !== null) lines.push(`      keepwire: ${reason ?? ours}`)
    }
  }
  console.log(
    `${`  ${runtime}, ${scheme}`.padEnd(48)}${'cases'.padStart(8)}${'own fetch'.padStart(12)}${'keepwire'.padStart(12)}`,
  )
  const total = { cases: 0, theirs: 0, ours: 0 }
  for (const [room, sums] of [...rooms, ['all', total]]) {
    const cells = [String(sums.cases).padStart(8), String(sums.theirs).padStart(12), String(sums.ours).padStart(12)]
    console.log(`  ${room.padEnd(46)}${cells.join('')}`)
    for (const key of Object.keys(total)) total[key] += room === 'all' ? 0 : sums[key]
  }
  if (lines.length > 0)
    console.log(`\n${'  where they differ'.padEnd(66)}${'own'.padStart(10)}${'keepwire'.padStart(10)}`)
  for (const line of lines) console.log(line)
  console.log(`\n${worse} of ${cases.length} pass with the runtime's own fetch and not with keepwire's\n`)
  return worse
}

main().catch((error) => {
  console.error(error)
  process.exit(1)
})
