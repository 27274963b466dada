'use strict'

// fetch() over TLS: trust is the runtime's or the agent's, and HTTP/2 is chosen by ALPN.

const assert = require('node:assert')
const fs = require('node:fs')
const http2 = require('node:http2')
const https = require('node:https')
const os = require('node:os')
const path = require('node:path')

const { fetch, HttpsAgent } = require('../..')
const { runScript } = require('../support/child')
const { ca, cert, key, selfSigned } = require('../support/fetch-tls')
const { test } = require('../support/suite')

function listen(scope, server) {
  const sockets = new Set()
  server.on('secureConnection', (socket) => {
    sockets.add(socket)
    socket.on('error', () => {})
    socket.on('close', () => sockets.delete(socket))
  })
  scope.defer(async () => {
    for (const socket of sockets) socket.destroy()
    await new Promise((resolve) => server.close(resolve))
  })
  return new Promise((resolve) => {
    server.listen(0, '127.0.0.1', () => resolve(server.address().port))
  })
}

function counted(server) {
  const count = { connections: 0 }
  server.on('secureConnection', () => count.connections++)
  return count
}

/** A file with the test's certificate authority. */
function trusted(scope) {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'keepwire-'))
  scope.defer(() => fs.rmSync(folder, { recursive: true }))
  const file = path.join(folder, 'ca.pem')
  fs.writeFileSync(file, ca)
  return file
}

test("an agent's ca is trusted, and connections are reused", async (scope) => {
  const server = https.createServer({ cert, key }, (request, response) => response.end(request.url))
  const count = counted(server)
  const port = await listen(scope, server)
  const agent = scope.adopt(new HttpsAgent({ keepAlive: true, ca }))
  for (let i = 0; i < 20; i++) {
    assert.strictEqual(await (await fetch(`https://127.0.0.1:${port}/${i}`, { agent })).text(), `/${i}`)
  }
  assert.strictEqual(await (await fetch(`https://localhost:${port}/name`, { agent })).text(), '/name')
  assert.strictEqual(count.connections, 2)
})

test('a certificate that nobody vouches for is refused', async (scope) => {
  for (const [options, codes] of [
    [{ cert, key }, ['UNABLE_TO_VERIFY_LEAF_SIGNATURE', 'UNABLE_TO_GET_ISSUER_CERT_LOCALLY']],
    [selfSigned, ['DEPTH_ZERO_SELF_SIGNED_CERT', 'UNABLE_TO_VERIFY_LEAF_SIGNATURE']],
  ]) {
    const server = https.createServer(options, (_, response) => response.end('never'))
    server.on('tlsClientError', () => {})
    const port = await listen(scope, server)
    await assert.rejects(fetch(`https://127.0.0.1:${port}/`), (error) => {
      assert.ok(error instanceof TypeError)
      assert.ok(codes.includes(error.cause.code), error.cause.code)
      return true
    })
  }
})

test('rejectUnauthorized: false takes any certificate', async (scope) => {
  const server = https.createServer(selfSigned, (_, response) => response.end('taken'))
  const port = await listen(scope, server)
  const agent = scope.adopt(new HttpsAgent({ rejectUnauthorized: false }))
  assert.strictEqual(await (await fetch(`https://127.0.0.1:${port}/`, { agent })).text(), 'taken')
})

test('another name than that of the certificate is refused', async (scope) => {
  const server = https.createServer({ cert, key }, (_, response) => response.end('never'))
  server.on('tlsClientError', () => {})
  const port = await listen(scope, server)
  const agent = scope.adopt(new HttpsAgent({ ca }))
  await assert.rejects(fetch(`https://127.0.0.2:${port}/`, { agent }), (error) => {
    assert.ok(['ERR_TLS_CERT_ALTNAME_INVALID', 'ECONNREFUSED'].includes(error.cause.code), error.cause.code)
    return true
  })
})

test('without an agent, URLs of 64 KiB and more are sent, and heads of many fields are read', async (scope) => {
  const options = { cert, key, maxHeaderSize: 1024 * 1024 }
  const server = https.createServer(options, (request, response) => {
    const [, path, count] = request.url.split('/')
    if (path !== 'fields')
      return response.end(JSON.stringify([request.url.length, request.headers['x-long']?.length ?? 0]))
    for (let i = 0; i < count; i++) response.setHeader(`x-${i}`, 'v')
    response.end('read')
  })
  const port = await listen(scope, server)
  const env = { NODE_EXTRA_CA_CERTS: trusted(scope) }
  const { lines, late, stderr } = await runScript('fetch-long', [`https://127.0.0.1:${port}`], { env })
  assert.ok(!late, 'it does not end')
  const targets = [60_000, 70_000, 300_000].map((target) => ({ target, told: [target, 0] }))
  const fields = [99, 101, 700].map((count) => ({ fields: count, own: count, body: 'read' }))
  assert.deepStrictEqual(lines, [...targets, { field: 300_000, told: [2, 300_000] }, ...fields], stderr)
})

test('NODE_EXTRA_CA_CERTS and NODE_TLS_REJECT_UNAUTHORIZED are honoured', async (scope) => {
  const file = trusted(scope)
  const server = https.createServer({ cert, key }, (_, response) => response.end('hello'))
  server.on('tlsClientError', () => {})
  const port = await listen(scope, server)
  for (const [env, expected] of [
    [{ NODE_EXTRA_CA_CERTS: file }, 'hello'],
    [{ NODE_TLS_REJECT_UNAUTHORIZED: '0' }, 'hello'],
    [{}, 'refused'],
  ]) {
    const { lines, stderr } = await runScript('fetch-once', [`https://127.0.0.1:${port}/`], { env })
    assert.strictEqual(lines[0]?.body ?? 'refused', expected, stderr)
  }
})

test('HTTP/2 is spoken with a server that offers it, over one connection', async (scope) => {
  const server = http2.createSecureServer({ cert, key, allowHTTP1: true }, (request, response) => {
    response.setHeader('x-version', request.httpVersion)
    response.end(request.url)
  })
  const count = counted(server)
  const port = await listen(scope, server)
  const env = { NODE_EXTRA_CA_CERTS: trusted(scope) }
  const { lines, stderr } = await runScript('fetch-http2', [`https://127.0.0.1:${port}`], { env })
  assert.deepStrictEqual(lines, [{ first: ['2.0', '', '/first'] }, { last: ['2.0', '', '/49'] }], stderr)
  assert.strictEqual(count.connections, 1)
})

for (const isSecond of [true, false]) {
  test(`tracers hear of requests over HTTP/${isSecond ? 2 : '1.1'} without an agent, and add to them`, async (scope) => {
    const answer = (request, response) => {
      if (request.url === '/drop') (isSecond ? request.stream.session : request.socket).destroy()
      else request.on('end', () => response.end(request.headers.traceparent)).resume()
    }
    const options = { cert, key, allowHTTP1: true }
    const server = isSecond ? http2.createSecureServer(options, answer) : https.createServer(options, answer)
    if (isSecond) server.on('session', (session) => session.on('error', () => {}))
    const port = await listen(scope, server)
    const env = { NODE_EXTRA_CA_CERTS: trusted(scope) }
    const { lines, stderr } = await runScript('fetch-channels', [`https://127.0.0.1:${port}`], { env })
    const whole = { text: '00-1', heard: ['create', 'sendHeaders', 'bodySent', 'headers', 200, 'trailers'] }
    assert.deepStrictEqual(
      lines,
      [whole, whole, whole, { failed: true, heard: ['create', 'sendHeaders', 'bodySent', 'error'] }],
      stderr,
    )
  })
}

test('over an agent HTTP/1.1 is spoken', async (scope) => {
  const server = http2.createSecureServer({ cert, key, allowHTTP1: true }, (request, response) => {
    response.end(request.httpVersion)
  })
  const port = await listen(scope, server)
  const agent = scope.adopt(new HttpsAgent({ ca }))
  assert.strictEqual(await (await fetch(`https://127.0.0.1:${port}/`, { agent })).text(), '1.1')
})

test("an agent's checkServerIdentity decides", async (scope) => {
  const server = https.createServer({ cert, key }, (_, response) => response.end('known'))
  server.on('tlsClientError', () => {})
  const port = await listen(scope, server)
  const asked = []
  const own = Object.assign(new Error('not mine'), { code: 'ERR_NOT_MINE' })
  const agent = scope.adopt(
    new HttpsAgent({ ca, checkServerIdentity: (host) => (asked.push(host), host === 'localhost' ? own : undefined) }),
  )
  assert.strictEqual(await (await fetch(`https://127.0.0.1:${port}/`, { agent })).text(), 'known')
  await assert.rejects(fetch(`https://localhost:${port}/`, { agent }), (error) => {
    assert.ok(error instanceof TypeError)
    assert.strictEqual(error.cause, own)
    return true
  })
  assert.deepStrictEqual(asked, ['127.0.0.1', 'localhost'])
})
