'use strict'

// Every way of requesting through every kind of proxy, in a network of its own: names are answered there by a server that counts, with
// an address that leads to a trap. What a proxy is asked for it finds on 127.0.0.1, at the same port as the trap's. Prints what each
// way came to, and what was asked and connected past the proxies; then the same without a proxy, which must be noticed.

const http = require('node:http')
const https = require('node:https')
const net = require('node:net')

const { makeAuthority } = require('../authority.js')
const { answerNames } = require('../name-server.js')
const { scriptedProxy } = require('../proxy.js')
const { listen } = require('../secure.js')
const { socksProxy } = require('../socks.js')
const keepwire = require('../../../index.js')

/** An address of the network that is no proxy's. */
const TRAP = '10.1.2.3'
const NAME = 'target.test'

/** @type {(() => unknown)[]} */
const ends = []
const scope = /** @type {any} */ ({ defer: (/** @type {() => unknown} */ end) => ends.push(end) })

/** What was connected to directly. */
let direct = 0

/** @param {number} port */
async function trap(port) {
  const server = net.createServer((socket) => {
    direct += 1
    socket.destroy()
  })
  await new Promise((resolve) => server.listen(port, TRAP, () => resolve(undefined)))
  scope.defer(() => server.close())
}

/** @returns {Promise<string>} the status, or the error's code */
function ask(/** @type {any} */ module, /** @type {any} */ options) {
  return new Promise((resolve) => {
    const tell = (/** @type {any} */ error) => resolve(error.code ?? error.message)
    try {
      const request = module.request({ method: 'GET', ...options }, (/** @type {any} */ response) => {
        response.on('error', tell)
        response.resume().on('end', () => resolve(String(response.statusCode)))
      })
      request.on('error', tell)
      request.on('upgrade', (/** @type {any} */ _response, /** @type {any} */ socket) => {
        socket.destroy()
        resolve('upgraded')
      })
      request.on('connect', (/** @type {any} */ _response, /** @type {any} */ socket) => {
        socket.destroy()
        resolve('connected')
      })
      request.end()
    } catch (error) {
      tell(error)
    }
  })
}

/** @returns {Promise<string>} */
async function fetched(/** @type {string} */ url, /** @type {any} */ init) {
  try {
    const response = await keepwire.fetch(url, init)
    await response.text()
    return String(response.status)
  } catch (error) {
    const { cause, code, message } = /** @type {any} */ (error)
    return cause?.code ?? code ?? message
  }
}

/** What only the runtime's sockets can carry. @type {Record<string, any>} */
const FALLBACKS = {
  upgrade: { headers: { Connection: 'Upgrade', Upgrade: 'x' } },
  'method CONNECT': { method: 'CONNECT' },
  'lenient parser': { insecureHTTPParser: true },
  'several hosts': { headers: { Host: ['a.test', 'b.test'] } },
  onread: { onread: { buffer: Buffer.alloc(10), callback() {} } },
  secureOptions: { secureOptions: 4 },
}

/** The same, of agents' TLS, or of servers': the engine finds out by the handshake that it has nothing in common with those. */
const OLD_VERSION = { minVersion: 'TLSv1', ciphers: 'DEFAULT@SECLEVEL=0' }
const OLD_SERVER = { maxVersion: 'TLSv1.2', ciphers: 'AES256-SHA' }

/** Agents that only the runtime's sockets can serve. */
const HOOKS = ['createConnection', 'createSocket', 'keepSocketAlive', 'reuseSocket', 'removeSocket']

async function main() {
  const [targets, own] = await Promise.all([makeAuthority(), makeAuthority()])
  const queries = await answerNames(scope, '127.0.0.1', (name) => (name === NAME ? TRAP : null))
  if (queries === null) throw new Error('no name server')
  const answer = (/** @type {any} */ request, /** @type {any} */ response) => {
    const { host } = request.headers
    const away = request.url === '/away' ? { Location: `//${TRAP}:${host.slice(host.indexOf(':') + 1)}/` } : undefined
    response.writeHead(away ? 302 : 200, { 'Content-Length': 0, ...away })
    response.end()
  }
  const { key, pem: cert } = targets.server
  const plain = await listen(scope, http.createServer({ keepAliveTimeout: 60_000 }, answer))
  const secure = await listen(scope, https.createServer({ key, cert, keepAliveTimeout: 60_000 }, answer))
  const old = await listen(scope, https.createServer({ key, cert, ...OLD_SERVER }, answer))
  for (const { port } of [plain, secure, old]) await trap(port)

  const plainProxy = await scriptedProxy(scope)
  const secureProxy = await scriptedProxy(scope, { identity: own.server })
  const socks = await socksProxy(scope)
  /** @type {[string, any][]} */
  const proxies = [
    ['http proxy', { proxy: plainProxy.url }],
    ['https proxy', { proxy: secureProxy.url, proxyTls: { ca: own.root.pem } }],
    ['socks4a proxy', { proxy: `socks4a://127.0.0.1:${socks.port}` }],
    ['socks5h proxy', { proxy: `socks5h://127.0.0.1:${socks.port}` }],
    ['function', { proxy: async () => plainProxy.url }],
    ['environment', { proxyEnv: { http_proxy: plainProxy.url, https_proxy: plainProxy.url } }],
  ]
  /** @type {Record<string, string>} */
  const outcomes = {}
  // Certificates are for localhost; names are another matter.
  const trusting = { ca: targets.root.pem, rejectUnauthorized: false }
  for (const scheme of /** @type {const} */ (['http', 'https'])) {
    const module = scheme === 'http' ? http : https
    const Agent = scheme === 'http' ? keepwire.Agent : keepwire.HttpsAgent
    const { port } = scheme === 'http' ? plain : secure
    for (const [name, given] of proxies) {
      for (const host of [NAME, TRAP]) {
        const url = `${scheme}://${host}:${port}/`
        const agent = /** @type {any} */ (new Agent({ keepAlive: true, ...(scheme === 'https' && trusting), ...given }))
        const note = (/** @type {string} */ way, /** @type {string} */ outcome) => {
          outcomes[`${scheme} to ${host}, ${name}, ${way}`] = outcome
        }
        note('request', await ask(module, { agent, host, port }))
        note('our own request', await ask(keepwire[scheme], { agent, host, port }))
        note('fetch', await fetched(url, { agent }))
        note('redirected fetch', await fetched(`${url}away`, { agent }))
        if (scheme === 'http' && given.proxy) note('fetch alone', await fetched(url, given))
        if (scheme === 'http' && given.proxy) note('reqwest', await fetched(url, { ...given, client: 'reqwest' }))
        if (given.proxy) {
          const straight = /** @type {any} */ (new Agent({ ...(scheme === 'https' && trusting) }))
          note('its own proxy', await ask(module, { agent: straight, host, port, ...given }))
          straight.destroy()
        }
        note(
          'preconnect',
          await agent.preconnect(url, 2).then(String, (/** @type {any} */ error) => error.code ?? error.message),
        )
        for (const [what, options] of Object.entries(FALLBACKS))
          note(what, await ask(module, { agent, host, port, path: options.method && `${host}:${port}`, ...options }))
        for (const hook of HOOKS) {
          const hooked = /** @type {any} */ (new Agent({ ...(scheme === 'https' && trusting), ...given }))
          const inherited = hooked[hook]
          hooked[hook] = (/** @type {any[]} */ ...args) => inherited.apply(hooked, args)
          note(hook, await ask(module, { agent: hooked, host, port }))
          hooked.destroy()
        }
        if (scheme === 'https') {
          note('old server', await ask(module, { agent, host, port: old.port }))
          note('fetch of an old server', await fetched(`https://${host}:${old.port}/`, { agent }))
          const older = /** @type {any} */ (new Agent({ ...trusting, ...OLD_VERSION, ...given }))
          note('old version', await ask(module, { agent: older, host, port: old.port }))
          older.destroy()
        }
        agent.destroy()
      }
    }
  }
  console.log(JSON.stringify({ outcomes, queries: [...queries], direct }))

  // What nobody would notice proves nothing.
  queries.length = 0
  direct = 0
  const agent = /** @type {any} */ (new keepwire.Agent())
  await ask(http, { agent, host: NAME, port: plain.port, family: 4 })
  await ask(keepwire.http, { agent, host: TRAP, port: plain.port })
  console.log(JSON.stringify({ queries: [...new Set(queries)], direct }))
  agent.destroy()
  for (const end of ends.reverse()) await end()
  process.exit()
}

main().catch((error) => {
  console.error(error)
  process.exit(1)
})
