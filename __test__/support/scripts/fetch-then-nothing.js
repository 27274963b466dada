'use strict'

// Fetches, one of them never read, then nothing: the process must end by itself although connections are idle.

const { fetch } = require('../../..')

const [port, unread] = process.argv.slice(2)
const origin = `http://127.0.0.1:${port}`

async function main() {
  for (let i = 0; i < 3; i++) await (await fetch(`${origin}/split`)).text()
  if (unread) await fetch(`${origin}/chunked`)
  console.log(JSON.stringify({ done: true }))
}

main()
