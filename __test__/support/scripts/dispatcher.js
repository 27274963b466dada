'use strict'

// `dispatcher.js WAY`: replaces undici's global dispatcher in one way, fetches, and prints what came of it as JSON.

const http = require('node:http')

const npm = () => require('undici')

/** Some give what puts it right again. */
const WAYS = {
  /** Imported, and nothing more. */
  loaded: () => npm(),
  mock() {
    const { MockAgent, setGlobalDispatcher } = npm()
    const mock = new MockAgent()
    mock.disableNetConnect()
    mock
      .get('http://mocked.test')
      .intercept({ path: '/a' })
      .reply(200, 'mocked '.repeat(20), { headers: { 'x-by': 'mock' } })
      .times(3)
    mock.get('https://mocked.test').intercept({ path: '/a' }).reply(200, 'mocked https')
    setGlobalDispatcher(mock)
  },
  options() {
    const { Agent, setGlobalDispatcher } = npm()
    setGlobalDispatcher(new Agent({ headersTimeout: 300_000 }))
  },
  usual() {
    const { Agent, setGlobalDispatcher } = npm()
    setGlobalDispatcher(new Agent())
  },
  proxy(proxy) {
    const { ProxyAgent, setGlobalDispatcher } = npm()
    setGlobalDispatcher(new ProxyAgent({ uri: proxy, proxyTunnel: false }))
  },
  composed() {
    const { Agent, setGlobalDispatcher, interceptors } = npm()
    setGlobalDispatcher(new Agent().compose(interceptors.retry()))
  },
  env(proxy) {
    return http.setGlobalProxyFromEnv({ http_proxy: proxy })
  },
  /** Told on the command line. */
  flag() {},
}

async function main() {
  const { Agent, fetch, stats } = require('../../..')
  const warnings = []
  process.on('warning', ({ code, message }) => warnings.push(`${code} ${message}`))
  const proxied = []
  const proxy = http.createServer((request, response) => {
    proxied.push(request.url)
    response.end('proxied')
  })
  proxy.on('connect', (request, socket) => {
    proxied.push(request.url)
    socket.write('HTTP/1.1 200 OK\r\n\r\n')
    socket.on('error', () => {})
    socket.once('data', () => socket.end('HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\nproxied'))
  })
  const server = http.createServer((_, response) => response.end('real'))
  await new Promise((resolve) => proxy.listen(0, '127.0.0.1', resolve))
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve))
  const origin = `http://127.0.0.1:${server.address().port}`
  const way = process.argv[2]
  const before = await (await fetch(origin)).text()
  const restore = WAYS[way](`http://127.0.0.1:${proxy.address().port}`)
  const told = { before }
  const asked = way === 'mock' ? 'http://mocked.test/a' : origin
  const text = (promise) =>
    promise.then((response) => response.text()).catch((error) => error.cause?.code ?? error.name)
  told.answer = await text(fetch(asked))
  if (way === 'mock') {
    told.secure = await text(fetch(new Request('https://mocked.test/a')))
    told.limited = await text(fetch(asked, { maxResponseSize: 10 }))
    const whole = await fetch(asked, { maxResponseSize: 1_000, timeout: 10_000 })
    told.whole = [whole.url, whole.headers.get('x-by'), (await whole.text()).length]
  }
  const agent = new Agent({ keepAlive: false })
  told.agent = await text(fetch(origin, { agent }))
  told.chosen = await text(fetch(origin, { agent: () => agent }))
  told.proxied = proxied.length
  told.counted = Object.values(stats().origins ?? {}).reduce(
    (sum, { foreign }) => sum + (foreign?.['dispatcher-replaced'] ?? 0),
    0,
  )
  if (typeof restore === 'function') {
    restore()
    told.restored = await text(fetch(origin))
    told.proxiedThen = proxied.length
  }
  await new Promise((resolve) => setImmediate(resolve))
  told.warnings = warnings.filter((warning) => warning.startsWith('KEEPWIRE'))
  console.log(JSON.stringify(told))
  process.exit()
}

main()
