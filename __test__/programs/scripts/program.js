'use strict'

// What the scripts of this folder have in common.

const { createRequire } = require('node:module')
const http = require('node:http')
const path = require('node:path')

/** require() of the program that a script runs beside. */
const requireProgram = createRequire(path.join(process.env.KEEPWIRE_PROGRAM || __dirname, 'package.json'))

/** A server on loopback that answers with what it was asked for; it does not keep the process. */
async function serve() {
  /** @type {string[]} */
  const requests = []
  /** @type {http.IncomingHttpHeaders[]} */
  const headers = []
  const server = http.createServer((req, res) => {
    requests.push(`${req.method} ${req.url}`)
    headers.push(req.headers)
    res.end(`real ${req.url}`)
  })
  server.listen(0, '127.0.0.1')
  await new Promise((resolve) => server.once('listening', resolve))
  server.unref()
  return { port: server.address().port, requests, headers, server }
}

/** Each way in which a program can use keepwire: what makes a request of a URL, and tells its body. */
const WAYS = {
  'the runtime alone': (_keepwire, url, call) => ask(moduleOf(url), url, call),
  agent: (keepwire, url, call) => ask(moduleOf(url), url, call, { agent: agentOf(keepwire, url) }),
  'stand-in': (keepwire, url, call) => ask(url.startsWith('https') ? keepwire.https : keepwire.http, url, call),
  install(keepwire, url, call) {
    keepwire.install()
    return ask(moduleOf(url), url, call)
  },
  'install with request'(keepwire, url, call) {
    keepwire.install({ request: true })
    return ask(moduleOf(url), url, call)
  },
  'the runtime alone by fetch': async (_keepwire, url, call) => (await globalThis.fetch(url, initOf(call))).text(),
  async 'install with fetch'(keepwire, url, call) {
    keepwire.install({ fetch: true })
    return (await globalThis.fetch(url, initOf(call))).text()
  },
  fetch: async (keepwire, url, call) => (await keepwire.fetch(url, initOf(call))).text(),
  async 'fetch with an agent'(keepwire, url, call) {
    return (await keepwire.fetch(url, { ...initOf(call), agent: agentOf(keepwire, url) })).text()
  },
}

/**
 * @param {any} module
 * @param {string} url
 * @param {string} call 'get' or 'request', or 'post', for one with a body
 * @param {object} [options]
 */
function ask(module, url, call, options) {
  if (call === 'post') return read((done) => module.request(url, { ...options, method: 'POST' }, done), 'body')
  return read((done) => (options === undefined ? module[call](url, done) : module[call](url, options, done)))
}

const initOf = (call) => (call === 'post' ? { method: 'POST', body: 'body' } : {})

const agents = {}

function agentOf(keepwire, url) {
  const secure = url.startsWith('https')
  agents[secure] ??= new (secure ? keepwire.HttpsAgent : keepwire.Agent)({ keepAlive: true })
  return agents[secure]
}

// Looked up when used, as programs do.
const moduleOf = (url) => require(url.startsWith('https') ? 'node:https' : 'node:http')

/**
 * @param {(done: (res: any) => void) => any} make
 * @param {string} [body]
 */
function read(make, body) {
  return new Promise((resolve, reject) => {
    const req = make((res) => {
      let text = ''
      res.setEncoding('utf8')
      res.on('data', (chunk) => (text += chunk))
      res.on('error', reject)
      res.on('end', () => resolve(text))
    })
    req.on('error', reject)
    req.end(body)
  })
}

/** A fetch fails with what failed under it. */
const outcome = (promise) => promise.catch((error) => `failed: ${error.cause?.code ?? error.code ?? error.message}`)

module.exports = { outcome, read, requireProgram, serve, WAYS }
