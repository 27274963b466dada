'use strict'

// Requests that can't be sent, among others, all in one tick: says what became of each. What is too large for a batch of
// commands is among them.

const { Agent, fetch, http } = require('../../..')

const [secure, plain] = process.argv.slice(2)

/** @param {string} name @param {Promise<Response>} fetched */
async function told(name, fetched) {
  const read = fetched.then(async (response) => [response.status, (await response.text()).length])
  const outcome = await read.catch((error) => [error.name, error.cause?.code ?? error.cause?.message ?? error.message])
  return [name, ...outcome]
}

/** @param {any} agent */
function get(agent) {
  return new Promise((resolve) => {
    const answer = (/** @type {any} */ response) =>
      response.resume().on('end', () => resolve(['request', response.statusCode]))
    http.get(`${plain}/`, { agent }, answer).on('error', (error) => resolve(['request', error.message]))
  })
}

async function main() {
  const agent = new Agent({ keepAlive: true })
  // One more than a map of fields takes in Rust.
  const many = Object.fromEntries(Array.from({ length: 24_577 }, (_, i) => [`x-${i}`, 'a value']))
  const bad = [
    () => told('host', fetch('https://xn--a-/')),
    () => told('redirect', fetch(`${plain}/to/xn--a-`)),
    () => told('control', fetch(`${secure}/`, { headers: new Headers({ a: '\x01' }) })),
    () => told('delete', fetch(`${plain}/`, { headers: { a: 'x\x7f' } })),
    () => told('fields', fetch(`${secure}/`, { headers: many })),
    () => told('size', fetch(`${secure}/`, { headers: { a: 'x'.repeat(300_000) } })),
    () => told('url', fetch(`${secure}/?${'x'.repeat(70_000)}`)),
  ]
  const innocent = [
    () => told('secure', fetch(`${secure}/`)),
    () => told('plain', fetch(`${plain}/`)),
    () => get(agent),
  ]
  const all = bad.flatMap((one) => [one, ...innocent]).map((begin) => begin())
  for (const outcome of await Promise.all(all)) console.log(JSON.stringify({ outcome }))
}

main()
