'use strict'

// One fetch, then 50 at a time; says what the first and the last came to.

const { fetch } = require('../../..')

const origin = process.argv[2]

async function get(path) {
  const response = await fetch(`${origin}${path}`)
  return [response.headers.get('x-version'), response.statusText, await response.text()]
}

async function main() {
  console.log(JSON.stringify({ first: await get('/first') }))
  const all = await Promise.all(Array.from({ length: 50 }, (_, i) => get(`/${i}`)))
  console.log(JSON.stringify({ last: all.at(-1) }))
}

main()
