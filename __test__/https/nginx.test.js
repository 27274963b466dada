'use strict'

// Against nginx: client certificates, and what it says of sessions.

const assert = require('node:assert')
const { createPrivateKey } = require('node:crypto')
const https = require('node:https')

const { Certificate, makeAuthority } = require('../support/authority')
const { hasNginx, startNginx } = require('../support/nginx')
const { SecureAgent } = require('../support/secure')
const { test } = require('../support/suite')

const skip = !hasNginx && 'nginx is not installed'

const authorities = (async () => {
  const { root, server } = await makeAuthority()
  const other = await Certificate.make({ name: 'Other', ca: true })
  const client = await root.issue({ name: 'client', use: 'client' })
  const stranger = await other.issue({ name: 'stranger', use: 'client' })
  const sealing = { type: 'pkcs8', format: 'pem', cipher: 'aes-256-cbc', passphrase: 'sesame' }
  const sealed = createPrivateKey(client.key).export(sealing)
  return { root, server, client, stranger, sealed }
})()

async function nginx(scope, settings) {
  const { root, server } = await authorities
  const files = { 'cert.pem': server.pem, 'key.pem': server.key, 'ca.pem': root.pem }
  return startNginx(
    scope,
    files,
    (port) => `
      listen 127.0.0.1:${port} ssl;
      ssl_certificate cert.pem;
      ssl_certificate_key key.pem;
      ${settings}
      location / { return 200 "$ssl_client_s_dn $ssl_session_reused $connection $ssl_protocol"; }`,
  )
}

function get(options) {
  return new Promise((resolve) => {
    const request = https.get({ host: 'localhost', family: 4, ...options }, (response) => {
      let body = ''
      response.setEncoding('utf8')
      response.on('data', (chunk) => (body += chunk))
      response.on('end', () => resolve({ status: response.statusCode, body }))
    })
    request.on('error', ({ code }) => resolve({ code }))
  })
}

const shown = {
  'a certificate and its key': ({ client }) => ({ cert: client.pem, key: client.key }),
  'an encrypted key': ({ client, sealed }) => ({ cert: client.pem, key: sealed, passphrase: 'sesame' }),
  nothing: () => ({}),
  'a certificate of an unknown authority': ({ stranger }) => ({ cert: stranger.pem, key: stranger.key }),
}

for (const version of ['TLSv1.2', 'TLSv1.3']) {
  for (const [name, show] of Object.entries(shown)) {
    const sentence = `nginx that wants a client certificate over ${version} and is shown ${name} answers as it answers the runtime's own agent`
    test(sentence, { skip }, async (scope) => {
      const known = await authorities
      const wanting = `ssl_protocols ${version}; ssl_verify_client on; ssl_client_certificate ca.pem;`
      const port = await nginx(scope, wanting)
      const attempt = async (Agent) => {
        const agent = scope.adopt(new Agent({ ca: known.root.pem, keepAlive: true, ...show(known) }))
        const { status, body, code } = await get({ port, agent })
        return { status, code, subject: status === 200 ? body.split(' ')[0] : undefined }
      }
      const ours = await attempt(SecureAgent)
      assert.deepStrictEqual(ours, await attempt(https.Agent))
      assert.strictEqual(ours.status, /key$/.test(name) ? 200 : 400)
    })
  }

  test(`nginx counts one connection over ${version} for 20 requests, and a resumed session after destroy()`, {
    skip,
  }, async (scope) => {
    const { root } = await authorities
    const port = await nginx(scope, `ssl_protocols ${version}; ssl_session_cache shared:a:1m;`)
    const agent = scope.adopt(new SecureAgent({ ca: root.pem, keepAlive: true }))
    const answers = []
    for (let i = 0; i < 20; i++) answers.push((await get({ port, agent })).body)
    assert.strictEqual(new Set(answers).size, 1)
    assert.match(answers[0], new RegExp(` \\. \\d+ ${version}$`))
    agent.destroy()
    assert.match((await get({ port, agent })).body, new RegExp(` r \\d+ ${version}$`))
  })
}
