'use strict'

// `npm run fetch:compare [-- --all]`: the web platform's fetch tests as far as they apply on a server, with the runtime's
// own fetch and with ours. Prints a table: a line a room, and each case that they do not agree on (--all: each case).
// Ends with an error if a case passes with the runtime's own and not with ours.

const path = require('node:path')

const root = path.join(__dirname, '..')
const { fetch } = require(root)
const { cases } = require(path.join(root, '__test__/fetch/cases.js'))
const { startFetchServer } = require(path.join(root, '__test__/support/fetch-server.js'))

const LIMIT_MS = 5_000
const runtimeFetch = globalThis.fetch

// A rejection that comes late is the case's own affair, and counted there.
process.on('unhandledRejection', () => {})
process.on('uncaughtException', () => {})

/** @returns {Promise<string | null>} what went wrong */
async function outcome(run, fetch) {
  const server = await startFetchServer()
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

async function main() {
  const showAll = process.argv.includes('--all')
  const { bun, deno, node } = process.versions
  const runtime = bun ? `Bun ${bun}` : deno ? `Deno ${deno}` : `Node ${node}`
  const rooms = new Map()
  const lines = []
  let worse = 0
  for (const { room, name, run } of cases) {
    const theirs = await outcome(run, runtimeFetch)
    const ours = await outcome(run, fetch)
    const sums = rooms.get(room) ?? { cases: 0, theirs: 0, ours: 0 }
    rooms.set(room, sums)
    sums.cases++
    if (theirs === null) sums.theirs++
    if (ours === null) sums.ours++
    if (theirs === null && ours !== null) worse++
    if (showAll || (theirs === null) !== (ours === null)) {
      lines.push(`  ${`${room}: ${name}`.padEnd(64)}${mark(theirs).padStart(10)}${mark(ours).padStart(10)}`)
      if (ours !== null) lines.push(`      keepwire: ${ours}`)
    }
  }
  console.log(`${`  ${runtime}`.padEnd(48)}${'cases'.padStart(8)}${'own fetch'.padStart(12)}${'keepwire'.padStart(12)}`)
  const total = { cases: 0, theirs: 0, ours: 0 }
  for (const [room, sums] of [...rooms, ['all', total]]) {
    const cells = [String(sums.cases).padStart(8), String(sums.theirs).padStart(12), String(sums.ours).padStart(12)]
    console.log(`  ${room.padEnd(46)}${cells.join('')}`)
    for (const key of Object.keys(total)) total[key] += room === 'all' ? 0 : sums[key]
  }
  if (lines.length > 0)
    console.log(`\n${'  where they differ'.padEnd(66)}${'own'.padStart(10)}${'keepwire'.padStart(10)}`)
  for (const line of lines) console.log(line)
  console.log(`\n${worse} of ${cases.length} pass with the runtime's own fetch and not with keepwire's`)
  process.exit(worse > 0 ? 1 : 0)
}

main().catch((error) => {
  console.error(error)
  process.exit(1)
})
