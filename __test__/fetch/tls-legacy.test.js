'use strict'

// fetch() from servers with which the engine's TLS has nothing in common, with an agent and without: the runtime's own TLS
// carries it, once and for all that it means.

const assert = require('node:assert')
const { mkdtempSync, rmSync, writeFileSync } = require('node:fs')
const https = require('node:https')
const net = require('node:net')
const os = require('node:os')
const path = require('node:path')
const zlib = require('node:zlib')

const { fetch } = require('../..')
const { makeAuthority } = require('../support/authority')
const { runScript } = require('../support/child')
const { isDeno } = require('../support/runtime')
const { outcome, plainServer, SecureAgent, secureServer } = require('../support/secure')
const { test } = require('../support/suite')

const skip = isDeno && "Deno's own TLS is the engine's: it can't be such a server"

const authority = (async () => {
  const { root } = await makeAuthority()
  const names = { name: 'localhost', dns: ['localhost'], ip: ['127.0.0.1'], use: 'server' }
  return { root, server: await root.issue({ ...names, kind: 'RSA 2048' }) }
})()

/** `hello` in zstd: older runtimes can't make it. */
const ZSTD = '28b52ffd200529000068656c6c6f'
const LARGE = 3_000_000
const CBC = { maxVersion: 'TLSv1.2', ciphers: 'ECDHE-RSA-AES128-SHA' }

/** Responses by their paths; the others say what was asked. */
const answers = {
  '/redirect': (response) => response.writeHead(302, { location: '/there' }).end('elsewhere'),
  '/nothing': (response) => response.writeHead(204).end(),
  '/gzip': (response) => encoded(response, 'gzip', zlib.gzipSync('hello')),
  '/deflate': (response) => encoded(response, 'deflate', zlib.deflateSync('hello')),
  '/raw': (response) => encoded(response, 'deflate', zlib.deflateRawSync('hello')),
  '/br': (response) => encoded(response, 'br', zlib.brotliCompressSync('hello')),
  '/two': (response) => encoded(response, 'deflate, gzip', zlib.gzipSync(zlib.deflateSync('hello'))),
  '/unknown': (response) => encoded(response, 'secret', 'hello'),
  '/empty': (response) => response.writeHead(200, { 'content-encoding': 'gzip', 'transfer-encoding': 'chunked' }).end(),
  '/short': (response) => encoded(response, 'gzip', zlib.gzipSync('hello').subarray(0, -8)),
  '/short-br': (response) => encoded(response, 'br', zlib.brotliCompressSync('hello').subarray(0, -1)),
  '/short-zstd': (response) => encoded(response, 'zstd', Buffer.from(ZSTD, 'hex').subarray(0, -1)),
  '/zstd': (response) => encoded(response, 'zstd', Buffer.from(ZSTD, 'hex')),
  '/beyond': (response) => encoded(response, 'gzip', Buffer.concat([zlib.gzipSync('hello'), Buffer.alloc(9)])),
  '/far-beyond': (response) => {
    response.writeHead(200, { 'content-encoding': 'deflate' })
    response.write(Buffer.concat([zlib.deflateSync('hello'), Buffer.alloc(9)]))
    setImmediate(() => response.end(Buffer.alloc(99)))
  },
  // Of its request: a response has none before the one before it has been written, as the server sees it.
  '/upgrade': ({ req }) => {
    req.socket.end('HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: other\r\n\r\n')
  },
  '/undecodable': (response) => encoded(response, 'gzip', 'hello'),
  '/large': (response) => response.end(Buffer.alloc(LARGE, 'x')),
  '/cut': (response) => response.writeHead(200, { 'content-length': 10 }).write('five', () => response.destroy()),
  '/unanswered': (response) => response.destroy(),
  '/missing': (response) => response.writeHead(404).end('no such thing'),
  '/held': () => {},
  '/begun': (response) => response.write('so far'),
}

function encoded(response, coding, bytes) {
  response.writeHead(200, { 'content-encoding': coding }).end(bytes)
}

/** A server that is limited to what the engine does not have, and writes down what it is asked. */
async function legacy(scope) {
  const { server } = await authority
  const asked = []
  const served = await secureServer(scope, server, CBC, (request, response) => {
    let body = ''
    request.setEncoding('utf8').on('data', (chunk) => (body += chunk))
    request.on('end', () => {
      const { headers, method, url } = request
      asked.push([method, url, headers['content-length'] ?? headers['transfer-encoding'] ?? '', body])
      const answer = answers[url] ?? (() => response.end(`${method} ${body}`))
      answer(response)
    })
  })
  return Object.assign(served, { asked })
}

async function trusted(scope) {
  const { root } = await authority
  const folder = mkdtempSync(path.join(os.tmpdir(), 'keepwire-'))
  scope.defer(() => rmSync(folder, { recursive: true }))
  const file = path.join(folder, 'ca.pem')
  writeFileSync(file, root.pem)
  return file
}

const ok = { status: 200, isResponse: true, path: '/' }
const failed = (cause, name = 'TypeError', message = 'fetch failed') => ({ error: [name, message, cause] })

const firsts = {
  get: { ...ok, body: 'GET ' },
  text: { ...ok, body: 'POST one two three' },
  stream: { ...ok, body: 'POST one two three' },
  'stream of a known length': { ...ok, body: 'PUT one two three' },
}

const outcomes = {
  ...firsts,
  again: { ...ok, path: '/again', body: 'GET ' },
  'a stream again': { ...ok, body: 'POST one two three' },
  redirected: { ...ok, path: '/there', redirected: true, body: 'GET ' },
  'a redirect, manually': { ...ok, status: 302, path: '/redirect', body: 'elsewhere' },
  'a redirect as an error': failed('unexpected redirect'),
  'a POST that becomes a GET': { ...ok, path: '/there', redirected: true, body: 'GET ' },
  head: { ...ok, body: '' },
  nothing: { ...ok, status: 204, path: '/nothing', body: '' },
  gzip: { ...ok, path: '/gzip', body: 'hello' },
  deflate: { ...ok, path: '/deflate', body: 'hello' },
  'deflate without its header': { ...ok, path: '/raw', body: 'hello' },
  br: { ...ok, path: '/br', body: 'hello' },
  'two codings': { ...ok, path: '/two', body: 'hello' },
  'empty content': { ...ok, path: '/empty', body: '' },
  'content that breaks off': { ...ok, path: '/short', error: ['terminated', 'Z_BUF_ERROR'] },
  'content in br that breaks off': { ...ok, path: '/short-br', error: ['terminated', 'Z_BUF_ERROR'] },
  'content in zstd that breaks off': { ...ok, path: '/short-zstd', error: ['terminated', 'Z_BUF_ERROR'] },
  'more than the content': { ...ok, path: '/beyond', body: 'hello' },
  'more than the content, later': { ...ok, path: '/far-beyond', body: 'hello' },
  'an upgrade that nobody asked for': failed('UND_ERR_SOCKET'),
  zstd: { ...ok, path: '/zstd', body: 'hello' },
  'an unknown coding': { ...ok, path: '/unknown', body: 'hello' },
  undecodable: { ...ok, path: '/undecodable', error: ['terminated', 'Z_DATA_ERROR'] },
  large: { ...ok, path: '/large', body: LARGE },
  'cut off': { ...ok, path: '/cut', error: ['terminated', 'UND_ERR_SOCKET'] },
  unanswered: failed('UND_ERR_SOCKET'),
  'a timeout': failed(undefined, 'TimeoutError', 'The operation was aborted due to timeout'),
}

for (const way of ['agent', 'client']) {
  const how = way === 'agent' ? 'over an agent' : 'without an agent'
  test(`${how} all is as from other servers, and nothing is sent twice`, { skip }, async (scope) => {
    const servers = await Promise.all(Object.keys(firsts).map(() => legacy(scope)))
    const file = await trusted(scope)
    const args = [way, file, ...servers.map(({ port }) => port)]
    const { code, lines, stderr } = await runScript('fetch-legacy', args, { env: { NODE_EXTRA_CA_CERTS: file } })
    assert.deepStrictEqual([code, stderr], [0, ''])
    const told = Object.fromEntries(lines.filter(({ name }) => name).map(({ name, ...outcome }) => [name, outcome]))
    for (const [name, outcome] of Object.entries(outcomes)) {
      assert.deepStrictEqual(told[name], JSON.parse(JSON.stringify(outcome)), name)
    }
    const [{ asked }, ...others] = servers
    assert.deepStrictEqual(
      others.map((server) => server.asked),
      [
        [['POST', '/', '13', 'one two three']],
        [['POST', '/', 'chunked', 'one two three']],
        [['PUT', '/', '13', 'one two three']],
      ],
    )
    assert.strictEqual(asked.filter(([, url]) => url === '/unanswered').length, 1)
    assert.deepStrictEqual(
      asked.filter(([, url]) => url === '/there').map(([method]) => method),
      ['GET', 'GET'],
    )
    const figures = lines.filter(({ origin }) => origin !== undefined)
    const foreign = figures.reduce((sum, origin) => sum + (origin.foreign['tls-legacy-server'] ?? 0), 0)
    const requests = asked.filter(([, url]) => !['/missing', '/large', '/begun'].includes(url)).length + 1
    assert.deepStrictEqual(
      lines.filter(({ reason }) => reason),
      [{ reason: 'enough' }],
    )
    // One that timed out may not have been sent.
    assert.ok(foreign === requests || foreign === requests + 1, `${foreign} of ${requests}`)
    for (const { created, errors } of figures) assert.deepStrictEqual([created, errors], [0, {}])
    const [{ excerpt, status }] = lines.filter(({ excerpt }) => excerpt)
    assert.deepStrictEqual([status, excerpt], [404, 'no such thing'])
    assert.deepStrictEqual(
      lines.filter(({ streamed }) => streamed),
      [{ streamed: LARGE }],
    )
  })
}

test('the server is remembered, its connections are kept, within the limits of the agent', { skip }, async (scope) => {
  const { root } = await authority
  const served = await legacy(scope)
  const agent = scope.adopt(new SecureAgent({ ca: root.pem, keepAlive: true, maxSockets: 2 }))
  const url = `https://localhost:${served.port}/`
  const opened = []
  for (let i = 0; i < 3; i++) {
    assert.strictEqual(await (await fetch(url, { agent })).text(), 'GET ')
    opened.push(served.connections)
  }
  assert.deepStrictEqual(opened, [2, 2, 2])
  await Promise.all(Array.from({ length: 10 }, async () => (await fetch(url, { agent })).text()))
  assert.strictEqual(served.connections, 3)
  const next = scope.adopt(new SecureAgent({ ca: root.pem }))
  await (await fetch(url, { agent: next })).text()
  assert.strictEqual(served.connections, 4)
  const [told] = Object.values(agent.stats().origins)
  assert.deepStrictEqual([told.foreign, told.created, told.errors], [{ 'tls-legacy-server': 13 }, 0, {}])
})

test('the certificate is judged by the agent', { skip }, async (scope) => {
  const served = await legacy(scope)
  const url = `https://localhost:${served.port}/`
  const agent = scope.adopt(new SecureAgent())
  await assert.rejects(fetch(url, { agent }), (error) => {
    assert.ok(error instanceof TypeError)
    assert.match(error.cause.code, /^UNABLE_TO_/)
    return true
  })
  assert.deepStrictEqual(served.asked, [])
  const trusting = scope.adopt(new SecureAgent({ rejectUnauthorized: false }))
  assert.strictEqual(await (await fetch(url, { agent: trusting })).text(), 'GET ')
})

test("an agent's deadlines are no obstacle", { skip }, async (scope) => {
  const { root } = await authority
  const served = await legacy(scope)
  for (const name of ['connectTimeout', 'headersTimeout', 'bodyTimeout', 'tcpUserTimeout']) {
    const agent = scope.adopt(new SecureAgent({ ca: root.pem, [name]: 60_000 }))
    assert.strictEqual(await (await fetch(`https://localhost:${served.port}/`, { agent })).text(), 'GET ')
  }
})

test("if the runtime's TLS fails as well, its error is the cause, and nothing is remembered", async (scope) => {
  const alert = Buffer.from([21, 3, 3, 0, 2, 2, 40])
  const served = await plainServer(scope, (socket) => socket.once('data', () => socket.end(alert)))
  const theirs = await outcome({ port: served.port, agent: scope.adopt(new https.Agent()) })
  const agent = scope.adopt(new SecureAgent())
  for (let i = 1; i <= 2; i++) {
    await assert.rejects(fetch(`https://localhost:${served.port}/`, { agent }), (error) => {
      assert.ok(error instanceof TypeError)
      assert.strictEqual(error.cause.code, theirs.error.code)
      return true
    })
    assert.strictEqual(served.connections, 1 + 2 * i)
  }
})

test('a server that ends the first handshake without a word is asked by the runtime', async (scope) => {
  const { server } = await authority
  const behind = await secureServer(scope, server)
  const file = await trusted(scope)
  for (const way of ['agent', 'client']) {
    let accepted = 0
    const { port } = await plainServer(scope, (socket) => {
      accepted += 1
      if (accepted === 1) {
        socket.once('data', () => socket.destroy())
        return
      }
      const through = net.connect(behind.port, '127.0.0.1')
      socket.pipe(through).pipe(socket)
      for (const end of [socket, through]) end.on('error', () => {}).on('close', () => through.destroy())
    })
    const { lines, stderr } = await runScript('fetch-silent', [way, file, port], { env: { NODE_EXTRA_CA_CERTS: file } })
    assert.deepStrictEqual(lines, [{ body: 'ok', foreign: 1, errors: 0 }], stderr)
    assert.strictEqual(accepted, 2)
  }
})

test('NODE_TLS_REJECT_UNAUTHORIZED=0 is warned of once, though engine and runtime both heed it', {
  skip,
}, async (scope) => {
  for (const script of ['fetch-once', 'https-trust']) {
    const { port } = await legacy(scope)
    const args = script === 'fetch-once' ? [`https://localhost:${port}/`] : [port, 'ours']
    const { lines, stderr } = await runScript(script, args, { env: { NODE_TLS_REJECT_UNAUTHORIZED: '0' } })
    const [{ body, status }] = lines.filter((line) => line.warning === undefined)
    assert.ok(body === 'GET ' || status === 200, stderr)
    assert.strictEqual(stderr.split("environment variable to '0'").length - 1, 1, stderr)
  }
})

test("tracers hear once of a request that falls back to the runtime's sockets, and add to it", {
  skip,
}, async (scope) => {
  const { server } = await authority
  const { port } = await secureServer(scope, server, CBC, (request, response) => {
    if (request.url === '/drop') request.socket.destroy()
    else request.on('end', () => response.end(request.headers.traceparent)).resume()
  })
  const env = { NODE_EXTRA_CA_CERTS: await trusted(scope) }
  const { lines, stderr } = await runScript('fetch-channels', [`https://localhost:${port}`], { env })
  assert.strictEqual(lines.length, 4, stderr)
  for (const { failed, heard, text } of lines) {
    const last = failed ? ['error'] : ['headers', 200, 'trailers']
    assert.strictEqual(text, failed ? undefined : '00-1')
    assert.strictEqual(heard[0], 'create')
    assert.deepStrictEqual(heard.slice(1, 3).sort(), ['bodySent', 'sendHeaders'])
    assert.deepStrictEqual(heard.slice(3), last)
  }
})
