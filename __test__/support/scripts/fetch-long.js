'use strict'

// Fetches without an agent whose heads are long; says what each came to.
//
// Argument: the server's origin. Its paths: /fields/n for as many fields; any other tells the length of the request's target
// and of its field x-long.

const { fetch } = require('../../..')

const [origin] = process.argv.slice(2)

async function main() {
  for (const length of [60_000, 70_000, 300_000]) {
    const response = await fetch(`${origin}/${'a'.repeat(length - 1)}`)
    console.log(JSON.stringify({ target: length, told: await response.json() }))
  }
  const headers = { 'x-long': 'b'.repeat(300_000) }
  console.log(JSON.stringify({ field: 300_000, told: await (await fetch(`${origin}/x`, { headers })).json() }))
  for (const fields of [99, 101, 700]) {
    const response = await fetch(`${origin}/fields/${fields}`)
    const own = [...response.headers.keys()].filter((name) => name.startsWith('x-')).length
    console.log(JSON.stringify({ fields, own, body: await response.text() }))
  }
}

main()
