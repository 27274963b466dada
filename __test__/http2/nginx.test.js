'use strict'

// nginx over HTTP/2, in short: `npm run http2` is the same at length.

const assert = require('node:assert')

const { http2Agent } = require('../support/http2')
const { clients, load, start, unread } = require('../support/http2-nginx')
const { hasNginx } = require('../support/nginx')
const { isNode, major } = require('../support/runtime')
const { test } = require('../support/suite')

// Fetches without an agent trust whom the process trusts.
process.env.NODE_TLS_REJECT_UNAUTHORIZED = '0'

const NGINX = { skip: !hasNginx && 'nginx is not installed' }
const FINE = { failed: 0, wrong: 0, duplicates: 0, codes: {} }
const skipped = { got: isNode && major < 22 && 'got 16 needs Node 22' }

for (const [name, client] of Object.entries(clients)) {
  test(`${name}: 100 requests at once and 60 one after another go over one connection to nginx`, {
    skip: NGINX.skip || skipped[name],
  }, async (scope) => {
    const server = await start(scope, 'http2_max_concurrent_streams 256;')
    const [send, agent] = [await client(), await http2Agent(scope)]
    const atOnce = await load(server, send, { requests: 100, lanes: 100, agent })
    const inTurn = await load(server, send, { requests: 60, lanes: 1, agent })
    assert.deepStrictEqual([atOnce, inTurn], Array(2).fill({ ...FINE, connections: 1 }))
  })
}

const FETCHES = ['fetch', 'fetch without an agent', 'https.request']

for (const name of FETCHES) {
  test(`${name}: nginx's GOAWAY every 50 requests fails none of 20 at once, and doubles none`, NGINX, async (scope) => {
    const server = await start(scope, 'keepalive_requests 50;')
    const agent = await http2Agent(scope, { maxSockets: 20 })
    const counts = await load(server, await clients[name](), { requests: 600, lanes: 20, agent })
    const { connections, ...rest } = counts
    assert.deepStrictEqual(rest, FINE)
    assert.ok(connections >= 12, `${connections}`)
  })

  for (const streams of [1, 2, 10]) {
    test(`${name}: nginx with ${streams} at a time fails none of a first burst of 100`, NGINX, async (scope) => {
      const server = await start(scope, `http2_max_concurrent_streams ${streams};`)
      const agent = await http2Agent(scope)
      const { connections, ...rest } = await load(server, await clients[name](), { requests: 100, lanes: 100, agent })
      assert.deepStrictEqual(rest, FINE)
      assert.ok(connections > 1)
    })
  }
}

for (const isAlone of [true, false]) {
  const how = isAlone ? 'without an agent' : 'over an agent'
  test(`three bodies of 8 MB that nobody reads keep no fetch ${how} from its answer`, NGINX, async (scope) => {
    assert.deepStrictEqual(await unread(scope, { isAlone }), { failed: 0, wrong: 0 })
  })
}
