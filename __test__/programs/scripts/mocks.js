'use strict'

// `mocks.js <mock> <first|last> <way,…>`: requests to a host that is mocked and does not exist, and to a real server, and what
// else was heard of on the way.

const diagnostics = require('node:diagnostics_channel')
const http = require('node:http')
const https = require('node:https')
const net = require('node:net')
const tls = require('node:tls')

const { outcome, requireProgram, serve, WAYS } = require('./program')

const [mock, order, wanted] = process.argv.slice(2)
const ways = wanted.split(',')

/** How each mock is told of the host, and what ends it. */
const MOCKS = {
  nock() {
    const module = requireProgram('nock')
    const nock = module.default ?? module
    for (const origin of ['http://mocked.test', 'https://mocked.test']) {
      nock(origin).persist().get('/m').reply(200, 'mocked')
      nock(origin).persist().get('/second').reply(200, 'mocked')
      nock(origin).persist().post('/m', 'body').reply(201, 'mocked post')
    }
    return () => {
      nock.cleanAll()
      nock.restore()
    }
  },
  msw() {
    const { http, HttpResponse } = requireProgram('msw')
    const { setupServer } = requireProgram('msw/node')
    const answer = () => HttpResponse.text('mocked')
    const server = setupServer(
      ...['http', 'https'].flatMap((scheme) => [
        http.get(`${scheme}://mocked.test/m`, answer),
        http.get(`${scheme}://mocked.test/second`, answer),
        http.post(`${scheme}://mocked.test/m`, async ({ request }) =>
          (await request.text()) === 'body' ? HttpResponse.text('mocked post') : HttpResponse.error(),
        ),
      ]),
    )
    server.listen({ onUnhandledRequest: 'bypass' })
    return () => server.close()
  },
  /** By hand: whoever connects to that host gets a socket that answers. */
  socket: () => replace(net.Socket.prototype, 'connect'),
  connect: () => replace(net, 'connect', 'createConnection'),
  secure: () => replace(tls, 'connect'),
  createConnection: () => replaceOfAgents('createConnection', (options) => connectOnto(options)),
  createSocket: () =>
    replaceOfAgents('createSocket', (_req, options, done) => {
      const socket = connectOnto(options)
      // Told as soon as it is there, as the runtime's own.
      if (socket !== undefined) done(null, socket)
      return socket
    }),
}

/** A socket to the server for what is meant for the host that is mocked. */
function connectOnto({ host }) {
  if (host !== 'mocked.test') return undefined
  return net.connect({ port: global.realPort, host: '127.0.0.1' })
}

/** Of every agent: the method that makes their connections, unless `instead` has one. */
function replaceOfAgents(name, instead) {
  const undo = [http, https].map(({ Agent: { prototype } }) => {
    const own = Object.getOwnPropertyDescriptor(prototype, name)
    const before = prototype[name]
    prototype[name] = function replaced(...args) {
      return instead(...args) ?? before.apply(this, args)
    }
    return () => {
      if (own === undefined) delete prototype[name]
      else Object.defineProperty(prototype, name, own)
    }
  })
  return () => {
    for (const back of undo) back()
  }
}

function replace(target, ...names) {
  const before = names.map((name) => target[name])
  for (const [at, name] of names.entries()) {
    target[name] = function replaced(...args) {
      const options = Array.isArray(args[0]) ? args[0][0] : args[0]
      if (options.host !== 'mocked.test') return before[at].apply(this, args)
      const onto = { port: global.realPort, host: '127.0.0.1' }
      if (this instanceof net.Socket) return before[at].call(this, onto)
      return net.Socket.prototype.connect.call(new net.Socket(), onto)
    }
  }
  return () => {
    for (const [at, name] of names.entries()) target[name] = before[at]
  }
}

async function main() {
  let heard = []
  for (const name of ['created', 'start']) {
    diagnostics.subscribe(`http.client.request.${name}`, ({ request }) =>
      heard.push(`${name} ${request.host ?? ''}${request.path}`),
    )
  }
  const { port, requests } = await serve()
  const real = `http://127.0.0.1:${port}`
  global.realPort = port
  let restore = order === 'first' ? MOCKS[mock]() : undefined
  const keepwire = require('../../..')
  let dials = 0
  diagnostics.subscribe('keepwire.connection.open', () => (dials += 1))

  /** What becomes of requests made each way, and who heard of them. */
  const told = Object.fromEntries(ways.map((way) => [way, { answers: {}, heard: [] }]))
  const ask = async (name, url, call = 'get') => {
    for (const way of ways) {
      heard = []
      told[way].answers[name] = await outcome(WAYS[way](keepwire, url, call))
      told[way].heard.push(...heard)
    }
  }
  if (order === 'last') await ask('before', `${real}/before`)
  restore ??= MOCKS[mock]()
  const before = dials
  if (mock !== 'secure') {
    await ask('mocked', 'http://mocked.test/m')
    await ask('again', 'http://mocked.test/second', 'request')
    await ask('upload', 'http://mocked.test/m', 'post')
  }
  if (['nock', 'msw', 'secure', 'createConnection', 'createSocket'].includes(mock))
    await ask('secure', 'https://mocked.test/m')
  const dialsWhileMocked = dials - before
  await ask('real', `${real}/real`)
  await ask('sent', `${real}/sent`, 'post')
  restore()
  await ask('after', `${real}/after`)
  console.log(JSON.stringify({ told, requests, dialsWhileMocked, dials }))
  process.exit()
}

main()
