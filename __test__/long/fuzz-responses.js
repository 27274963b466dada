'use strict'

// `npm run fuzz:responses [-- CASES|SECONDSs [SEED [FIRST]]]`: responses from a seeded generator, each to a request over the
// runtime's agent, over ours and to our own request (support/fuzz-responses.js). What differs and has no name is printed, with
// the number of its case; FIRST begins with that one.

const { fuzzResponses } = require('../support/fuzz-responses')

const [amount = '60s', seed = String(Date.now() % 1_000_000), first = '0'] = process.argv.slice(2)
const match = /^(\d+)(s?)$/.exec(amount)
if (match === null) throw new Error(`not a number of cases, nor of seconds (60s): ${amount}`)
const most = Number(match[1])
const end = performance.now() + most * 1000

fuzzResponses({
  seed: Number(seed),
  first: Number(first),
  until: match[2] === 's' ? () => performance.now() > end : (done) => done >= most,
}).then(({ done, named, unnamed }) => {
  for (const difference of unnamed.slice(0, 20)) console.log(difference)
  for (const [name, count] of named) console.log(`${String(count).padStart(6)}  ${name}`)
  console.log(`seed ${seed}: ${done} cases, ${unnamed.length} differences without a name`)
  if (unnamed.length > 0) process.exitCode = 1
})
