'use strict'

// One table has every option by which connections differ (lib/common/options/table.js). It must have what the runtimes' own
// agents and sockets read, and all places where names stand in the code must have what it has: an option that one of them
// forgets would have requests share connections that they may not share.

const assert = require('node:assert')
const fs = require('node:fs')
const https = require('node:https')
const net = require('node:net')
const path = require('node:path')
const { test } = require('node:test')
const tls = require('node:tls')

const keepwire = require('../..')
const { originsOf } = require('../../lib/agent/origins.js')
const { AGENT, CONNECTION, TLS } = require('../../lib/common/options/table.js')
const { isPlain, leavesTarget } = require('../../lib/common/options/merge.js')
const { profileOf } = require('../../lib/common/options/profile.js')
const { isSimple } = require('../../lib/fast-request/template.js')
const settings = require('../../lib/tls/settings.js')

const connectionNames = CONNECTION.map(({ name }) => name)
const tlsNames = TLS.map(({ name }) => name)

/** What runtimes read that says nothing about a client's connection. */
const MEANINGLESS = new Set([
  // Of streams and servers.
  'allowHalfOpen',
  'ALPNCallback',
  'highWaterMark',
  'isServer',
  'objectMode',
  'pauseOnConnect',
  'readable',
  'readableObjectMode',
  'requestCert',
  'sessionTimeout',
  'SNICallback',
  'ticketKeys',
  'writable',
  'writableObjectMode',
  // The request's own path, and its own timeout.
  'path',
  'timeout',
  // Groups smaller than that are of key exchanges that the engine has not: they go to the runtime, with the option.
  'minDHSize',
  // What runtimes say to themselves.
  '_pfxExtraCACerts',
  'singleUse',
])

/**
 * @param {(options: any) => unknown} look
 * @param {Record<string, unknown>} given
 * @returns {Set<string>} the options that it reads
 */
function readBy(look, given = {}) {
  const names = new Set()
  const note = (name) => typeof name === 'string' && names.add(name)
  look(
    new Proxy(given, {
      get: (target, name) => (note(name), Reflect.get(target, name)),
      has: (target, name) => (note(name), Reflect.has(target, name)),
    }),
  )
  return names
}

/** The options that a function's source names. */
function namedBy(builtin) {
  const source = Function.prototype.toString.call(builtin)
  return new Set([...source.matchAll(/\boptions\??\.(\w+)/g)].map(([, name]) => name))
}

/** Those of `names` that no row of the table, and nothing else, accounts for. */
function missing(names, rows) {
  return [...names].filter((name) => !rows.includes(name) && !MEANINGLESS.has(name))
}

test('the table has all that names of the runtime’s https agents are made of', () => {
  const names = readBy((given) => https.Agent.prototype.getName.call(https.globalAgent, given))
  assert.ok(names.has('host'), 'they are made of what they read')
  assert.deepStrictEqual(missing(names, [...connectionNames, ...tlsNames]), [])
})

test('the table has all that the runtime’s TLS reads of options', () => {
  const read = readBy((given) => {
    try {
      tls.createSecureContext(given)
    } catch {
      // What it has read until then is enough, if there is anything.
    }
  })
  const names = new Set([...read, ...namedBy(tls.connect), ...namedBy(tls.TLSSocket)])
  assert.deepStrictEqual(missing(names, [...connectionNames, ...tlsNames]), [])
})

test('the table has all that the runtime’s sockets read of options', async () => {
  const server = net.createServer((socket) => socket.end())
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address()
  let socket
  const names = readBy(
    (given) => {
      socket = net.connect(given)
    },
    { host: '127.0.0.1', port },
  )
  await new Promise((resolve) =>
    socket
      .on('error', () => {})
      .on('close', resolve)
      .resume(),
  )
  await new Promise((resolve) => server.close(resolve))
  assert.ok(names.has('localAddress'), [...names].join())
  assert.deepStrictEqual(missing(names, [...connectionNames, ...tlsNames]), [])
})

test('a connection’s profile is made of the rows that say so, and of no other', () => {
  const target = { host: 'localhost', port: 80 }
  const agent = (own) => ({ keepAlive: false, keepAliveMsecs: 1000, options: own })
  const names = new Set([
    ...readBy((given) => profileOf(agent({}), given), target),
    ...readBy((own) => profileOf(agent(own), target)),
  ])
  const rows = CONNECTION.filter(({ profile }) => profile).map(({ name }) => name)
  assert.deepStrictEqual([...names].sort(), [...rows].sort())
})

test('a profile, and that of plain options, changes with each option of an agent that it is made of', () => {
  // Names of origins have these; the agent's own property counts for this, and without it there is no delay.
  const besides = ['host', 'port', 'keepAlive', 'keepAliveInitialDelay']
  const autoSelectFamily = !(net.getDefaultAutoSelectFamily?.() ?? false)
  const usual = { autoSelectFamily, family: 6, localAddress: '127.0.0.2', noDelay: true, socketPath: '/socket' }
  for (const { name, profile, rare } of CONNECTION) {
    if (!profile || besides.includes(name)) continue
    const agent = new keepwire.Agent({ noDelay: false })
    const origins = originsOf(agent)
    const options = { host: '127.0.0.1', port: 80 }
    const origin = origins.add('name', options)
    const look = () => [origin.profile(agent, options), ...(rare ? [] : [origin.plainProfile(agent, options)])]
    const before = look()
    agent.options[name] = usual[name] ?? 1234
    look().forEach((profile, at) => assert.notStrictEqual(profile, before[at], name))
  }
})

test('agents that share have in common what lasts', () => {
  const identity = (options) =>
    originsOf(new keepwire.Agent({ shared: true, keepAlive: true, ...options })).identity('', true)
  for (const { lasting, name } of CONNECTION) {
    if (['keepAlive', 'proxyEnv'].includes(name)) continue
    const value = ['allowAddress', 'lookup'].includes(name) ? () => true : 1
    const different = identity({ [name]: value }) !== identity({})
    assert.strictEqual(different, lasting === true, name)
  }
})

test('what the engine’s TLS settings are made of is in the table', () => {
  const names = readBy((given) => settings.secureOf(given, 0), { host: 'localhost' })
  assert.ok(names.has('ca'), [...names].join())
  assert.deepStrictEqual(missing(names, [...connectionNames, ...tlsNames]), [])
})

test('docs/https.md has every option of TLS that only the runtime can honour', () => {
  const page = fs.readFileSync(path.join(__dirname, '../../docs/https.md'), 'utf8')
  const [, cell] = /^\| ([^|]*) \| the engine has no equal \|$/m.exec(page) ?? []
  const listed = [...String(cell).matchAll(/`(\w+)`/g)].map(([, name]) => name)
  const rows = TLS.filter(({ fallback }) => fallback).map(({ name }) => name)
  assert.deepStrictEqual(listed.sort(), rows.sort())
})

test('options are plain unless a row says that they are rare', () => {
  const plain = CONNECTION.filter(({ name }) => isPlain({ [name]: 1 })).map(({ name }) => name)
  const rows = CONNECTION.filter(({ rare }) => !rare).map(({ name }) => name)
  assert.deepStrictEqual(plain, rows)
  for (const { name, rare } of CONNECTION) {
    if (rare) assert.ok(!leavesTarget({ [name]: 1 }), name)
  }
})

test('no option of TLS passes for none', () => {
  for (const { name } of TLS) {
    assert.ok(!settings.isSilent({ [name]: 'x' }), `isSilent() looks at ${name}`)
    // What a request is told of its server's name is in the short name of its origin.
    if (name !== 'servername')
      assert.ok(!settings.saysNothingOfTls({ [name]: 'x' }), `saysNothingOfTls() looks at ${name}`)
    assert.ok(!settings.isSame({ [name]: 'x' }, {}), `isSame() looks at ${name}`)
  }
})

test('an agent’s record of options notices values that change in place', () => {
  for (const { copied, name } of TLS) {
    if (!copied) continue
    const list = ['one']
    const record = settings.recordOf({ [name]: list })
    list.push('other')
    assert.ok(!settings.isSame({ [name]: list }, record), name)
  }
})

test('two values of an option of TLS are two names, or none that tells connections apart', () => {
  const name = (given) => new keepwire.HttpsAgent().getName({ host: 'localhost', port: 443, ...given })
  for (const { fallback, known, name: key, tagged } of TLS) {
    // A key's passphrase is nothing without the key; what no option of the runtime is means nothing to it.
    if (key === 'passphrase' || known || key === 'ALPNProtocols' || key === 'allowPartialTrustChain') continue
    const values = tagged ? [() => {}, () => {}] : ['one', 'other']
    const [one, other] = values.map((value) => name({ [key]: value }))
    assert.notStrictEqual(one, other, `${key} is in the name${fallback ? ', for requests that fall back' : ''}`)
  }
  assert.notStrictEqual(name({ ALPNProtocols: ['one'] }), name({ ALPNProtocols: ['other'] }))
  assert.notStrictEqual(name({ allowPartialTrustChain: true }), name({}))
})

test('an agent heeds each option that a row calls live', () => {
  for (const { live, name } of [...AGENT, ...CONNECTION]) {
    const agent = new keepwire.Agent()
    const origins = originsOf(agent)
    origins.syncOptions()
    agent.options[name] = 'nonsense'
    if (live) assert.throws(() => origins.syncOptions(), { code: /^ERR_INVALID_ARG/ }, name)
    else origins.syncOptions()
  }
})

test('our own request leaves to the runtime’s whatever a row says about connections', () => {
  assert.ok(isSimple('http:', { host: 'localhost', port: 80 }))
  // An agent's alone, or nothing without `keepAlive`.
  const passing = ['host', 'port', 'connectTimeout', 'tcpUserTimeout', 'keepAliveInitialDelay']
  for (const { name } of CONNECTION) {
    if (!passing.includes(name)) assert.ok(!isSimple('http:', { [name]: 1 }), name)
  }
})
