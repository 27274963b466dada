'use strict'

// Node's network inspector, what DevTools show of a program's requests: it has a fetch of ours as it has the runtime's own.

const assert = require('node:assert')

const { runScript } = require('../support/child')
const { isNode, major } = require('../support/runtime')
const { test } = require('../support/suite')

const skip = (!isNode && 'it is a part of Node') || (major < 22 && 'it listens to undici from Node 22 on')

test("the network inspector shows a fetch as it shows the runtime's own", {
  skip,
  ours: 'has no fetch of its own',
}, async () => {
  const { code, lines, stderr } = await runScript('inspected-fetch', [], {
    flags: ['--experimental-network-inspection'],
  })
  assert.strictEqual(code, 0, stderr)
  const [{ ours, own }] = lines
  assert.deepStrictEqual(ours, own)
  assert.deepStrictEqual(
    ours.map(([event]) => event),
    ['requestWillBeSent', 'responseReceived', 'loadingFinished'],
  )
  assert.match(ours[0][1], /^GET http:\/\/127\.0\.0\.1:\d+\/inspected$/)
  assert.strictEqual(ours[1][1], 200)
})
