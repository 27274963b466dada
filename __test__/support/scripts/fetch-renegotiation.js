'use strict'

// Two fetches without an agent from a server that asks for another handshake; says what they came to, and what was counted.
//
// Argument: the URL.

const { fetch, stats } = require('../../..')

const [, , url] = process.argv

async function ask() {
  try {
    return await (await fetch(url, { method: 'POST', body: 'hello' })).text()
  } catch (error) {
    return error.cause?.code ?? String(error)
  }
}

async function main() {
  const seen = []
  for (let i = 0; i < 2; i++) seen.push(await ask())
  const [{ foreign }] = Object.values(stats().origins)
  console.log(JSON.stringify({ seen, foreign }))
}

main()
