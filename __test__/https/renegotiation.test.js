'use strict'

// Servers that shake hands once more over TLS 1.2 when they know what is asked for, as IIS and Apache do for client
// certificates of some paths: the runtime's own TLS serves their requests, after the first one has failed.

const assert = require('node:assert')
const { constants } = require('node:crypto')
const { mkdtempSync, rmSync, writeFileSync } = require('node:fs')
const https = require('node:https')
const os = require('node:os')
const path = require('node:path')

const { makeAuthority } = require('../support/authority')
const { runScript } = require('../support/child')
const { isNode } = require('../support/runtime')
const { outcome, SecureAgent, secureServer } = require('../support/secure')
const { test } = require('../support/suite')
const { once } = require('../support/wait')
const keepwire = require('../..')

const REASON = 'tls-renegotiation'
const [major, minor] = (process.versions.openssl ?? '').split('.').map(Number)
/** OpenSSL 3.2 and later have other words for it. */
const REFUSED =
  major > 3 || (major === 3 && minor >= 2)
    ? 'ERR_SSL_SSL/TLS_ALERT_HANDSHAKE_FAILURE'
    : 'ERR_SSL_SSLV3_ALERT_HANDSHAKE_FAILURE'
const skip = !isNode && 'its servers cannot ask for another handshake'
const OURS = { ours: 'has nowhere else to go', skip }

const authorities = (async () => {
  const { root, server } = await makeAuthority()
  return { root, server, client: await root.issue({ name: 'client', use: 'client' }) }
})()

/**
 * A server that asks for a client certificate once it knows that the path is a protected one.
 * @param {{ before?: (response: object) => Promise<unknown> }} [options] what it does before that
 */
async function protectedServer(scope, { before } = {}) {
  const { root, server } = await authorities
  const bodies = []
  // Else the session that goes on has no place for a certificate.
  const secureOptions = constants.SSL_OP_NO_SESSION_RESUMPTION_ON_RENEGOTIATION
  const options = { maxVersion: 'TLSv1.2', ca: root.pem, secureOptions }
  const served = await secureServer(scope, server, options, (request, response) => {
    let body = ''
    request.setEncoding('latin1').on('data', (chunk) => (body += chunk))
    request.on('end', async () => {
      if (request.url !== '/protected') return response.end('free')
      await before?.(response)
      request.socket.renegotiate({ requestCert: true, rejectUnauthorized: false }, (error) => {
        if (error) return request.socket.destroy()
        bodies.push(body)
        response.end(String(request.socket.getPeerCertificate().subject?.CN))
      })
    })
  })
  return Object.assign(served, { bodies })
}

async function agentsOf(scope, options = {}) {
  const { root, client } = await authorities
  const all = { ca: root.pem, cert: client.pem, key: client.key, ...options }
  return (Agent) => scope.adopt(new Agent(all))
}

const told = ({ error, status, body }) => error?.code ?? [status, body]

async function ask(module, agent, port, { method = 'GET', path = '/protected', body = '' } = {}) {
  const request = module.request({ host: 'localhost', port, agent, method, path })
  const answer = once(request, 'response').then(async ([response]) => {
    let text = ''
    response.setEncoding('latin1').on('data', (chunk) => (text += chunk))
    await once(response, 'end')
    return [response.statusCode, text, keepwire.explain(request)?.reason]
  })
  request.end(body)
  return answer.catch((error) => error.code)
}

test(
  'a server that asks for another handshake is served by the runtime, after the first request',
  OURS,
  async (scope) => {
    const { port } = await protectedServer(scope)
    const agentOf = await agentsOf(scope)
    const theirs = told(await outcome({ port, path: '/protected', agent: agentOf(https.Agent) }))
    assert.deepStrictEqual(theirs, [200, 'client'])
    const agent = agentOf(SecureAgent)
    assert.deepStrictEqual(told(await outcome({ port, agent, path: '/' })), [200, 'free'])
    const seen = []
    const other = agentOf(SecureAgent)
    assert.deepStrictEqual(told(await outcome({ port, agent: other, path: '/' })), [200, 'free'])
    for (const by of [agent, agent, other, agentOf(SecureAgent)]) {
      seen.push(told(await outcome({ port, agent: by, path: '/protected' })))
    }
    assert.deepStrictEqual(seen, [REFUSED, theirs, theirs, theirs])
    const [figures] = Object.values(agent.stats().origins)
    assert.deepStrictEqual(
      [figures.foreign, figures.errors],
      [{ [REASON]: 1 }, { ERR_SSL_SSLV3_ALERT_HANDSHAKE_FAILURE: 1 }],
    )
    assert.strictEqual(await agent.preconnect(`https://localhost:${port}`), 0)
  },
)

for (const method of ['GET', 'POST']) {
  test(`our own requests learn it too: ${method}`, OURS, async (scope) => {
    const { bodies, port } = await protectedServer(scope)
    const agent = (await agentsOf(scope, { keepAlive: true }))(SecureAgent)
    const body = method === 'POST' ? 'hello' : ''
    const outcomes = []
    for (const path of ['/', '/protected', '/protected', '/']) {
      outcomes.push(await ask(keepwire.https, agent, port, { method, path, body }))
    }
    const [free, refused, served, freeAgain] = outcomes
    assert.deepStrictEqual([free.slice(0, 2), refused], [[200, 'free'], REFUSED])
    assert.deepStrictEqual(
      [served, freeAgain],
      [
        [200, 'client', REASON],
        [200, 'free', REASON],
      ],
    )
    // What was refused was never served, and nothing was served twice.
    assert.deepStrictEqual(bodies, [body])
  })
}

test('a fetch over an agent learns it too', OURS, async (scope) => {
  const { bodies, port } = await protectedServer(scope)
  const agent = (await agentsOf(scope))(SecureAgent)
  const asked = () => keepwire.fetch(`https://localhost:${port}/protected`, { method: 'POST', body: 'hello', agent })
  const error = await asked().then(
    () => null,
    (reason) => reason,
  )
  assert.strictEqual(error?.cause?.code, REFUSED)
  for (let i = 0; i < 2; i++) assert.strictEqual(await (await asked()).text(), 'client')
  assert.deepStrictEqual(bodies, ['hello', 'hello'])
  const [figures] = Object.values(agent.stats().origins)
  assert.deepStrictEqual(figures.foreign, { [REASON]: 2 })
})

test('a fetch without an agent learns it too, from what the server says', OURS, async (scope) => {
  const { root } = await authorities
  const { bodies, port } = await protectedServer(scope)
  const folder = mkdtempSync(path.join(os.tmpdir(), 'keepwire-'))
  scope.defer(() => rmSync(folder, { recursive: true }))
  const ca = path.join(folder, 'ca.pem')
  writeFileSync(ca, root.pem)
  const url = `https://localhost:${port}/protected`
  const { code, lines, stderr } = await runScript('fetch-renegotiation', [url], { env: { NODE_EXTRA_CA_CERTS: ca } })
  assert.deepStrictEqual([code, stderr], [0, ''])
  const [{ seen, foreign }] = lines
  const [first, second] = seen
  assert.match(first, /^E[A-Z_]+/)
  assert.deepStrictEqual([second, foreign], ['undefined', { [REASON]: 1 }], 'it has no certificate to show')
  assert.deepStrictEqual(bodies, ['hello'])
})

test('a server that asks after the head of its response is remembered as well', OURS, async (scope) => {
  const { port } = await protectedServer(scope, {
    before: (response) => new Promise((resolve) => response.write('first ', resolve)),
  })
  const agent = (await agentsOf(scope))(SecureAgent)
  const request = https.get({ host: 'localhost', family: 4, port, agent, path: '/protected' })
  const failed = once(request, 'error')
  const [response] = await once(request, 'response')
  response.on('error', () => {}).resume()
  const [error] = await failed
  assert.strictEqual(error.code, REFUSED)
  assert.deepStrictEqual(told(await outcome({ port, agent, path: '/protected' })), [200, 'first client'])
})

test('what one has learned with other TLS settings is not known to the next', OURS, async (scope) => {
  const { port } = await protectedServer(scope)
  const agentOf = await agentsOf(scope)
  assert.strictEqual(told(await outcome({ port, agent: agentOf(SecureAgent), path: '/protected' })), REFUSED)
  const other = (await agentsOf(scope, { rejectUnauthorized: false }))(SecureAgent)
  assert.deepStrictEqual(told(await outcome({ port, agent: other, path: '/' })), [200, 'free'])
  const [figures] = Object.values(other.stats().origins)
  assert.deepStrictEqual([figures.foreign, figures.created], [{}, 1])
})

for (const maxVersion of ['TLSv1.2', 'TLSv1.3']) {
  test(
    `a server of ${maxVersion} that ends a connection, or fails, without asking is not remembered`,
    OURS,
    async (scope) => {
      const { server } = await authorities
      const { port } = await secureServer(scope, server, { maxVersion }, (request, response) => {
        if (request.url === '/') return response.end('ok')
        request.socket.destroy()
      })
      const agent = (await agentsOf(scope))(SecureAgent)
      const seen = []
      for (const path of ['/closed', '/', '/closed', '/']) seen.push(told(await outcome({ port, agent, path })))
      assert.deepStrictEqual(seen, ['ECONNRESET', [200, 'ok'], 'ECONNRESET', [200, 'ok']])
      const [figures] = Object.values(agent.stats().origins)
      assert.deepStrictEqual(figures.foreign, {})
    },
  )
}
