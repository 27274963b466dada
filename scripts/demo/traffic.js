'use strict'

// Traffic of many kinds, to servers of its own on loopback: what `npm run demo -- --dashboard` shows, and what the pictures in the
// documentation are of.

const http = require('node:http')
const net = require('node:net')

/** Names of one machine, so that origins can be told apart. */
const HOSTS = ['127.0.0.1', '127.0.0.2', '127.0.0.3', '127.0.0.4', '127.0.0.5', '127.0.0.6']

const later = (/** @type {number} */ ms) => new Promise((resolve) => setTimeout(resolve, ms).unref())

/** @param {import('node:http').RequestListener} listener @param {string} host @param {number} keepAliveTimeout */
async function serve(listener, host, keepAliveTimeout = 60_000) {
  const server = http.createServer({ keepAliveTimeout }, listener)
  await /** @type {Promise<void>} */ (new Promise((resolve) => server.listen(0, host, resolve)))
  server.unref()
  server.on('connection', (socket) => socket.unref())
  return { server, host, port: /** @type {net.AddressInfo} */ (server.address()).port }
}

/** @param {number} least @param {number} most of ms that an answer takes */
const answering =
  (least, most, body = 'x'.repeat(2000)) =>
  (/** @type {http.IncomingMessage} */ _, /** @type {http.ServerResponse} */ response) => {
    setTimeout(() => response.end(body), least + (most - least) * Math.random() ** 3)
  }

/**
 * @param {typeof import('../../index.js')} keepwire
 * @param {number} pace 1: some hundred requests a second
 */
async function startTraffic({ Agent }, pace = 1) {
  const [api, search, files, flaky, legacy, dead] = HOSTS
  const isShared = process.platform === 'linux'
  const at = (/** @type {string} */ host) => (isShared ? host : HOSTS[0])
  const targets = {
    api: await serve(answering(2, 40), at(api)),
    search: await serve(answering(30, 400), at(search)),
    files: await serve(answering(5, 60, 'x'.repeat(60_000)), at(files)),
    flaky: await serve((_, response) => {
      response.shouldKeepAlive = Math.random() > 0.3
      setTimeout(() => response.end('flaky'), 8)
    }, at(flaky)),
    legacy: await serve((_, response) => response.writeHead(200, { Connection: 'close' }).end('legacy'), at(legacy)),
  }
  const closed = net.createServer().listen(0, at(dead))
  await new Promise((resolve) => closed.on('listening', resolve))
  const nobody = { host: at(dead), port: /** @type {net.AddressInfo} */ (closed.address()).port }
  await new Promise((resolve) => closed.close(resolve))

  const agents = {
    api: new Agent({ keepAlive: true, maxSockets: 20 }),
    search: new Agent({ keepAlive: true, maxSockets: 6 }),
    other: new Agent({ keepAlive: true, maxSockets: 12 }),
  }
  let isOver = false
  const ask = (
    /** @type {{ host: string, port: number }} */ { host, port },
    /** @type {any} */ agent,
    method = 'GET',
  ) =>
    /** @type {Promise<void>} */ (
      new Promise((resolve) => {
        const request = http.request({ host, port, agent, method, path: '/' }, (response) =>
          response.resume().on('close', resolve),
        )
        request.on('error', () => resolve())
        request.end(method === 'POST' ? 'x'.repeat(500) : undefined)
      })
    )
  /** Asks again and again, in waves as users come. */
  const keepAsking = async (
    /** @type {() => Promise<void>} */ one,
    /** @type {number} */ gapMs,
    /** @type {number} */ phase,
  ) => {
    while (!isOver) {
      const wave = 1 + 0.6 * Math.sin((Date.now() / 1000 + phase) / 9)
      await Promise.all([one(), later((gapMs * (0.4 + Math.random())) / wave / pace)])
    }
  }
  for (let user = 0; user < 10; user += 1)
    keepAsking(() => ask(targets.api, agents.api, user % 4 ? 'GET' : 'POST'), 45, user / 8)
  for (let user = 0; user < 9; user += 1) keepAsking(() => ask(targets.search, agents.search), 130, user / 4)
  for (let user = 0; user < 4; user += 1) keepAsking(() => ask(targets.files, agents.other), 160, user)
  for (let user = 0; user < 2; user += 1) keepAsking(() => ask(targets.flaky, agents.other), 110, user)
  keepAsking(() => ask(targets.legacy, agents.other), 400, 0)
  return {
    agents,
    targets,
    /** Asks where nobody listens, too. */
    fail: () => keepAsking(() => ask(nobody, agents.other), 500, 0),
    stop() {
      isOver = true
      for (const agent of Object.values(agents)) agent.destroy()
      for (const { server } of Object.values(targets)) {
        server.close()
        server.closeAllConnections()
      }
    },
  }
}

module.exports = { startTraffic }
