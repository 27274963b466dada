'use strict'

// Our own request() tells what the runtime's tells: the same events in the same order, and the same fields whenever
// somebody looks. Each scenario runs on a connection that is open already, once with the runtime's request() and agent,
// once with ours, over http and over https; everything is looked at once, at each stage of a request's life in turn.
// Agents that share have theirs at one stage each, on a connection of their own and on one that another agent opened.

const assert = require('node:assert')

const keepwire = require('../..')
const { request, sentOnce } = require('../support/client')
const { FastRecorder } = require('../support/fast-recorder')
const { isDeno, isNode } = require('../support/runtime')
const { KEEP_ALIVE, play, READS_AS_IT_LIKES, scenarios: usual, sent } = require('../support/scenarios')
const { reply } = require('../support/peer')
const { test } = require('../support/suite')

/** More than counts as sent as soon as it is written. */
const LARGE = Buffer.alloc(600 * 1024, 'k')

const scenarios = {
  ...usual,
  'a large body': {
    options: { method: 'POST' },
    peer: (_, connection) => connection.write(reply('hello')),
    drive: (request) => request.end(LARGE),
  },
  'a large body, and abort before the response': {
    options: { method: 'POST' },
    peer: {},
    drive: async (request, { peer }) => {
      request.end(LARGE)
      await sent(request, peer)
      request.destroy()
    },
    fails: true,
  },
}

/** In the short matrix, each scenario is played without a look, and looked at in one of its stages; these take turns. */
const isQuick = process.env.KEEPWIRE_TEST_QUICK === '1'

const STAGES = ['', 'sent', 'response', 'data', 'end', 'close']

const isEarly = (name) => /^(Expect and a final answer at once|an early response while the request body)/.test(name)

/** What is seen at these moments is the network's business, or that of the tick in which a socket reports its end. */
const isChance = (scheme, name, stage) =>
  (stage === 'data' && /^(a body delimited by the close|head and body in separate packets|setEncoding)/.test(name)) ||
  (stage === 'sent' &&
    /^(abort when the socket is there|a large body|req.destroy.* in ('finish'|the callback))/.test(name)) ||
  (scheme === 'https' && isEarly(name) && stage === 'end') ||
  (scheme === 'https' && (isDeno || isEarly(name)) && stage === 'close')

/** What Deno's own requests over TLS do in another way than those over TCP; ours do not. */
const DENO_OVER_TLS = {
  'the server resets without a response': "it says 'socket hang up' of a reset",
  'for await of a body that breaks': 'it drops what it has received',
}

/**
 * A request's log as it is compared. With TLS the runtime has sent a request some ticks later, when the record is out: that
 * it says so comes later as well. Deno's sockets close later, too. On a lent connection, what is not fast is sent when the
 * engine has told of the connection.
 */
function comparable(scheme, name, whose, log) {
  if (scheme === 'http' && whose !== LENT) return log
  const closesLater = scheme === 'https' && (isDeno || isEarly(name))
  const moves = (line) =>
    /^(write|end) callback$/.test(line) ||
    (whose === LENT && line.startsWith('pipeline done')) ||
    (closesLater && line.startsWith('req close '))
  const lines = log.map((line) => (line.startsWith('look ') ? line.replace(' writableFinished', '') : line))
  return { inOrder: lines.filter((line) => !moves(line)), anywhere: lines.filter(moves).sort() }
}

/** Whose connection it is. */
const OWN = ''
const SHARED = ' over an agent that shares'
const LENT = ' over a connection of another agent'

for (const [at, [name, scenario]] of Object.entries(scenarios).entries()) {
  for (const scheme of ['http', 'https']) {
    const stages = STAGES.filter((stage) => !isChance(scheme, name, stage))
    for (const [number, stage] of stages.entries()) {
      if (!isQuick || stage === '' || number === (at + 1) % stages.length) compare(scheme, name, scenario, stage, OWN)
    }
    compare(scheme, name, scenario, stages[at % stages.length], scheme === 'http' && at % 2 === 0 ? SHARED : LENT)
  }
}

function compare(scheme, name, scenario, stage, whose) {
  const when = stage === '' ? '' : `, looked at ${stage === 'sent' ? 'once sent' : `when '${stage}' comes`}`
  const byName = isDeno && scheme === 'https' && DENO_OVER_TLS[name]
  const skip = scenario.isLong ? !isNode && READS_AS_IT_LIKES : byName
  test(`our ${scheme} request${whose} is like the runtime's: ${name}${when}`, { scheme, skip }, async (scope) => {
    const agentOptions = scenario.agent || KEEP_ALIVE
    const expected = await play(scope, scope.runtimeAgent(agentOptions), scenario, {
      recorder: new FastRecorder(stage),
      isWarm: true,
      send: (options) => sentOnce(request(options)),
    })
    const ourOptions = whose === OWN ? agentOptions : { ...agentOptions, shared: true }
    const actual = await play(scope, scope.agent(ourOptions), scenario, {
      recorder: new FastRecorder(stage),
      isWarm: true,
      opener: whose === LENT ? scope.agent(ourOptions) : undefined,
      send: keepwire[scheme].request,
    })
    assert.ok(expected.log.length > 1)
    const [told, wanted] = [actual, expected].map(({ log }) => comparable(scheme, name, whose, log))
    assert.deepStrictEqual(told, wanted)
  })
}
