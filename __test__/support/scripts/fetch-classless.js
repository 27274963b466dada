'use strict'

// A process without the runtime's fetch and its classes tells what keepwire's fetch comes to, without and with those of
// undici in their place.

const [url, how] = process.argv.slice(2)

// Later versions of Node have no flag for it.
for (const name of ['fetch', 'Response', 'Headers', 'Request', 'FormData']) Reflect.deleteProperty(globalThis, name)

const keepwire = require('../../../index.js')

const asked = async (name, ask) => {
  try {
    console.log(JSON.stringify({ [name]: await ask() }))
  } catch ({ code, message }) {
    console.log(JSON.stringify({ [name]: code, message }))
  }
}

async function main() {
  if (how === 'undici') {
    const { FormData, Headers, Request, Response } = require('undici')
    Object.assign(globalThis, { FormData, Headers, Request, Response })
  }
  const text = async (response) => (await response).text()
  await asked('text', () => text(keepwire.fetch(url)))
  await asked('headers', async () => (await keepwire.fetch(url, { headers: { a: 'b' } })).headers.get('content-type'))
  await asked('post', () => text(keepwire.fetch(url, { method: 'POST', body: new URLSearchParams({ a: 'b' }) })))
  await asked('defaults', () => text(keepwire.fetch.withDefaults({ headers: { a: 'b' } })(url)))
  await asked('data', () => text(keepwire.fetch('data:,a')))
  await asked('install', () => keepwire.install({ fetch: true }))
}

main()
