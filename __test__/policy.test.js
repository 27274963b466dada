'use strict'

// What each host is spared: limits of an agent's by `policy`, pauses that Retry-After asks for, and circuits by `breaker`.

const assert = require('node:assert')
const { once } = require('node:events')

const { failure, parallel, read, request, send } = require('./support/client')
const { reply } = require('./support/peer')
const { baseline } = require('./support/runtime')
const { test, testBoth } = require('./support/suite')
const { repeatedly, turns, until } = require('./support/wait')

const { explain, fetch, http: ownHttp } = baseline ? {} : require('..')
const { memory } = baseline ? {} : require('../lib/exchange/gate')

const OURS = { ours: 'has no policies' }
const KEEP_ALIVE = { keepAlive: true, warnings: false }
const OPEN = 'ERR_KEEPWIRE_CIRCUIT_OPEN'
const OK = (_, connection) => connection.write(reply('ok'))

/** Every name is this machine's. */
function lookup(_host, options, callback) {
  setImmediate(() =>
    options.all ? callback(null, [{ address: '127.0.0.1', family: 4 }]) : callback(null, '127.0.0.1', 4),
  )
}

/** A server that answers when it is let, and counts how many it has at a time. */
async function holding(scope) {
  const held = []
  const arrived = []
  let most = 0
  const peer = await scope.peer((message, connection) => {
    held.push(() => connection.write(reply(message.target)))
    arrived.push(message.target)
    most = Math.max(most, held.length)
  })
  return { peer, held, arrived, most: () => most, answer: () => held.shift()() }
}

testBoth(
  'no more requests to a host are under way than its policy says, and they are served in order',
  OURS,
  async (scope) => {
    const { peer, held, arrived, most, answer } = await holding(scope)
    const asked = []
    const policy = (host) => {
      asked.push(host)
      return { concurrency: 2 }
    }
    const agent = scope.agent({ ...KEEP_ALIVE, policy })
    const requests = Array.from({ length: 6 }, (_, index) => {
      const sent = send({ port: peer.port, agent, path: `/${index}` })
      return sent.then(({ request: req }) => explain(req))
    })
    await until(() => held.length === 2)
    assert.strictEqual(agent.requests[Object.keys(agent.requests)[0]].length, 4)
    const { hosts, origins } = agent.stats()
    assert.deepStrictEqual(hosts, { '127.0.0.1': { active: 2, waiting: 4, pausedMs: 0, circuit: 'closed' } })
    assert.strictEqual(Object.values(origins)[0].queued, 4)
    for (let at = 0; at < 6; at += 1) {
      // Two connections: who arrives first over which of them is the kernel's affair, but for those that follow an answer.
      await until(() => held.length === Math.min(2, 6 - at))
      answer()
    }
    const told = await Promise.all(requests)
    assert.deepStrictEqual([asked, most(), peer.accepted], [['127.0.0.1'], 2, 2])
    assert.deepStrictEqual([...arrived.slice(0, 2).sort(), ...arrived.slice(2)], ['/0', '/1', '/2', '/3', '/4', '/5'])
    assert.ok(told[5].policyMs > 0 && told[5].queuedMs >= told[5].policyMs, JSON.stringify(told[5]))
    assert.deepStrictEqual([told[5].reused, told[0].policyMs], [true, 0])
    await until(() => agent.stats().hosts['127.0.0.1'].active === 0)
  },
)

testBoth('what waits for its turn can be aborted, times out, and counts for maxPending', OURS, async (scope) => {
  const { peer, held, answer } = await holding(scope)
  const agent = scope.agent({ ...KEEP_ALIVE, maxPending: 3, policy: () => ({ concurrency: 1 }) })
  const options = { port: peer.port, agent }
  const first = send(options)
  await until(() => held.length === 1)
  const aborted = request(options)
  const reason = failure(read(aborted))
  const slow = request({ ...options, timeout: 1 })
  const late = once(slow, 'timeout')
  const served = read(slow)
  const last = send(options)
  assert.deepStrictEqual(explain(aborted), {
    carriedBy: 'keepwire',
    state: 'queued',
    reused: false,
    waitsFor: 'policy',
  })
  assert.strictEqual((await failure(send(options))).code, 'ERR_KEEPWIRE_QUEUE_FULL')
  aborted.destroy(new Error('enough'))
  assert.strictEqual((await reason).message, 'enough')
  await late
  slow.end()
  assert.strictEqual(Object.values(agent.stats().origins)[0].queued, 2)
  answer()
  await first
  await until(() => held.length === 1)
  answer()
  await served
  await until(() => held.length === 1)
  answer()
  assert.strictEqual((await last).reused, true)
  assert.strictEqual(peer.accepted, 1)
})

test('a request waits for its turn as long as queueTimeout lets it', OURS, async (scope) => {
  const { peer, held, answer } = await holding(scope)
  const agent = scope.agent({ ...KEEP_ALIVE, queueTimeout: 5, policy: () => ({ concurrency: 1 }) })
  const first = send({ port: peer.port, agent })
  const error = await failure(send({ port: peer.port, agent }))
  assert.deepStrictEqual(
    [error.code, error.message.replace(/:\d+:/, '')],
    ['ERR_KEEPWIRE_QUEUE_TIMEOUT', 'The policy for 127.0.0.1 let it not begin within queueTimeout, 5 ms'],
  )
  await until(() => held.length === 1)
  answer()
  await first
  assert.strictEqual(Object.values(agent.stats().origins)[0].errors.ERR_KEEPWIRE_QUEUE_TIMEOUT, 1)
})

test('an agent that is destroyed fails what waits, and one that closes waits for it', OURS, async (scope) => {
  const { peer, held, answer } = await holding(scope)
  const agent = scope.agent({ ...KEEP_ALIVE, policy: () => ({ concurrency: 1 }) })
  const all = [1, 2, 3].map(() => failure(send({ port: peer.port, agent })))
  await until(() => held.length === 1)
  agent.destroy()
  assert.deepStrictEqual(
    (await Promise.all(all)).map(({ code }) => code),
    ['ECONNRESET', 'ECONNRESET', 'ECONNRESET'],
  )
  held.length = 0
  const again = [1, 2].map(() => send({ port: peer.port, agent }))
  const closed = agent.close()
  for (let at = 0; at < 2; at += 1) {
    await until(() => held.length === 1)
    answer()
  }
  await Promise.all(again)
  await closed
})

test('every way of sending a request goes by the same policy', OURS, async (scope) => {
  const { peer, held, most, answer } = await holding(scope)
  const agent = scope.agent({ ...KEEP_ALIVE, policy: () => ({ concurrency: 1 }) })
  const options = { port: peer.port, agent }
  const own = ownHttp.request({ host: '127.0.0.1', ...options })
  const all = [
    send(options),
    read(own),
    fetch(`http://127.0.0.1:${peer.port}/`, { agent }).then((response) => response.text()),
    send({ ...options, insecureHTTPParser: true }),
    send({ ...options, insecureHTTPParser: true }),
  ]
  own.end()
  for (let at = 0; at < all.length; at += 1) {
    await until(() => held.length > 0)
    await turns(10)
    assert.strictEqual(held.length, 1)
    answer()
  }
  await Promise.all(all)
  assert.strictEqual(most(), 1)
  await until(() => agent.stats().hosts['127.0.0.1'].active === 0)
})

test(
  'requests to a host begin no faster than its rate, but for a burst, and other hosts are not concerned',
  OURS,
  async (scope) => {
    const begun = {}
    const peer = await scope.peer(({ target }, connection) => {
      begun[target] ??= []
      begun[target].push(performance.now())
      connection.write(reply('ok'))
    })
    const rps = 100
    const policy = (host) => (host === 'free.test' ? undefined : { rps, burst: host === 'burst.test' ? 10 : 1 })
    const agent = scope.agent({ ...KEEP_ALIVE, lookup, policy })
    const to = (host, count) => parallel(count, () => ({ host, path: `/${host}`, port: peer.port, agent }))
    const began = performance.now()
    await Promise.all([to('one.test', 20), to('two.test', 20), to('burst.test', 20), to('free.test', 20)])
    const took = (host) => begun[`/${host}`][19] - began
    for (const host of ['one.test', 'two.test'])
      assert.ok(took(host) > (0.95 * 19 * 1000) / rps, `${host} ${took(host)}`)
    assert.ok(took('burst.test') > (0.95 * 10 * 1000) / rps, `${took('burst.test')}`)
    assert.ok(begun['/burst.test'].filter((at) => at < begun['/one.test'][9]).length >= 10)
    assert.ok(took('free.test') < took('one.test'))
  },
)

for (const [form, field] of [
  ['seconds', 'retry-after: 1'],
  ['a date', `date: ${new Date(0).toUTCString()}\r\nretry-after: ${new Date(1000).toUTCString()}`],
]) {
  for (const status of ['429 Too Many Requests', '503 Service Unavailable']) {
    test(
      `a host that answers ${status.slice(0, 3)} is left alone for as long as Retry-After says: ${form}`,
      OURS,
      async (scope) => {
        const at = []
        const peer = await scope.peer((_, connection) => {
          at.push(performance.now())
          if (at.length > 1) OK(_, connection)
          else connection.write(`HTTP/1.1 ${status}\r\n${field}\r\ncontent-length: 0\r\n\r\n`)
        })
        // A second takes long in a test: what is obeyed at most is less.
        const agent = scope.agent({ ...KEEP_ALIVE, policy: () => ({ retryAfter: 100 }) })
        const options = { port: peer.port, agent }
        await send(options)
        const { pausedMs } = agent.stats().hosts['127.0.0.1']
        assert.ok(pausedMs > 0 && pausedMs <= 100, String(pausedMs))
        const { request: sent } = await send(options)
        assert.ok(at[1] - at[0] > 95, String(at[1] - at[0]))
        assert.ok(explain(sent).policyMs > 0)
      },
    )
  }
}

test('a policy may not care what Retry-After says, and what is no time says nothing', OURS, async (scope) => {
  let field = 'retry-after: 3600'
  const peer = await scope.peer((_, connection) => {
    connection.write(`HTTP/1.1 503 No\r\n${field}\r\ncontent-length: 0\r\n\r\n`)
  })
  const port = peer.port
  const careless = scope.agent({ ...KEEP_ALIVE, policy: () => ({ retryAfter: false }) })
  for (let i = 0; i < 3; i++) await send({ port, agent: careless })
  const careful = scope.agent({ ...KEEP_ALIVE, policy: () => ({}) })
  for (field of [
    'x-nothing: 1',
    'retry-after: soon',
    'retry-after: -1',
    'retry-after: 1.5',
    'retry-after: 2030-01-01',
  ]) {
    await send({ port, agent: careful })
    assert.strictEqual(careful.stats().hosts['127.0.0.1'].pausedMs, 0, field)
  }
  field = 'retry-after: 3600'
  await send({ port, agent: careful })
  assert.ok(careful.stats().hosts['127.0.0.1'].pausedMs > 290_000, 'five minutes at most')
})

/** A server whose port is closed when it is not open. */
async function failing(scope) {
  let isGood = false
  const peer = await scope.peer((_, connection) => {
    if (isGood) OK(_, connection)
    else connection.socket.destroy()
  })
  return { peer, setGood: (good) => (isGood = good) }
}

testBoth('a circuit opens after failures in a row, and closes when a probe succeeds', OURS, async (scope) => {
  const { peer, setGood } = await failing(scope)
  const breaker = { failures: 3, cooldown: 100 }
  const agent = scope.agent({ ...KEEP_ALIVE, breaker })
  const options = { port: peer.port, agent, method: 'POST' }
  const circuit = () => agent.stats().hosts['127.0.0.1'].circuit
  const codes = []
  for (let i = 0; i < 5; i++) codes.push((await failure(send(options))).code)
  assert.deepStrictEqual(codes, ['ECONNRESET', 'ECONNRESET', 'ECONNRESET', OPEN, OPEN])
  assert.strictEqual(circuit(), 'open')
  const { message, host } = await failure(send(options))
  assert.strictEqual(message.replace(/\d+ ms/, 'N ms'), 'Requests to 127.0.0.1 have failed, it is tried again in N ms')
  assert.strictEqual(host, '127.0.0.1')
  const url = `${scope.scheme}://127.0.0.1:${peer.port}/`
  assert.strictEqual((await failure(fetch(url, { agent }))).cause.code, OPEN)
  // The probe fails: it is open again.
  await until(() => circuit() === 'half-open')
  assert.strictEqual((await failure(send(options))).code, 'ECONNRESET')
  assert.strictEqual((await failure(send(options))).code, OPEN)
  // One probe at a time.
  await until(() => circuit() === 'half-open')
  setGood(true)
  const [probe, ...others] = await Promise.allSettled([1, 2, 3].map(() => send(options)))
  assert.strictEqual(probe.value?.body, 'ok')
  assert.deepStrictEqual(
    others.map(({ reason }) => reason?.code),
    [OPEN, OPEN],
  )
  assert.strictEqual(circuit(), 'closed')
  await parallel(3, () => options)
  assert.ok(Object.values(agent.stats().origins)[0].errors[OPEN] >= 4)
})

testBoth('a probe that is never answered keeps no circuit from being closed', OURS, async (scope) => {
  let how = 'fail'
  const peer = await scope.peer((_, connection) => {
    if (how === 'fail') connection.write(reply('', [], 'HTTP/1.1 500 Oh'))
    else if (how === 'answer') connection.write(reply('ok'))
  })
  const agent = scope.agent({ ...KEEP_ALIVE, breaker: { failures: 1, cooldown: 10 } })
  const options = { port: peer.port, agent }
  const circuit = () => agent.stats().hosts['127.0.0.1'].circuit
  await send(options)
  await until(() => circuit() === 'half-open')
  how = 'never'
  const probes = [request(options), request(options)]
  for (const probe of probes) probe.end()
  // The second one is none: the first has its time.
  assert.strictEqual((await once(probes[1], 'error'))[0].code, OPEN)
  await until(() => peer.requests.length === 2)
  how = 'answer'
  const isAnswered = async () => (await Promise.allSettled([send(options)]))[0].status === 'fulfilled'
  while (!(await isAnswered())) await turns()
  assert.strictEqual(circuit(), 'closed')
  const [[{ code }]] = await Promise.all([once(probes[0], 'error'), probes[0].destroy()])
  assert.strictEqual(code, 'ECONNRESET')
  assert.strictEqual(circuit(), 'closed')
})

testBoth('a circuit that opens lets none of those begin that wait for a failed one', OURS, async (scope) => {
  const breaker = { failures: 2, cooldown: 60_000 }
  // A machine may be too busy to tell of both failures in one turn.
  await repeatedly(async () => {
    const held = []
    const peer = await scope.peer((_, connection) => {
      held.push(connection)
      if (held.length > 2) return connection.reset()
      if (held.length < 2) return
      for (const each of held) each.reset()
      const end = performance.now() + 20
      while (performance.now() < end);
    })
    const agent = scope.agent({ ...KEEP_ALIVE, policy: () => ({ concurrency: 2 }), breaker })
    const codes = await Promise.all(
      Array.from({ length: 6 }, async () => (await failure(send({ port: peer.port, agent, method: 'POST' }))).code),
    )
    assert.deepStrictEqual(codes, ['ECONNRESET', 'ECONNRESET', OPEN, OPEN, OPEN, OPEN])
    assert.strictEqual(peer.requests.length, 2)
  }, 5)
})

test('a rate next to nothing is a rate', OURS, async (scope) => {
  const peer = await scope.peer(OK)
  const agent = scope.agent({ ...KEEP_ALIVE, policy: () => ({ rps: Number.MIN_VALUE }), queueTimeout: 20 })
  const options = { port: peer.port, agent }
  await send(options)
  assert.strictEqual((await failure(send(options))).code, 'ERR_KEEPWIRE_QUEUE_TIMEOUT')
})

test('who waits when a circuit opens fails with it', OURS, async (scope) => {
  const { peer } = await holding(scope)
  const breaker = { failures: 1, cooldown: 60_000 }
  for (const options of [{ maxSockets: 2 }, { policy: () => ({ concurrency: 2 }) }]) {
    const agent = scope.agent({ ...KEEP_ALIVE, ...options, headersTimeout: 50, breaker })
    const codes = await Promise.all(
      Array.from({ length: 12 }, async () => (await failure(send({ port: peer.port, agent }))).code),
    )
    const late = codes.lastIndexOf('ERR_KEEPWIRE_HEADERS_TIMEOUT')
    // Whose turn had come before anybody heard of the failure goes on.
    assert.ok(late >= 1 && late <= 3, String(codes))
    assert.deepStrictEqual(codes.slice(late + 1), Array(11 - late).fill(OPEN))
  }
})

test('what counts as a failure: no answer, or one of 500 and more; not what the user gives up', OURS, async (scope) => {
  let status = 500
  const peer = await scope.peer(({ target }, connection) => {
    if (target !== '/silent') connection.write(`HTTP/1.1 ${status} So\r\ncontent-length: 0\r\n\r\n`)
  })
  const options = (agent) => ({ port: peer.port, agent })
  const opens = async (act) => {
    const agent = scope.agent({ ...KEEP_ALIVE, breaker: { failures: 2, cooldown: 60_000 } })
    for (let i = 0; i < 2; i++) await act(options(agent)).catch(() => {})
    await turns(2)
    return agent.stats().hosts['127.0.0.1'].circuit === 'open'
  }
  assert.strictEqual(await opens(send), true, 'a server error')
  for (status of [404, 429]) assert.strictEqual(await opens(send), false, String(status))
  const foreign = { insecureHTTPParser: true }
  assert.strictEqual(await opens((given) => send({ ...given, ...foreign, port: 1 })), true, 'refused, by the runtime')
  assert.strictEqual(await opens((given) => send({ ...given, port: 1 })), true, 'refused')
  for (const more of [{}, foreign]) {
    const abort = async (given) => {
      const req = request({ ...given, ...more, path: '/silent' })
      const failed = failure(read(req))
      req.end()
      await once(req, 'socket')
      req.destroy()
      await failed
    }
    assert.strictEqual(await opens(abort), false, 'an abort')
    const timeout = async (given) => {
      const req = request({ ...given, ...more, path: '/silent', timeout: 20 })
      req.on('timeout', () => req.destroy())
      const failed = failure(read(req))
      req.end()
      await failed
    }
    assert.strictEqual(await opens(timeout), true, 'a timeout')
  }
  const timed = ({ agent, port }) =>
    fetch(`http://127.0.0.1:${port}/silent`, { agent, signal: AbortSignal.timeout(20) })
  assert.strictEqual(await opens(timed), true, "a fetch's timeout")
})

/** A server that has been, at whose port nobody listens. */
async function closed(scope) {
  const peer = await scope.peer(OK)
  const { port } = peer
  await peer.close()
  return { port }
}

test('hosts that have failed, without end, are not remembered without end', OURS, async (scope) => {
  const { failuresMs } = memory
  memory.failuresMs = 1
  scope.defer(() => (memory.failuresMs = failuresMs))
  const { port } = await closed(scope)
  for (const breaker of [
    { failures: 5, cooldown: 1 },
    { failures: 1, cooldown: 1 },
  ]) {
    const agent = scope.agent({ ...KEEP_ALIVE, breaker, lookup })
    let most = 0
    for (let host = 0; host < 2000; ) {
      const round = Array.from({ length: 100 }, () => failure(send({ host: `host${host++}.test`, port, agent })))
      await Promise.all(round)
      most = Math.max(most, Object.keys(agent.stats().hosts).length)
    }
    assert.ok(most < 1500, `${most} of 2000`)
  }
})

test('what makes no sense is refused, of a policy when it says it', OURS, async (scope) => {
  for (const policy of [null, 5, {}, true])
    assert.throws(() => scope.agent({ policy }), { code: 'ERR_INVALID_ARG_TYPE' })
  for (const breaker of [5, 'yes', { failures: '5' }]) {
    assert.throws(() => scope.agent({ breaker }), { code: 'ERR_INVALID_ARG_TYPE' })
  }
  assert.throws(() => scope.agent({ breaker: { cooldownMs: 5 } }), { code: 'ERR_INVALID_ARG_VALUE' })
  for (const breaker of [{ failures: 0 }, { cooldown: -1 }, { cooldown: Number.NaN }]) {
    assert.throws(() => scope.agent({ breaker }), { code: 'ERR_OUT_OF_RANGE' })
  }
  const { port } = await closed(scope)
  const asks = async (said) => {
    const agent = scope.agent({ ...KEEP_ALIVE, policy: () => said })
    const own = (await failure((async () => send({ port, agent }))())).code
    const failed = await failure(fetch(`http://127.0.0.1:${port}/`, { agent }))
    return [own, failed.code ?? failed.cause.code]
  }
  const twice = (code) => [code, code]
  assert.deepStrictEqual(await asks(7), twice('ERR_INVALID_ARG_TYPE'))
  assert.deepStrictEqual(await asks({ rps: '5' }), twice('ERR_INVALID_ARG_TYPE'))
  assert.deepStrictEqual(await asks({ rateLimit: 5 }), twice('ERR_INVALID_ARG_VALUE'))
  for (const said of [{ rps: 0 }, { concurrency: 0.5 }, { burst: 0 }, { retryAfter: -1 }]) {
    assert.deepStrictEqual(await asks(said), twice('ERR_OUT_OF_RANGE'), JSON.stringify(said))
  }
  assert.deepStrictEqual(await asks(Promise.resolve({ rps: 5 })), twice('ERR_INVALID_ARG_TYPE'))
  assert.deepStrictEqual(await asks(Promise.reject(new Error('later'))), twice('ERR_INVALID_ARG_TYPE'))
  assert.deepStrictEqual(await asks(null), twice('ECONNREFUSED'))
})
