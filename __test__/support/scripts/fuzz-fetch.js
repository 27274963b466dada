'use strict'

// `fuzz-fetch.js CASES|SECONDSs SEED [FIRST]`: makes calls of fetch() that follow from the seed, in a process that trusts
// support/fetch-tls.js (NODE_EXTRA_CA_CERTS), and prints what differs from the runtime's own fetch. FIRST: the number of the
// first one, to look at one again.

const { Fuzzer } = require('../fuzz-fetch')
const { ca, cert, key } = require('../fetch-tls')

const [amount = '1000', seed = '1', first = '0'] = process.argv.slice(2)
const MOST_SHOWN = 20

const told = (/** @type {any} */ error) =>
  error && `${error.name}: ${error.message} (${error.cause?.message ?? error.cause})`

async function main() {
  const seconds = amount.endsWith('s') ? Number(amount.slice(0, -1)) : Number.POSITIVE_INFINITY
  const cases = amount.endsWith('s') ? Number.POSITIVE_INFINITY : Number(amount)
  const end = Date.now() + seconds * 1000
  const fuzzer = await Fuzzer.start(Number(seed), { ca, pem: cert, key })
  process.on('uncaughtException', (error) => fuzzer.note(error))
  process.on('unhandledRejection', (error) => fuzzer.note(error))
  let [made, skipped, shown] = [0, 0, 0]
  for (let number = Number(first); number < Number(first) + cases && Date.now() < end; number++) {
    const result = await fuzzer.next(number)
    made += 1
    if (result === null) skipped += 1
    if (result === null || result.found.length === 0) continue
    const { found, of } = result
    shown += 1
    console.log(`\n${number}: ${of.scheme}, ${of.way === 'agent' ? 'over an agent' : 'without an agent'}`)
    console.log(`  ${of.words.join('; ')}`)
    for (const { path, theirs, ours } of found)
      console.log(`  ${path}: ${JSON.stringify(theirs)} ≠ ${JSON.stringify(ours)}`)
    if (of.theirError || of.ourError) console.log(`  ${told(of.theirError)} ≠ ${told(of.ourError)}`)
    if (shown >= MOST_SHOWN) break
  }
  await fuzzer.stop()
  console.log(`seed ${seed}: ${made} calls, ${skipped} that nobody can make, ${shown} that differ`)
  if (shown > 0) process.exitCode = 1
}

main().catch((error) => {
  console.error(error)
  process.exit(1)
})
