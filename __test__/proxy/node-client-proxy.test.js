'use strict'

// What Node's own tests of its proxies look at (its folder test/client-proxy), each case once with Node's agents and `proxyEnv`, once
// with ours: what comes of the request, and what the proxy has been asked. On Node 24.5 and newer, whose agents have that option.

const assert = require('node:assert')
const childProcess = require('node:child_process')
const http = require('node:http')
const https = require('node:https')
const path = require('node:path')
const { promisify } = require('node:util')

const { makeAuthority } = require('../support/authority')
const { authority } = require('../support/http2')
const { freePort } = require('../support/ports')
const { scriptedProxy } = require('../support/proxy')
const { isNode, major } = require('../support/runtime')
const { listen, plainServer, secureServer } = require('../support/secure')
const { test } = require('../support/suite')
const keepwire = require('../..')

const execFile = promisify(childProcess.execFile)

const skip =
  !isNode || typeof http.setGlobalProxyFromEnv !== 'function' ? 'the runtime’s agents know no proxies' : false
const SIDES = {
  theirs: { http: http.Agent, https: https.Agent },
  ours: { http: keepwire.Agent, https: keepwire.HttpsAgent },
}

/** Fields that runtimes send in an order of their own, or that say when. */
const told = (head) => {
  const [line, ...fields] = head.trimEnd().split('\r\n')
  return [line, ...fields.map((field) => field.replace(/^[^:]+/, (name) => name.toLowerCase())).sort()]
}

/** Errors in words that name ports and versions of OpenSSL are compared by their codes. */
const BY_CODE = /^(?:ECONN|EPROTO|ERR_SSL|ERR_TLS|DEPTH|SELF|UNABLE|CERT)/

const tellError = ({ code, message, statusCode }) =>
  BY_CODE.test(code) ? { code } : { code, message, ...(statusCode && { statusCode }) }

/**
 * @param {any} module
 * @param {any[]} given
 * @param {string} [body]
 */
function ask(module, given, body) {
  return new Promise((resolve) => {
    const events = []
    let request
    try {
      request = module.request(...given, (response) => {
        let text = ''
        response.setEncoding('utf8')
        response.on('data', (chunk) => (text += chunk))
        response.on('error', (error) => resolve({ error: tellError(error) }))
        response.on('end', () => resolve({ status: response.statusCode, text, events }))
      })
    } catch (error) {
      resolve({ thrown: tellError(error) })
      return
    }
    request.on('timeout', () => events.push('timeout'))
    request.on('error', (error) => resolve({ error: tellError(error), events }))
    request.end(body)
  })
}

/**
 * The same with Node's agents and with ours, over targets and a proxy of its own each.
 * @param {string} sentence
 * @param {(side: any) => Promise<unknown>} run gives what is to be equal
 * @param {(scope: any) => Promise<any>} [makeProxy]
 * @param {(ours: any, theirs: any) => void} [differ] looks at what ours does otherwise, and makes it equal
 */
function same(sentence, run, makeProxy = (scope) => scriptedProxy(scope), differ = () => {}) {
  test(sentence, { skip }, async (scope) => {
    const { root, server } = await authority
    const outcomes = {}
    for (const [name, Agents] of Object.entries(SIDES)) {
      const requests = []
      const answer = (request, response) => {
        requests.push([request.method, request.url, request.headers.host?.replace(/\d+$/, 'PORT')])
        response.end('from the target')
      }
      const options = { keepAliveTimeout: 60_000 }
      const plain = await listen(scope, http.createServer(options, answer))
      const secure = await secureServer(scope, server, options, answer)
      const proxy = await makeProxy(scope)
      const side = {
        scope,
        proxy,
        plain: `http://localhost:${plain.port}`,
        secure: `https://localhost:${secure.port}`,
        agent: (scheme, env, more) =>
          scope.adopt(new Agents[scheme]({ ca: root.pem, proxyEnv: env, keepAlive: true, ...more })),
      }
      const outcome = await run(side)
      const ports = [proxy.port, plain.port, secure.port]
      const text = JSON.stringify({
        outcome,
        asked: (proxy.heads ?? []).map(told),
        connections: proxy.accepted?.connections,
        requests,
        direct: plain.connections + secure.connections,
      })
      outcomes[name] = JSON.parse(ports.reduce((said, port, at) => said.replaceAll(String(port), `PORT${at}`), text))
    }
    differ(outcomes.ours, outcomes.theirs)
    assert.deepStrictEqual(outcomes.ours, outcomes.theirs)
  })
}

const LOGINS = { none: '', user: 'user@', both: 'us%20er:p%40ss@', 'only a password': ':pass@', 'beyond ASCII': 'ü:ß@' }

for (const [name, login] of Object.entries(LOGINS)) {
  const env = ({ proxy }) => {
    const url = proxy.url.replace('//', `//${login}`)
    return { http_proxy: url, https_proxy: url }
  }
  same(`http through a proxy, login: ${name}`, async (side) => {
    const agent = side.agent('http', env(side))
    return [await ask(http, [`${side.plain}/a?b=c`, { agent }]), await ask(http, [`${side.plain}/d`, { agent }])]
  })
  same(`https through a proxy, login: ${name}`, async (side) => {
    const agent = side.agent('https', env(side))
    return [await ask(https, [`${side.secure}/a?b=c`, { agent }]), await ask(https, [`${side.secure}/d`, { agent }])]
  })
}

same('agents without keepAlive', async (side) => {
  const env = { http_proxy: side.proxy.url, https_proxy: side.proxy.url }
  const [plain, secure] = ['http', 'https'].map((scheme) => side.agent(scheme, env, { keepAlive: false }))
  return [
    await ask(http, [side.plain, { agent: plain }]),
    await ask(https, [side.secure, { agent: secure }]),
    await ask(https, [side.secure, { agent: secure }]),
  ]
})

same('a request with a body', async (side) => {
  const env = { https_proxy: side.proxy.url }
  return ask(https, [side.secure, { agent: side.agent('https', env), method: 'POST' }], 'body')
})

for (const [what, env] of Object.entries({
  'no URL': { http_proxy: 'http://', https_proxy: 'http://' },
  'no port': { http_proxy: 'http://localhost:port', https_proxy: 'http://localhost:port' },
  'a line break': { http_proxy: 'http://localhost\r\nx', https_proxy: 'http://localhost\nx' },
  'a space': { http_proxy: 'http://local host', https_proxy: 'https://local host' },
  'a bad escape': { http_proxy: 'http://%E0%A4%A:x@localhost', https_proxy: 'http://%E0%A4%A:x@localhost' },
  'another scheme': { http_proxy: 'socks5://localhost:1080', https_proxy: 'ftp://localhost' },
  'no scheme': { http_proxy: 'localhost:1', https_proxy: 'localhost:1' },
  nothing: { http_proxy: '', https_proxy: '' },
})) {
  same(`an environment with ${what}`, async (side) => {
    const outcomes = []
    for (const [scheme, module] of Object.entries({ http, https })) {
      try {
        const agent = side.agent(scheme, env)
        outcomes.push(await ask(module, [scheme === 'http' ? side.plain : side.secure, { agent }]))
      } catch ({ code, message, name }) {
        // Ours keeps credentials to itself, so messages differ.
        outcomes.push({ thrown: code ?? name, isLikely: /proxy|URI/i.test(message) })
      }
    }
    return outcomes
  })
}

same('the environment’s other names, and which comes first', async (side) => {
  const { proxy } = side
  const outcomes = []
  for (const env of [
    { HTTP_PROXY: proxy.url, HTTPS_PROXY: proxy.url },
    {
      HTTP_PROXY: 'http://127.0.0.1:1',
      http_proxy: proxy.url,
      HTTPS_PROXY: 'http://127.0.0.1:1',
      https_proxy: proxy.url,
    },
    { ALL_PROXY: proxy.url, all_proxy: proxy.url },
    { HTTPS_PROXY: proxy.url },
    { HTTP_PROXY: proxy.url },
  ]) {
    outcomes.push(await ask(http, [side.plain, { agent: side.agent('http', env) }]))
    outcomes.push(await ask(https, [side.secure, { agent: side.agent('https', env) }]))
  }
  return outcomes
})

/** What NO_PROXY may have, and what is asked for. `PORT` is the target's. */
const ENTRIES = [
  ...[
    '*',
    '',
    ' ',
    ',',
    'example.test',
    'EXAMPLE.TEST',
    ' example.test ',
    '.example.test',
    '*.example.test',
    '*example.test',
  ],
  ...[
    'example.test:PORT',
    '.example.test:PORT',
    '*.example.test:PORT',
    'example.test:1',
    'a.test,example.test',
    'a.test example.test',
  ],
  ...[
    'example',
    '.test',
    '*.test',
    '.',
    '*.',
    'xexample.test',
    '127.0.0.1',
    '127.0.0.1:PORT',
    '127.0.0.1:1',
    '127.0.0.0/8',
  ],
  ...[
    '127.0.0.0-127.0.0.9',
    '127.0.0.0 - 127.0.0.9',
    '127.0.0.9-127.0.0.0',
    '0.0.0.0-255.255.255.255',
    '127.0.0.1-127.0.0.1',
  ],
  ...[
    '127.0.0.1-',
    '-',
    'a-b',
    '127.0.0-127.0.1',
    '::1',
    '[::1]',
    '[::1]:PORT',
    '::1:PORT',
    'localhost',
    'LocalHost',
    '.localhost',
  ],
]
const HOSTS = ['example.test', 'EXAMPLE.test', 'a.example.test', 'b.a.example.test', 'badexample.test', 'test']
HOSTS.push('127.0.0.1', '127.0.0.5', '127.0.1.1', '128.0.0.1', '::1', 'localhost', undefined)

same(
  `${ENTRIES.length} exceptions for ${HOSTS.length} hosts`,
  async (side) => {
    const lookup = (_name, options, done) =>
      options.all ? done(null, [{ address: '127.0.0.1', family: 4 }]) : done(null, '127.0.0.1', 4)
    const { port } = new URL(side.plain)
    const ways = {}
    for (const entry of ENTRIES) {
      const env = { http_proxy: side.proxy.url, no_proxy: entry.replaceAll('PORT', port) }
      const agent = side.agent('http', env, { lookup })
      const through = []
      for (const host of HOSTS) {
        // Nobody may be there.
        if (host === '128.0.0.1' && entry === '*') continue
        if (host === '128.0.0.1' && entry.startsWith('0.')) continue
        const before = side.proxy.heads.length
        await ask(http, [{ host, port, agent }])
        if (side.proxy.heads.length > before) through.push(host ?? 'none')
      }
      agent.destroy()
      side.proxy.heads.length = 0
      ways[entry] = through
    }
    side.proxy.accepted = undefined
    return ways
  },
  (scope) =>
    scriptedProxy(scope, {
      onHead: (_head, socket) => (socket.write('HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n'), true),
    }),
)

for (const [what, answer] of Object.entries({
  'asks for a login':
    'HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic realm="x"\r\nContent-Length: 2\r\n\r\nno',
  'refuses with 500': 'HTTP/1.1 500 Connection Error\r\nContent-Length: 2\r\n\r\nno',
  'refuses with 502': 'HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n',
  'sends elsewhere': 'HTTP/1.1 301 Moved\r\nLocation: http://elsewhere.test/\r\nContent-Length: 0\r\n\r\n',
})) {
  const proxy = (scope) => scriptedProxy(scope, { onHead: (_head, socket) => (socket.end(answer), true) })
  same(
    `a proxy that ${what}: https`,
    (side) => ask(https, [side.secure, { agent: side.agent('https', { https_proxy: side.proxy.url }) }]),
    proxy,
  )
  same(
    `a proxy that ${what}: http`,
    (side) => ask(http, [side.plain, { agent: side.agent('http', { http_proxy: side.proxy.url }) }]),
    proxy,
  )
}

for (const [what, act] of Object.entries({
  'hangs up before its answer': (socket) => socket.end(),
  'hangs up within its answer': (socket) => socket.end('HTTP/1.1 200 OK\r\nX: '),
})) {
  same(
    `a proxy that ${what}`,
    (side) => ask(https, [side.secure, { agent: side.agent('https', { https_proxy: side.proxy.url }) }]),
    (scope) => scriptedProxy(scope, { onHead: (_head, socket) => (act(socket), true) }),
  )
}

// Node 24 leaves the connection open.
if (major >= 26) {
  same(
    'a proxy that has no end of its head',
    (side) => ask(https, [side.secure, { agent: side.agent('https', { https_proxy: side.proxy.url }) }]),
    (scope) =>
      scriptedProxy(scope, {
        onHead: (_head, socket) => (socket.write(`HTTP/1.1 200 OK\r\nX: ${'x'.repeat(20_000)}`), true),
      }),
  )
}

same(
  'a proxy that hangs up behind its answer',
  (side) => ask(https, [side.secure, { agent: side.agent('https', { https_proxy: side.proxy.url }) }]),
  (scope) =>
    scriptedProxy(scope, {
      onHead: (_head, socket) => (socket.end('HTTP/1.1 200 Connection established\r\n\r\n'), true),
    }),
  (ours, theirs) => {
    // It may have been the target, and of those whom the engine's TLS does not suit: the runtime's is tried, through the proxy.
    assert.deepStrictEqual(ours.asked, [...theirs.asked, ...theirs.asked])
    Object.assign(ours, { asked: theirs.asked, connections: theirs.connections })
  },
)

same(
  'a proxy that says nothing within a request’s timeout',
  async (side) => {
    const agent = side.agent('https', { https_proxy: side.proxy.url })
    return ask(https, [side.secure, { agent, timeout: 100 }])
  },
  (scope) => scriptedProxy(scope, { onHead: () => true }),
)

same(
  'a proxy that says nothing, to a request that its listener of the timeout destroys',
  async (side) => {
    const agent = side.agent('https', { https_proxy: side.proxy.url }, { timeout: 100 })
    return new Promise((resolve) => {
      const events = []
      const request = https.get(side.secure, { agent })
      request.on('timeout', () => {
        events.push('timeout')
        request.destroy(new Error('of the listener'))
      })
      request.on('error', (error) => events.push(tellError(error)))
      request.on('close', () => resolve(events))
    })
  },
  (scope) => scriptedProxy(scope, { onHead: () => true }),
)

same('a proxy that is not there', async (side) => {
  const url = `http://127.0.0.1:${await freePort()}`
  return [
    await ask(http, [side.plain, { agent: side.agent('http', { http_proxy: url }) }]),
    await ask(https, [side.secure, { agent: side.agent('https', { https_proxy: url }) }]),
  ]
})

same('a proxy that speaks no TLS, where it should', async (side) => {
  const { port } = await plainServer(side.scope, (socket) =>
    socket.once('data', () => socket.end('HTTP/1.1 400 Bad\r\n\r\n')),
  )
  const url = `https://localhost:${port}`
  const outcomes = [
    await ask(http, [side.plain, { agent: side.agent('http', { http_proxy: url }) }]),
    await ask(https, [side.secure, { agent: side.agent('https', { https_proxy: url }) }]),
  ]
  // rustls's words, and OpenSSL's.
  return outcomes.map(({ error }) => /^(?:EPROTO|ERR_SSL)/.test(error.code))
})

same(
  'a proxy behind TLS that nobody trusts',
  async (side) => {
    const env = { http_proxy: side.proxy.url, https_proxy: side.proxy.url }
    return [
      await ask(http, [side.plain, { agent: side.agent('http', env) }]),
      await ask(https, [side.secure, { agent: side.agent('https', env) }]),
    ]
  },
  async (scope) => scriptedProxy(scope, { identity: (await makeAuthority()).server }),
)

same('a target that nobody trusts', (side) =>
  ask(https, [side.secure, { agent: side.agent('https', { https_proxy: side.proxy.url }, { ca: [] }) }]),
)

same('a target that nobody trusts, and need not be', (side) =>
  ask(https, [
    side.secure,
    { agent: side.agent('https', { https_proxy: side.proxy.url }, { ca: [], rejectUnauthorized: false }) },
  ]),
)

same('IPv6 targets', async (side) => {
  const port = new URL(side.secure).port
  const agent = side.agent('https', { https_proxy: side.proxy.url }, { rejectUnauthorized: false })
  const plain = side.agent('http', { http_proxy: side.proxy.url })
  return [
    await ask(https, [`https://[::1]:${port}/a`, { agent }]),
    await ask(https, [{ host: '::1', port, path: '/b', agent }]),
    await ask(http, [`http://[::1]:${new URL(side.plain).port}/c`, { agent: plain }]),
  ]
})

same(
  'what a request says of itself in other words',
  async (side) => {
    const agent = side.agent('http', { http_proxy: side.proxy.url })
    const { host, port } = new URL(side.plain)
    const outcomes = []
    for (const options of [
      { path: `${side.plain}/absolute` },
      { path: 'http://elsewhere.test/' },
      { path: `https://localhost:${port}/` },
      { path: `http://user:pass@${host}/` },
      { path: 'relative' },
      { headers: { Host: 'elsewhere.test' } },
      { headers: { Host: host } },
      { headers: ['Host', host, 'X-A', 'b'] },
      { auth: 'user:pass' },
      { setHost: false },
    ]) {
      // What it comes to with the test's own proxy is not what is compared.
      const { thrown, status } = await ask(http, [{ host: 'localhost', port, agent, ...options }])
      outcomes.push({ options, thrown: thrown?.code, isAnswered: status !== undefined })
    }
    return outcomes
  },
  (scope) =>
    scriptedProxy(scope, {
      onHead: (_head, socket) => (socket.write('HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n'), true),
    }),
)

same('a request’s own agent stands above the process’s', async (side) => {
  const other = await scriptedProxy(side.scope)
  const restore = http.setGlobalProxyFromEnv({ http_proxy: other.url, https_proxy: other.url })
  try {
    const env = { http_proxy: side.proxy.url, https_proxy: side.proxy.url }
    return [
      await ask(http, [side.plain, { agent: side.agent('http', env) }]),
      await ask(https, [side.secure, { agent: side.agent('https', env) }]),
      await ask(http, [side.plain, { agent: side.agent('http', undefined) }]),
      other.heads.length,
    ]
  } finally {
    restore()
  }
})

same(
  'OPTIONS of the whole server',
  async (side) => {
    const agent = side.agent('http', { http_proxy: side.proxy.url })
    return ask(http, [side.plain, { agent, method: 'OPTIONS', path: '*' }])
  },
  (scope) =>
    scriptedProxy(scope, {
      onHead: (_head, socket) => (socket.write('HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n'), true),
    }),
  (ours, theirs) => {
    // A proxy knows which server is meant by the absolute form alone: RFC 9112, section 3.2.4.
    assert.deepStrictEqual(
      [ours.asked[0][0], theirs.asked[0][0]],
      ['OPTIONS http://localhost:PORT1 HTTP/1.1', 'OPTIONS * HTTP/1.1'],
    )
    ours.asked[0][0] = theirs.asked[0][0]
  },
)

same(
  'many at once',
  async (side) => {
    const agent = side.agent('https', { https_proxy: side.proxy.url }, { maxSockets: 5 })
    const outcomes = await Promise.all(
      Array.from({ length: 20 }, (_, at) => ask(https, [`${side.secure}/${at}`, { agent }])),
    )
    return outcomes.map(({ status }) => status)
  },
  undefined,
  (ours, theirs) => {
    // The runtime's tunnels are not counted while they are made.
    assert.ok(ours.asked.length <= 5 && ours.asked.length <= theirs.asked.length, `${ours.asked.length} tunnels`)
    for (const outcome of [ours, theirs]) {
      outcome.asked = new Set(outcome.asked.map(String)).size
      outcome.requests.sort()
      delete outcome.connections
      delete outcome.direct
    }
  },
)

/** Which of flags, environment and NODE_OPTIONS counts. @type {[flags: string[], env: Record<string, string>][]} */
const SAID = [
  [[], {}],
  [[], { NODE_USE_ENV_PROXY: '1' }],
  [['--use-env-proxy'], {}],
  [['--no-use-env-proxy'], { NODE_USE_ENV_PROXY: '1' }],
  [['--use-env-proxy', '--no-use-env-proxy'], {}],
  [['--no-use-env-proxy'], { NODE_OPTIONS: '--use-env-proxy' }],
  [['--use-env-proxy'], { NODE_OPTIONS: '--no-use-env-proxy' }],
]

test('the stand-ins’ global agents go by the environment when the runtime’s do', { skip }, async () => {
  const script = `
    const isProxied = (http) => http.globalAgent.options.proxyEnv !== undefined
    const runtimes = isProxied(require('node:http'))
    console.log(JSON.stringify([runtimes, isProxied(require(${JSON.stringify(path.join(__dirname, '../..'))}).http)]))`
  const seen = []
  for (const [flags, env] of SAID) {
    const all = { ...process.env, HTTP_PROXY: 'http://127.0.0.1:1', ...env }
    const { stdout } = await execFile(process.execPath, [...flags, '-e', script], { env: all })
    const [theirs, ours] = JSON.parse(stdout)
    assert.strictEqual(ours, theirs, `${flags} ${JSON.stringify(env)}`)
    seen.push(theirs)
  }
  assert.ok(seen.includes(true) && seen.includes(false))
})
