'use strict'

// Our own request() tells what the runtime's tells: the same events in the same order, and the same fields whenever
// somebody looks. Each scenario runs on a connection that is open already, once with the runtime's request() and agent,
// once with ours; everything is looked at once, at each stage of a request's life in turn.

const assert = require('node:assert')
const http = require('node:http')

const keepwire = require('../..')
const { sentOnce } = require('../support/client')
const { LeanRecorder } = require('../support/lean-recorder')
const { KEEP_ALIVE, play, scenarios } = require('../support/scenarios')
const { test } = require('../support/suite')

const STAGES = ['', 'sent', 'response', 'data', 'end', 'close']

/** Whether an end has come with the bytes before it is the network's business. */
const isNetworks = (name, stage) =>
  stage === 'data' && /^(a body delimited by the close|head and body in separate packets|setEncoding)/.test(name)

for (const [name, scenario] of Object.entries(scenarios)) {
  for (const stage of STAGES.filter((stage) => !isNetworks(name, stage))) {
    const when = stage === '' ? '' : `, looked at ${stage === 'sent' ? 'once sent' : `when '${stage}' comes`}`
    test(`our request is like the runtime's: ${name}${when}`, async (scope) => {
      const agentOptions = scenario.agent || KEEP_ALIVE
      const expected = await play(scope, scope.runtimeAgent(agentOptions), scenario, {
        recorder: new LeanRecorder(stage),
        isWarm: true,
        send: (options) => sentOnce(http.request(options)),
      })
      const actual = await play(scope, scope.agent(agentOptions), scenario, {
        recorder: new LeanRecorder(stage),
        isWarm: true,
        send: keepwire.http.request,
      })
      assert.ok(expected.log.length > 1)
      assert.deepStrictEqual(actual.log, expected.log)
    })
  }
}
