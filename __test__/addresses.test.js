'use strict'

// What an agent may connect to: `allowAddress` judges every address before a connection is opened, however the request came to
// it, and a `lookup` says what names stand for. The engine carries both.

const assert = require('node:assert')

const { failure, request, read, send } = require('./support/client')
const { reply } = require('./support/peer')
const { baseline, isDeno } = require('./support/runtime')
const { testBoth } = require('./support/suite')
const { test } = require('./support/suite')

const { explain, fetch, http: ownHttp, https: ownHttps, publicAddressesOnly } = baseline ? {} : require('..')

const OURS = { ours: 'judges no addresses' }
const KEEP_ALIVE = { keepAlive: true, warnings: false }
const OK = (_, connection) => connection.write(reply('ok'))
const REFUSED = 'ERR_KEEPWIRE_ADDRESS_REFUSED'

/** A look-up that gives `addresses`, one after the other, the last one for ever. */
function lookupOf(...addresses) {
  const asked = []
  const lookup = (host, options, callback) => {
    asked.push(host)
    const given = addresses.length > 1 ? addresses.shift() : addresses[0]
    const list = [given].flat().map((address) => ({ address, family: address.includes(':') ? 6 : 4 }))
    setImmediate(() => (options.all ? callback(null, list) : callback(null, list[0].address, list[0].family)))
  }
  return { asked, lookup }
}

/** An answer that notes what it was asked. */
function judge(answer) {
  const asked = []
  const allowAddress = (...given) => {
    asked.push(given)
    return answer(...given)
  }
  return { asked, allowAddress }
}

const PUBLIC = [
  '1.1.1.1',
  '8.8.8.8',
  '9.255.255.255',
  '11.0.0.0',
  '100.63.255.255',
  '100.128.0.0',
  '126.255.255.255',
  '128.0.0.1',
  '169.253.255.255',
  '172.15.255.255',
  '172.32.0.0',
  '192.0.1.0',
  '192.167.255.255',
  '192.169.0.0',
  '198.17.255.255',
  '198.20.0.0',
  '223.255.255.255',
  '2606:4700:4700::1111',
  '2001:4860:4860::8888',
  '2a00:1450:4001:81b::200e',
  '::ffff:8.8.8.8',
  '64:ff9b::808:808',
]

const SPECIAL = [
  '0.0.0.0',
  '0.1.2.3',
  '10.0.0.1',
  '10.255.255.255',
  '100.64.0.1',
  '100.127.255.255',
  '127.0.0.1',
  '127.255.255.254',
  '169.254.169.254',
  '172.16.0.1',
  '172.31.255.255',
  '192.0.0.1',
  '192.0.2.1',
  '192.88.99.1',
  '192.168.0.1',
  '198.18.0.1',
  '198.19.255.255',
  '198.51.100.1',
  '203.0.113.1',
  '224.0.0.1',
  '239.255.255.255',
  '240.0.0.1',
  '255.255.255.255',
  '::',
  '::1',
  '0:0:0:0:0:0:0:1',
  '::127.0.0.1',
  '::7f00:1',
  '::ffff:127.0.0.1',
  '::ffff:7f00:1',
  '::ffff:10.0.0.1',
  '0:0:0:0:0:ffff:a9fe:a9fe',
  '64:ff9b::127.0.0.1',
  '64:ff9b::a00:1',
  '64:ff9b:1::1',
  '100::1',
  '2001::1',
  '2001:db8::1',
  '2002:7f00:1::',
  '3fff::1',
  '5f00::1',
  'fc00::1',
  'fd12:3456::1',
  'fe80::1',
  'fe80::1%eth0',
  'fec0::1',
  'ff02::1',
  '4000::1',
  'localhost',
  '',
  '127.1',
]

test('publicAddressesOnly takes what is reachable from everywhere, and nothing else', OURS, async () => {
  assert.deepStrictEqual(
    PUBLIC.filter((ip) => !publicAddressesOnly(ip)),
    [],
  )
  assert.deepStrictEqual(
    SPECIAL.filter((ip) => publicAddressesOnly(ip)),
    [],
  )
})

/** Every way of spelling this machine or a private network that a URL or an option may have. */
const SPELLED = [
  '127.0.0.1',
  '0x7f000001',
  '0x7f.1',
  '2130706433',
  '0177.0.0.1',
  '127.1',
  '0',
  'localhost',
  '[::1]',
].concat(['[::ffff:127.0.0.1]', '[::ffff:7f00:1]', '[::]', '169.254.169.254', '10.0.0.1', '[fe80::1]', '[fd00::1]'])

testBoth('no spelling of a private address is connected to, as host or in a URL', OURS, async (scope) => {
  const peer = await scope.peer(OK)
  const agent = scope.agent({ ...KEEP_ALIVE, allowAddress: publicAddressesOnly })
  for (const spelled of SPELLED) {
    const host = spelled.replace(/[[\]]/g, '')
    const error = await failure(send({ host, port: peer.port, agent }))
    assert.ok(error.code === REFUSED || error.code === 'ENOTFOUND', `${host}: ${error.code}`)
    const { cause } = await fetch(`${scope.scheme}://${spelled}:${peer.port}/`, { agent }).catch((reason) => reason)
    assert.strictEqual(cause.code, REFUSED, spelled)
  }
  assert.strictEqual(peer.accepted, 0)
})

testBoth(
  'each address is judged once for each connection, by its family and what stands for it',
  OURS,
  async (scope) => {
    const peer = await scope.peer(OK)
    const { asked, lookup } = lookupOf('127.0.0.1')
    const judged = judge(() => true)
    const agent = scope.agent({ ...KEEP_ALIVE, lookup, allowAddress: judged.allowAddress })
    for (let i = 0; i < 3; i++) {
      const { body, request: sent } = await send({ host: 'name.test', port: peer.port, agent, servername: 'localhost' })
      assert.deepStrictEqual([body, explain(sent).carriedBy], ['ok', 'keepwire'])
    }
    assert.deepStrictEqual([asked, judged.asked], [['name.test'], [['127.0.0.1', 4, 'name.test']]])
    await send({ host: '127.0.0.1', port: peer.port, agent, servername: 'localhost' })
    assert.deepStrictEqual(judged.asked[1], ['127.0.0.1', 4, '127.0.0.1'])
    assert.strictEqual(peer.accepted, 2)
  },
)

testBoth('of several addresses only those are tried that are allowed', OURS, async (scope) => {
  const peer = await scope.peer(OK, { port: 0, host: '127.0.0.2' })
  const { lookup } = lookupOf(['127.0.0.1', '127.0.0.2'])
  const agent = scope.agent({ ...KEEP_ALIVE, lookup, autoSelectFamily: true, allowAddress: (ip) => ip === '127.0.0.2' })
  const { body, request: sent } = await send({ host: 'name.test', port: peer.port, agent, servername: 'localhost' })
  assert.deepStrictEqual([body, sent.socket === null || explain(sent).connectMs >= 0], ['ok', true])
})

testBoth('a name that is rebound between two connections is judged anew', OURS, async (scope) => {
  const peer = await scope.peer((_, connection) => connection.end(reply('ok')))
  const { lookup } = lookupOf('127.0.0.1', '127.0.0.2')
  const agent = scope.agent({ ...KEEP_ALIVE, lookup, allowAddress: (ip) => ip === '127.0.0.1' })
  const wanted = {
    host: 'name.test',
    port: peer.port,
    agent,
    servername: 'localhost',
    headers: { connection: 'close' },
  }
  assert.strictEqual((await send(wanted)).body, 'ok')
  const error = await failure(send(wanted))
  assert.deepStrictEqual([error.code, error.address, error.host], [REFUSED, '127.0.0.2', 'name.test'])
  assert.strictEqual(error.message, 'allowAddress refuses 127.0.0.2, which "name.test" stands for')
  assert.strictEqual(peer.accepted, 1)
})

testBoth('what an agent remembers of names has been judged', OURS, async (scope) => {
  const peer = await scope.peer((_, connection) => connection.write(reply('ok')))
  const { asked, lookup } = lookupOf('127.0.0.1')
  const judged = judge((ip) => ip === '127.0.0.1')
  const agent = scope.agent({ lookup, dns: true, keepAlive: false, warnings: false, allowAddress: judged.allowAddress })
  for (let i = 0; i < 3; i++) {
    assert.strictEqual((await send({ host: 'name.test', port: peer.port, agent, servername: 'localhost' })).body, 'ok')
  }
  assert.deepStrictEqual([asked.length, judged.asked.length], [1, 1])
})

testBoth('a redirect to a refused address is not followed', OURS, async (scope) => {
  const inner = await scope.peer(OK, { port: 0, host: '127.0.0.2' })
  const location = `${scope.scheme}://127.0.0.2:${inner.port}/`
  const peer = await scope.peer((_, connection) => {
    connection.write(`HTTP/1.1 302 Found\r\nLocation: ${location}\r\nContent-Length: 0\r\n\r\n`)
  })
  const agent = scope.agent({ ...KEEP_ALIVE, servername: 'localhost', allowAddress: (ip) => ip === '127.0.0.1' })
  const { cause } = await fetch(`${scope.scheme}://127.0.0.1:${peer.port}/`, { agent }).catch((reason) => reason)
  assert.deepStrictEqual([cause.code, cause.address, inner.accepted], [REFUSED, '127.0.0.2', 0])
})

testBoth('a proxy that a request names leads past no judge', OURS, async (scope) => {
  const peer = await scope.peer(OK)
  const proxy = `http://127.0.0.1:${peer.port}`
  const agent = scope.agent({ ...KEEP_ALIVE, allowAddress: (ip) => ip === '127.0.0.1' })
  const own = scope.scheme === 'https' ? ownHttps : ownHttp
  const message = /'proxy' can not be had with the agent's allowAddress/
  for (const given of [proxy, new URL(proxy), () => proxy, async () => proxy]) {
    const options = { host: '10.0.0.1', agent, proxy: given }
    const failed = (send) =>
      new Promise((resolve, reject) => send(options, reject).on('error', resolve).end()).catch((error) => error)
    for (const send of [own.request, request]) assert.match((await failed(send)).message, message)
    const error = await fetch(`${scope.scheme}://10.0.0.1/`, { agent, proxy: given }).catch((reason) => reason)
    assert.match(`${error.message} ${error.cause?.message}`, message)
  }
  assert.strictEqual(peer.accepted, 0)
})

testBoth('our own request and connections opened in advance are judged, too', OURS, async (scope) => {
  const peer = await scope.peer(OK)
  const agent = scope.agent({ ...KEEP_ALIVE, allowAddress: () => false })
  const own = scope.scheme === 'https' ? ownHttps : ownHttp
  const error = await new Promise((resolve, reject) => {
    own.get({ host: '127.0.0.1', port: peer.port, agent }, reject).on('error', resolve)
  })
  assert.strictEqual(error.code, REFUSED)
  await assert.rejects(agent.preconnect(`${scope.scheme}://localhost:${peer.port}`), { code: REFUSED })
  assert.strictEqual(peer.accepted, 0)
})

const FALLING_BACK = {
  'a lenient parser': { insecureHTTPParser: true },
  'an upgrade': { headers: { connection: 'upgrade', upgrade: 'x' } },
}

for (const [what, options] of Object.entries(FALLING_BACK)) {
  testBoth(`requests that fall back to the runtime's sockets are judged: ${what}`, OURS, async (scope) => {
    const peer = await scope.peer(OK)
    const judged = judge(() => false)
    const { lookup } = lookupOf('127.0.0.1')
    for (const agent of [
      scope.agent({ ...KEEP_ALIVE, allowAddress: judged.allowAddress }),
      scope.agent({ ...KEEP_ALIVE, lookup, allowAddress: judged.allowAddress }),
    ]) {
      for (const host of ['127.0.0.1', 'localhost']) {
        const error = await failure(send({ host, port: peer.port, agent, ...options }))
        assert.strictEqual(error.code, REFUSED)
        assert.ok(Object.values(agent.stats().origins).some(({ foreign }) => Object.keys(foreign).length > 0))
      }
    }
    assert.strictEqual(peer.accepted, 0)
    assert.ok(judged.asked.length >= 4)
  })

  testBoth(`and get what is allowed: ${what}`, { ...OURS, skip: false }, async (scope) => {
    const peer = await scope.peer(OK)
    const agent = scope.agent({ ...KEEP_ALIVE, servername: 'localhost', allowAddress: () => true })
    for (const host of ['127.0.0.1', 'localhost']) {
      assert.strictEqual((await send({ host, port: peer.port, agent, ...options })).body, 'ok')
    }
  })
}

testBoth('a judge that throws fails the request with what it throws', OURS, async (scope) => {
  const peer = await scope.peer(OK)
  const reason = new Error('no judgement')
  const agent = scope.agent({
    ...KEEP_ALIVE,
    allowAddress() {
      throw reason
    },
  })
  for (const options of [{}, FALLING_BACK['a lenient parser']]) {
    assert.strictEqual(await failure(send({ host: 'localhost', port: peer.port, agent, ...options })), reason)
    assert.strictEqual(await failure(send({ host: '127.0.0.1', port: peer.port, agent, ...options })), reason)
  }
  assert.strictEqual(peer.accepted, 0)
})

testBoth('connections are shared only between agents with the same judge', OURS, async (scope) => {
  const peer = await scope.peer(OK)
  const shared = { ...KEEP_ALIVE, shared: true, servername: 'localhost' }
  const refuses = () => false
  const allows = () => true
  await send({ port: peer.port, agent: scope.agent(shared) })
  const error = await failure(send({ port: peer.port, agent: scope.agent({ ...shared, allowAddress: refuses }) }))
  assert.strictEqual(error.code, REFUSED)
  await send({ port: peer.port, agent: scope.agent({ ...shared, allowAddress: allows }) })
  await send({ port: peer.port, agent: scope.agent({ ...shared, allowAddress: allows }) })
  assert.strictEqual(peer.accepted, 2)
})

testBoth('a judge that promises a judgement has not allowed anything', OURS, async (scope) => {
  const peer = await scope.peer(OK)
  for (const allowAddress of [async () => true, async () => false, () => Promise.reject(new Error('later'))]) {
    const agent = scope.agent({ ...KEEP_ALIVE, allowAddress })
    for (const host of ['localhost', '127.0.0.1']) {
      for (const options of [{}, FALLING_BACK['a lenient parser']]) {
        const { code } = await failure(send({ host, port: peer.port, agent, ...options }))
        assert.strictEqual(code, 'ERR_INVALID_ARG_TYPE')
      }
      const { cause } = await failure(fetch(`${scope.scheme}://${host}:${peer.port}/`, { agent }))
      assert.strictEqual(cause.code, 'ERR_INVALID_ARG_TYPE')
    }
  }
  assert.strictEqual(peer.accepted, 0)
})

test('a Unix socket has no address, and is refused', { ...OURS, skip: process.platform === 'win32' }, async (scope) => {
  const agent = scope.agent({ ...KEEP_ALIVE, allowAddress: () => true })
  for (const options of [{}, FALLING_BACK['a lenient parser']]) {
    const error = await failure(send({ socketPath: '/nobody/is/here.sock', agent, ...options }))
    assert.deepStrictEqual([error.code, error.address], [REFUSED, '/nobody/is/here.sock'])
  }
})

test('what makes no sense is refused when it is said', OURS, async (scope) => {
  for (const allowAddress of [true, 'public', null, {}]) {
    assert.throws(() => scope.agent({ allowAddress }), { code: 'ERR_INVALID_ARG_TYPE' })
  }
  assert.throws(() => scope.agent({ allowAddress: () => true, proxyEnv: {} }), { code: 'ERR_INVALID_ARG_VALUE' })
  const agent = scope.agent(KEEP_ALIVE)
  assert.throws(() => request({ port: 1, agent, allowAddress: () => true }), { code: 'ERR_INVALID_ARG_VALUE' })
})

testBoth("a request's own look-up is asked, and the engine carries it", { ...OURS, skip: false }, async (scope) => {
  const peer = await scope.peer(OK)
  const agent = scope.agent({ ...KEEP_ALIVE, servername: 'localhost' })
  const { asked, lookup } = lookupOf('127.0.0.1')
  for (let i = 0; i < 2; i++) {
    const sent = request({ host: 'name.test', port: peer.port, agent, lookup })
    const heard = []
    sent.on('socket', (socket) => socket.on('lookup', (_error, ip, _family, host) => heard.push([ip, host])))
    const answer = read(sent)
    sent.end()
    assert.strictEqual((await answer).body, 'ok')
    assert.strictEqual(explain(sent).carriedBy, 'keepwire')
    assert.deepStrictEqual(heard, i === 0 ? [['127.0.0.1', 'name.test']] : [])
  }
  assert.deepStrictEqual([asked, peer.accepted], [['name.test'], 1])
})

/** The runtimes leave the handle of such a socket behind. */
const NO_FUNCTION = { leaks: false, skip: isDeno && 'Deno calls it' }

testBoth('a look-up that is no function fails as with the runtime', NO_FUNCTION, async (scope) => {
  const peer = await scope.peer(OK)
  const codes = []
  for (const agent of [scope.agent(KEEP_ALIVE), scope.runtimeAgent(KEEP_ALIVE)]) {
    try {
      codes.push((await failure(send({ host: 'localhost', port: peer.port, agent, lookup: 'x' }))).code)
    } catch (error) {
      codes.push(error.code)
    }
  }
  assert.strictEqual(codes[0], codes[1])
})
