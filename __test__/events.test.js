'use strict'

// What JavaScript sees is what it sees with the runtime's own agent: the same events in the same order, with the same
// fields at each of them. Each scenario runs once with each agent and the two logs are compared.

const assert = require('node:assert')

const keepwire = require('..')
const { request } = require('./support/client')
const { baseline, isBun, isDeno, isNode } = require('./support/runtime')
const { KEEP_ALIVE, play, READS_AS_IT_LIKES, scenarios } = require('./support/scenarios')
const { test } = require('./support/suite')

/**
 * Lines that may stand elsewhere in our log than in the runtime's (never be missing), each with its reason.
 * `scenario`: where; `log`: 'log' or 'socketLog'; `line`: which lines.
 */
const movable = [
  {
    // The end of the upload and the response may come in one batch: 'finish' and 'response' are then told in the same
    // tick, and what 'finish' defers to the next tick comes after both.
    scenario: /^pipeline into the request$/,
    log: 'log',
    line: /^pipeline done/,
  },
]

/**
 * Lines of the socket's log that neither log has to have, each with its reason. `on`: the runtime; `scenario`: where.
 */
const fleeting = [
  // Bun's own sockets emit 'end' when their user destroys them, which Node's, Deno's and ours do not.
  { on: isBun, scenario: /^/, line: 'end' },
  // Deno's emit it if the server's FIN has come with the last bytes, ours where it is the end of the body.
  { on: isDeno, scenario: /^(Connection: close from the server|HTTP\/1.0 without keep-alive)$/, line: 'end' },
].filter(({ on }) => on)

for (const [name, scenario] of Object.entries(scenarios)) {
  const skip = !isNode && scenario.isLong && READS_AS_IT_LIKES
  test(`the events are the runtime's own: ${name}`, { skip }, async (scope) => {
    const expected = await play(scope, scope.runtimeAgent(scenario.agent || KEEP_ALIVE), scenario)
    const actual = await play(scope, scope.agent(scenario.agent || KEEP_ALIVE), scenario)
    assert.ok(expected.log.length > 1)
    for (const log of ['log', 'socketLog']) {
      assert.deepStrictEqual(compared(name, log, actual), compared(name, log, expected), `${log} of '${name}'`)
    }
  })
}

const ANSWER = 'HTTP/1.1 200 OK\r\n\r\n'

/** @returns {Promise<string[]>} the order in which a HEAD request, its response and their socket end */
function closesOf(agent, send, port) {
  return new Promise((resolve) => {
    const seen = []
    const note = (line) => () => seen.push(line)
    const req = send({ host: '127.0.0.1', port, method: 'HEAD', agent })
    req.on('error', ({ code }) => seen.push(`req error ${code}`)).on('close', note('req close'))
    req.on('response', (res) => {
      res.on('end', note('res end')).on('close', note('res close'))
      // What listens to a socket is told by it last.
      res.socket.once('close', () => setImmediate(resolve, seen))
      res.resume()
    })
    req.end()
  })
}

for (const [name, surplus] of Object.entries({ 'a body': 'hello', 'a response': ANSWER })) {
  const skip = !isNode && 'what the other runtimes make of such responses differs'
  test(`${name} behind a response to HEAD without a length: all closes in the runtime's order`, {
    skip,
  }, async (scope) => {
    const peer = await scope.peer((_, connection) => connection.write(`${ANSWER}${surplus}`))
    const expected = await closesOf(scope.runtimeAgent(KEEP_ALIVE), request, peer.port)
    assert.deepStrictEqual(expected.slice(-3), ['res end', 'res close', 'req close'])
    for (const send of [request, keepwire.http.request]) {
      assert.deepStrictEqual(await closesOf(scope.agent(KEEP_ALIVE), send, peer.port), expected)
    }
  })
}

test('the recorder tells a difference', {
  skip: !baseline && 'proves the comparison itself, on the baseline',
}, async (scope) => {
  const one = await play(scope, scope.agent(KEEP_ALIVE), scenarios['a small GET'])
  const two = await play(scope, scope.agent({}), scenarios['a small GET'])
  assert.notDeepStrictEqual(one.log, two.log)
})

/** The log of a run, with its movable lines apart. */
function compared(scenario, log, recorder) {
  const entries = movable.filter((entry) => entry.log === log && entry.scenario.test(scenario))
  const moves = (line) => entries.some((entry) => entry.line.test(line))
  const passes = (line) => fleeting.some((entry) => entry.line === line && entry.scenario.test(scenario))
  const lines = log === 'socketLog' ? recorder[log].filter((line) => !passes(line)) : recorder[log]
  return { inOrder: lines.filter((line) => !moves(line)), anywhere: lines.filter(moves).sort() }
}
