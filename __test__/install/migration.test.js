'use strict'

// The examples of docs/migration.md: each is run as it stands there, against a server of ours. Those that use keepwire are
// carried by it, the others are not.

const assert = require('node:assert')
const fs = require('node:fs')
const path = require('node:path')

const keepwire = require('../..')
const { isNode, major, runtimeName } = require('../support/runtime')
const { reply } = require('../support/peer')
const { test } = require('../support/suite')
const { until } = require('../support/wait')

const GUIDE = path.join(__dirname, '../../docs/migration.md')
const ADDRESS = 'http://localhost:8080/'
const JSON_LINES = ['Content-Type: application/json', 'x-elastic-product: Elasticsearch']

/** Where an example cannot run, or has another pool behind it. */
const SKIPPED = {
  node: major < 22 ? { got: 'got 16 needs Node 22' } : {},
  // Bun has a node-fetch of its own, which takes no agent, and an undici without a pool.
  bun: { 'node-fetch': 'the runtime replaces it', 'undici: Agent, Pool, RetryAgent': 'the runtime replaces it' },
  deno: {},
}[runtimeName]
const NEEDS_NODE_20 = ['AWS SDK', 'Elasticsearch', 'OpenTelemetry exporters', 'undici: Agent, Pool, RetryAgent']

/** @returns {{ title: string, code: string }[]} */
function examples() {
  const found = []
  for (const section of fs.readFileSync(GUIDE, 'utf8').split(/^## /m).slice(1)) {
    const title = section.slice(0, section.indexOf('\n'))
    for (const [, code] of section.matchAll(/^```js\n(.*?)^```$/gms)) found.push({ title, code })
  }
  return found
}

/** The example as the body of an async function: `import` statements become calls. */
function runnable(code, address) {
  return code
    .replaceAll(ADDRESS, address)
    .replace(/^import (\w+) from ('[^']+')$/gm, 'const { default: $1 } = await load($2)')
    .replace(/^import (\{[^}]+\}) from ('[^']+')$/gm, 'const $1 = await load($2)')
}

const AsyncFunction = Object.getPrototypeOf(async () => {}).constructor

/** Notes the agents of ours that get requests while the test runs. */
function watchAgents(scope) {
  const agents = new Set()
  const { Agent } = keepwire
  const { addRequest } = Agent.prototype
  scope.defer(() => {
    Agent.prototype.addRequest = addRequest
    for (const agent of agents) agent.destroy()
  })
  Agent.prototype.addRequest = function (...args) {
    agents.add(this)
    return addRequest.apply(this, args)
  }
  return agents
}

const seen = new Map()
for (const { title, code } of examples()) {
  const number = (seen.get(title) ?? 0) + 1
  seen.set(title, number)
  const usesKeepwire = code.includes("from 'keepwire")
  const old = isNode && major < 20 && NEEDS_NODE_20.includes(title) && 'needs Node 20'
  test(`migration guide: ${title}, example ${number}`, { skip: SKIPPED[title] || old, leaks: false }, async (scope) => {
    const peer = await scope.peer((_, connection) => connection.write(reply('{"TableNames":[]}', JSON_LINES)))
    const agents = watchAgents(scope)
    const source = runnable(code, `http://127.0.0.1:${peer.port}/`)
    await new AsyncFunction('load', source)((name) => import(name))
    await until(() => peer.requests.length > 0)
    // Fetches pass no agent's addRequest().
    const fetched = Object.keys(keepwire.stats().origins).some((origin) => origin.includes(`:${peer.port}:`))
    assert.strictEqual(agents.size > 0 || fetched, usesKeepwire, 'carried by keepwire')
    // The agents of the runtime's own examples are out of reach.
    for (const connection of peer.open) connection.end('')
  })
}

test('the guide has examples', async () => {
  assert.ok(seen.size >= 8, [...seen.keys()].join(', '))
})
