'use strict'

// Fetches from servers with which the engine's TLS has nothing in common: one server for each kind of first request, and
// all the rest from the first of them. Says what each came to.
//
// Arguments: `agent` or `client`, the file of the authority, the servers' ports.

const { readFileSync } = require('node:fs')

const { fetch, HttpsAgent, stats } = require('../../..')

const [, , way, authority, ...ports] = process.argv
const agent = way === 'agent' ? new HttpsAgent({ keepAlive: true, ca: readFileSync(authority) }) : undefined

async function* pieces() {
  yield 'one '
  yield 'two '
  await new Promise((resolve) => setImmediate(resolve))
  yield 'three'
}

const first = {
  get: {},
  text: { method: 'POST', body: 'one two three', redirect: 'error' },
  stream: { method: 'POST', body: pieces(), duplex: 'half' },
  'stream of a known length': {
    method: 'PUT',
    body: pieces(),
    duplex: 'half',
    headers: { 'content-length': '13', 'x-name': 'a' },
  },
}

const later = {
  again: ['/again'],
  'a stream again': ['/', { method: 'POST', body: pieces(), duplex: 'half' }],
  redirected: ['/redirect'],
  'a redirect, manually': ['/redirect', { redirect: 'manual' }],
  'a redirect as an error': ['/redirect', { redirect: 'error' }],
  'a POST that becomes a GET': ['/redirect', { method: 'POST', body: 'gone' }],
  head: ['/', { method: 'HEAD' }],
  nothing: ['/nothing'],
  gzip: ['/gzip'],
  deflate: ['/deflate'],
  'deflate without its header': ['/raw'],
  br: ['/br'],
  'two codings': ['/two'],
  'empty content': ['/empty'],
  'content that breaks off': ['/short'],
  'content in br that breaks off': ['/short-br'],
  'content in zstd that breaks off': ['/short-zstd'],
  'more than the content': ['/beyond'],
  'more than the content, later': ['/far-beyond'],
  'an upgrade that nobody asked for': ['/upgrade'],
  zstd: ['/zstd'],
  'an unknown coding': ['/unknown'],
  undecodable: ['/undecodable'],
  large: ['/large'],
  'cut off': ['/cut'],
  unanswered: ['/unanswered', { method: 'POST', body: 'x' }],
  'a timeout': ['/held', { timeout: 50 }],
}

async function tell(name, url, init) {
  try {
    const response = await fetch(url, { agent, ...init })
    const { status, redirected } = response
    const told = { name, status, isResponse: response instanceof Response, path: new URL(response.url).pathname }
    if (redirected) told.redirected = true
    try {
      const body = await response.text()
      told.body = body.length > 100 ? body.length : body
    } catch (error) {
      told.error = [error.message, error.cause?.code]
    }
    console.log(JSON.stringify(told))
  } catch (error) {
    console.log(JSON.stringify({ name, error: [error.name, error.message, error.cause?.code ?? error.cause?.message] }))
  }
}

async function main() {
  const bases = ports.map((port) => `https://localhost:${port}`)
  for (const [at, [name, init]] of Object.entries(first).entries()) await tell(name, `${bases[at]}/`, init)
  for (const [name, [path, init]] of Object.entries(later)) await tell(name, `${bases[0]}${path}`, init)
  const [known] = ports
  const own = agent === undefined ? stats() : agent.stats()
  for (const [name, { created, errors, foreign }] of Object.entries(own.origins)) {
    if (name.includes(known)) console.log(JSON.stringify({ origin: name.split(':')[0], created, errors, foreign }))
  }
  const asked = fetch.withDefaults({ agent, retry: false })
  await asked(`${bases[0]}/missing`).catch(({ code, status, excerpt }) => {
    console.log(JSON.stringify({ code, status, excerpt }))
  })
  const response = await fetch(`${bases[0]}/large`, { agent })
  let bytes = 0
  for await (const chunk of response.body) bytes += chunk.length
  console.log(JSON.stringify({ streamed: bytes }))
  const controller = new AbortController()
  const begun = await fetch(`${bases[0]}/begun`, { agent, signal: controller.signal })
  const aborted = begun.text()
  controller.abort(new RangeError('enough'))
  await aborted.catch(({ message }) => console.log(JSON.stringify({ reason: message })))
  const cancelled = await fetch(`${bases[0]}/large`, { agent })
  await cancelled.body.cancel()
  // Nothing keeps the process when this is over.
  agent?.destroy()
}

main()
