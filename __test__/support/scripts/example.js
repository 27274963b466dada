'use strict'

// Runs an example of README or of a page of docs/ as it stands there, with local servers in place of those that it names. What
// a reader would have at hand is in scope: clients, an agent, a URL, callbacks. Arguments: the page, the number of its
// example, and the addresses of a server without TLS and of one with.

const { once } = require('node:events')
const fs = require('node:fs')
const http = require('node:http')
const http2 = require('node:http2')
const { createRequire } = require('node:module')
const path = require('node:path')

const root = path.join(__dirname, '..', '..', '..')
const requireAsUser = createRequire(path.join(root, 'package.json'))

const [page, number, plain, secure] = process.argv.slice(2)

const block = [...fs.readFileSync(path.join(root, page), 'utf8').matchAll(/^```js\n(.*?)^```$/gms)][Number(number)][1]

/** A server of HTTP/2 without TLS, before the one without; it keeps nothing alive. @returns {Promise<string>} its URL */
async function priorKnowledge() {
  const server = http2.createServer((_, response) => {
    http.get(plain, { agent: false }, (answer) => answer.pipe(response))
  })
  server.on('session', (session) => session.unref())
  await once(server.listen(0, '127.0.0.1').unref(), 'listening')
  return `http://127.0.0.1:${server.address().port}/`
}

/** Clients whose packages need a newer runtime are left out. */
async function client(name, instead) {
  try {
    return (await import(name)).default
  } catch {
    return instead
  }
}

async function main() {
  let code = block.replace(/https:\/\/(api\.)?example\.com\//g, secure).replaceAll('http://example.com/', plain)
  if (code.includes('h2c: true')) code = code.replaceAll('http://127.0.0.1:50051/', await priorKnowledge())
  const { Agent, fetch } = requireAsUser('keepwire')
  const { hostname: host, port } = new URL(plain)
  const needsTls = code.includes(secure)
  const agent = new Agent({ keepAlive: true })
  const read = (/** @type {any} */ response) => response.resume()
  const inScope = {
    agent,
    axios: await client('axios', { get: () => {} }),
    callback: read,
    fetch,
    got: await client('got', () => {}),
    host,
    http,
    myLookup: (_host, _options, answer) => answer(null, [{ address: '127.0.0.1', family: 4 }], 4),
    onResponse: read,
    path: '/',
    port,
    request: http.get(plain, { agent }, read),
    require: requireAsUser,
    retryLater: () => {},
    url: needsTls ? secure : plain,
  }
  // There it is the runtime's that keepwire stands in for.
  if (code.includes('install({ fetch')) delete inScope.fetch
  // What an example prints is not what this script says.
  const { log } = console
  console.log = console.error
  const AsyncFunction = Object.getPrototypeOf(async () => {}).constructor
  // A block of its own: an example may name what it makes as what is in scope.
  await new AsyncFunction(...Object.keys(inScope), `{${code.replaceAll('{ host, path', '{ host, port, path')}}`)(
    ...Object.values(inScope),
  )
  log(JSON.stringify({ ran: true }))
}

main()
