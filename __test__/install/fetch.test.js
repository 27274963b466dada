'use strict'

// install({ fetch: true }): globalThis.fetch is carried by keepwire, what is not ours still goes to the runtime's own, and
// whoever wraps it before or after is heeded.

const assert = require('node:assert')
const diagnostics = require('node:diagnostics_channel')
const fs = require('node:fs')
const http = require('node:http')
const net = require('node:net')
const os = require('node:os')
const path = require('node:path')

const keepwire = require('../..')
const { ca } = require('../support/fetch-tls')
const { reply } = require('../support/peer')
const { baseline, isBun, isDeno, isNode } = require('../support/runtime')
const { test: testOf } = require('../support/suite')
const { runProgram } = require('./program')

const runtimeFetch = globalThis.fetch
/** Each answer but those to `/kept` ends its connection: what the runtime's own fetch keeps, nobody can close. */
const OK = ({ target }, connection) => {
  connection.write(reply('hello', target === '/kept' ? [] : ['Connection: close']))
}

const test = (title, body, { skip = false } = {}) => {
  testOf(title, { skip: (baseline && 'it uses keepwire') || skip }, body)
}

/** How many connections keepwire opens from now on. */
function countDials(scope) {
  const dials = { count: 0 }
  const count = () => (dials.count += 1)
  diagnostics.subscribe('keepwire.connection.open', count)
  scope.defer(() => diagnostics.unsubscribe('keepwire.connection.open', count))
  return dials
}

function installed(scope) {
  scope.defer(() => {
    globalThis.fetch = runtimeFetch
    keepwire.uninstall()
  })
  keepwire.install({ fetch: true })
  return countDials(scope)
}

/** What becomes of a fetch, for comparison. */
async function outcome(make) {
  try {
    const response = await make()
    return [response.status, response.type, await response.text()]
  } catch (error) {
    return [error.name, error.constructor === TypeError]
  }
}

test('globalThis.fetch is carried by keepwire until uninstall(), on one connection', async (scope) => {
  const peer = await scope.peer(OK)
  const before = Object.getOwnPropertyDescriptor(globalThis, 'fetch')
  const dials = installed(scope)
  keepwire.install({ fetch: true })
  keepwire.install()
  const now = Object.getOwnPropertyDescriptor(globalThis, 'fetch')
  assert.notStrictEqual(now.value, runtimeFetch)
  assert.deepStrictEqual({ ...now, value: 0 }, { ...before, value: 0 })
  assert.strictEqual(globalThis.fetch.name, 'fetch')
  for (const name of Object.keys(Object.getOwnPropertyDescriptors(runtimeFetch))) assert.ok(name in globalThis.fetch)
  for (const path of ['/kept', '/kept', '/kept', '/']) {
    const response = await fetch(`http://127.0.0.1:${peer.port}${path}`)
    assert.ok(response instanceof Response)
    assert.ok(response.headers instanceof Headers)
    assert.strictEqual(await response.text(), 'hello')
  }
  assert.deepStrictEqual([peer.accepted, dials.count], [1, 1])
  keepwire.uninstall()
  assert.strictEqual(globalThis.fetch, runtimeFetch)
  assert.deepStrictEqual(Object.getOwnPropertyDescriptor(globalThis, 'fetch'), before)
})

test('install() alone leaves it to the runtime', async (scope) => {
  scope.defer(keepwire.uninstall)
  keepwire.install()
  assert.strictEqual(globalThis.fetch, runtimeFetch)
})

test("the runtime's Request, Headers, FormData and URL are taken", async (scope) => {
  const asked = []
  const peer = await scope.peer(({ method, target }, connection) => {
    asked.push(`${method} ${target}`)
    connection.write(reply('hello', ['Connection: close']))
  })
  const dials = installed(scope)
  const url = `http://127.0.0.1:${peer.port}`
  const form = new FormData()
  form.set('name', 'value')
  class Own extends Request {}
  const headers = new Headers({ accept: 'text/plain' })
  await (await fetch(new Request(`${url}/request`, { method: 'POST', body: 'value', headers }))).text()
  await (await fetch(new Own(`${url}/own`), { cache: 'no-store', credentials: 'omit' })).text()
  await (await fetch(new URL(`${url}/url`), { method: 'POST', body: form })).text()
  assert.deepStrictEqual(asked, ['POST /request', 'GET /own', 'POST /url'])
  assert.strictEqual(dials.count, 3)
})

test('what the runtime refuses is refused, in the same words where keepwire has none', async (scope) => {
  const peer = await scope.peer(OK)
  const url = `http://127.0.0.1:${peer.port}/`
  const calls = [
    [],
    ['/relative'],
    [url, { method: 'A B' }],
    [url, { mode: 'navigate' }],
    [url, { method: 'POST', body: 'x', duplex: 'full' }],
    [url, { redirect: 'sideways' }],
    [url, { cache: 'only-if-cached' }],
    [url, { headers: { 'a b': 'c' } }],
    [url, { signal: AbortSignal.abort() }],
  ]
  const usual = []
  for (const call of calls) usual.push(await outcome(() => runtimeFetch(...call)))
  installed(scope)
  for (const [at, call] of calls.entries()) {
    assert.deepStrictEqual(await outcome(() => fetch(...call)), usual[at], JSON.stringify(call))
  }
})

test("keepwire's own options are none there, as in the runtime", async (scope) => {
  const peer = await scope.peer(OK)
  const dials = installed(scope)
  const given = { agent: new http.Agent(), timeout: '5s', maxResponseSize: 1 }
  // Bun's own has a `timeout` of another kind.
  if (isBun) given.timeout = false
  const response = await fetch(`http://127.0.0.1:${peer.port}/`, given)
  assert.strictEqual(await response.text(), 'hello')
  assert.strictEqual(dials.count, 1)
  // Those of keepwire.fetch are what they were.
  await assert.rejects(keepwire.fetch(`http://127.0.0.1:${peer.port}/`, { maxResponseSize: 1 }).then((r) => r.text()))
})

test("what is not ours goes to the runtime's own fetch", async (scope) => {
  const peer = await scope.peer(OK)
  const dials = installed(scope)
  assert.strictEqual(await (await fetch('data:text/plain,said')).text(), 'said')
  const blob = URL.createObjectURL(new Blob(['held']))
  assert.strictEqual(await (await fetch(blob)).text(), 'held')
  URL.revokeObjectURL(blob)
  const url = `http://127.0.0.1:${peer.port}/`
  const integrity = `sha256-${require('node:crypto').createHash('sha256').update('hello').digest('base64')}`
  if (!isDeno) assert.strictEqual(await (await fetch(url, { integrity })).text(), 'hello')
  if (isNode) {
    const dispatcher = {
      dispatch(_options, handler) {
        const fail = handler.onResponseError ?? handler.onError
        fail.call(handler, new Error('dispatched'), new Error('dispatched'))
        return true
      },
    }
    await assert.rejects(fetch(url, { dispatcher }))
  } else {
    const credentials = await fetch(url.replace('127', 'user:secret@127'))
    assert.strictEqual(await credentials.text(), 'hello')
  }
  assert.strictEqual(dials.count, 0)
})

test('who wraps it afterwards is called, and keepwire carries what it passes on', async (scope) => {
  const peer = await scope.peer(OK)
  const dials = installed(scope)
  const ours = globalThis.fetch
  const heard = []
  const wrapper = (input, init) => {
    heard.push(String(input))
    if (String(input).startsWith('http://mocked.test')) return Promise.resolve(new Response('mocked'))
    return ours(input, init)
  }
  globalThis.fetch = wrapper
  const url = `http://127.0.0.1:${peer.port}/`
  assert.strictEqual(await (await fetch('http://mocked.test/')).text(), 'mocked')
  assert.strictEqual(await (await fetch(url)).text(), 'hello')
  assert.strictEqual(dials.count, 1)
  // It is left in its place, and keepwire is gone from under it.
  keepwire.uninstall()
  assert.strictEqual(globalThis.fetch, wrapper)
  assert.strictEqual(await (await fetch(url)).text(), 'hello')
  assert.deepStrictEqual([dials.count, peer.accepted, heard.length], [1, 2, 3])
})

test('who was there before is called in place of the engine, with one warning', async (scope) => {
  const warnings = []
  const onWarning = (warning) => warnings.push(warning.code)
  process.on('warning', onWarning)
  scope.defer(() => process.removeListener('warning', onWarning))
  const heard = []
  const mock = (input) => {
    heard.push(String(input))
    return Promise.resolve(new Response('mocked'))
  }
  globalThis.fetch = mock
  const dials = installed(scope)
  assert.notStrictEqual(globalThis.fetch, mock)
  for (let at = 0; at < 2; at += 1) assert.strictEqual(await (await fetch('http://mocked.test/')).text(), 'mocked')
  assert.deepStrictEqual([heard.length, dials.count], [2, 0])
  await new Promise((resolve) => setImmediate(resolve))
  assert.deepStrictEqual(warnings, ['KEEPWIRE_WARN_FALLBACK'])
  keepwire.uninstall()
  assert.strictEqual(globalThis.fetch, mock)
})

test("while somebody replaces how sockets connect, fetches are the runtime's own", async (scope) => {
  const peer = await scope.peer(OK)
  const dials = installed(scope)
  const { connect } = net
  net.connect = (...args) => connect(...args)
  scope.defer(() => {
    net.connect = connect
  })
  const url = `http://127.0.0.1:${peer.port}/`
  assert.strictEqual(await (await fetch(url)).text(), 'hello')
  assert.strictEqual(dials.count, 0)
  net.connect = connect
  assert.strictEqual(await (await fetch(url)).text(), 'hello')
  assert.strictEqual(dials.count, 1)
})

test('two copies of keepwire stand in for one another, and leave in any order', async (scope) => {
  const peer = await scope.peer(OK)
  const url = `http://127.0.0.1:${peer.port}/`
  const own = Object.keys(require.cache).filter((file) => file.startsWith(path.join(__dirname, '..', '..', 'lib')))
  const cached = own.map((file) => require.cache[file])
  const entry = require.resolve('../..')
  cached.push(require.cache[entry])
  for (const { filename } of cached) if (!filename.endsWith('.node')) delete require.cache[filename]
  const other = require('../..')
  for (const module of cached) require.cache[module.filename] = module
  assert.notStrictEqual(other.install, keepwire.install)
  const dials = installed(scope)
  scope.defer(other.uninstall)
  other.install({ fetch: true })
  assert.strictEqual(await (await fetch(url)).text(), 'hello')
  assert.strictEqual(dials.count, 1)
  keepwire.uninstall()
  assert.strictEqual(await (await fetch(url)).text(), 'hello')
  assert.strictEqual(dials.count, 2)
  other.uninstall()
  assert.strictEqual(globalThis.fetch, runtimeFetch)
})

test('a process without fetch is told so', async (scope) => {
  const before = Object.getOwnPropertyDescriptor(globalThis, 'fetch')
  scope.defer(() => Object.defineProperty(globalThis, 'fetch', before))
  delete globalThis.fetch
  assert.throws(() => keepwire.install({ fetch: true }), { code: 'ERR_INVALID_STATE' })
  assert.notStrictEqual(http.Agent, keepwire.Agent)
})

test('KEEPWIRE_FETCH=1 with keepwire/register does the same', async () => {
  const run = (env) => runProgram('fetch.js', { register: true, env })
  assert.deepStrictEqual(await run({ KEEPWIRE_FETCH: '1' }), { body: 'works', isCarried: true })
  assert.deepStrictEqual(await run({ KEEPWIRE_FETCH: '' }), { body: 'works', isCarried: false })
})

test(
  "TLS options that only the runtime can honour leave https: to the runtime's own fetch",
  async (scope) => {
    const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'keepwire-ca-'))
    scope.defer(() => fs.rmSync(folder, { recursive: true }))
    const authority = path.join(folder, 'ca.pem')
    fs.writeFileSync(authority, ca)
    const run = (env) =>
      runProgram('fetch.js', { register: true, args: ['https'], env: { KEEPWIRE_FETCH: '1', ...env } })
    const alone = { SSL_CERT_FILE: authority, NODE_OPTIONS: '--use-openssl-ca' }
    assert.deepStrictEqual(await run(alone), { body: 'works', isCarried: false })
    assert.deepStrictEqual(await run({ NODE_EXTRA_CA_CERTS: authority }), { body: 'works', isCarried: true })
  },
  { skip: !isNode && 'a flag of Node' },
)
