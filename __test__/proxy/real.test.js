'use strict'

// Through proxies as Debian has them, counted by their own logs: in short; `npm run proxies` does it at length.

const assert = require('node:assert')

const { realProxies } = require('../support/real-proxies')
const { test } = require('../support/suite')
const { forwarded, tunnelled } = require('../support/through-proxies')

for (const { isInstalled, name, start } of realProxies) {
  const skip = isInstalled ? false : `${name} is not installed`

  test(`${name}: 100 requests, one after another, are 1 tunnel in its log`, { skip }, async (scope) => {
    const counts = await tunnelled(scope, await start(scope), { requests: 100, width: 1 })
    assert.deepStrictEqual(counts, { connections: 1, asked: 1 })
  })

  test(`${name}: 20 at a time are 20 tunnels in its log`, { skip }, async (scope) => {
    const counts = await tunnelled(scope, await start(scope), { requests: 200, width: 20 })
    assert.deepStrictEqual(counts, { connections: 20, asked: 20 })
  })
}

for (const { isInstalled, name, start } of realProxies.filter(({ isForwarding }) => isForwarding)) {
  const skip = isInstalled ? false : `${name} is not installed`

  test(`${name}: http to 20 origins in turn is 1 connection to it`, { skip }, async (scope) => {
    const counts = await forwarded(scope, await start(scope), { origins: 20, rounds: 2 })
    assert.deepStrictEqual(counts, { connections: 1, requests: 40 })
  })
}
