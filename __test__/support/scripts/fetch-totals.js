'use strict'

// Two fetches from the same origin, one after the other, and what totals() says of them.

const { fetch, totals } = require('../../..')

const origin = process.argv[2]

async function main() {
  for (let count = 0; count < 2; count++) await (await fetch(`${origin}/`)).text()
  const { created, durationMs, firstByteMs, reused } = totals()[origin]
  const answered = durationMs.GET['2xx'].count
  console.log(JSON.stringify({ created, reused, answered, firstBytes: firstByteMs.count }))
}

main()
