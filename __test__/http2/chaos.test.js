'use strict'

// A server that breaks each rule of HTTP/2: see support/chaos-http2.js. The full-length version is `npm run chaos -- http2`.

const { chaosOverHttp2 } = require('../support/chaos-http2')
const { SecureAgent } = require('../support/secure')
const { isNode } = require('../support/runtime')
const { test } = require('../support/suite')

const REQUESTS = process.env.KEEPWIRE_TEST_QUICK === '1' ? 500 : 1_500

for (const seed of [1, 2]) {
  test(`every request to a server that breaks the rules settles once, as it must: seed ${seed}`, {
    scheme: 'https',
    skip: !isNode && 'the server is of the same runtime, and floods of other TLS wait for nobody',
    timeout: 180_000,
  }, async (scope) => {
    const remote = await scope.remote('chaos-http2-peer.js')
    const { ca } = scope.identity
    const agent = scope.adopt(
      new SecureAgent({ keepAlive: true, http2: true, maxSockets: 64, headersTimeout: 60_000, ca }),
    )
    await chaosOverHttp2({ agent, remote, requests: REQUESTS, seed })
  })
}
