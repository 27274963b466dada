'use strict'

// The situations in which keep-alive agents fail: each row is a permanent test of ours.

const { reply } = require('../../support/peer')
const { delay, turns } = require('../../support/wait')
const { OK, outcome } = require('./contenders')

const failures = (outcomes) => {
  const failed = outcomes.filter((one) => one !== 'ok').length
  return failed === 0 ? 'all succeed' : `${failed} of ${outcomes.length} fail`
}

function block(ms) {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms)
}

/** A request dropped unanswered on a connection that has served one before. */
function dropped(method) {
  return ({ make, withPeer }) => {
    let read = 0
    const handler = (request, connection) => {
      if (request.target === '/drop') read++
      if (request.target === '/drop' && (method === 'POST' || read === 1)) connection.end()
      else OK(request, connection)
    }
    return withPeer(handler, async ({ port }) => {
      const client = make({ maxSockets: 1 })
      await client.send({ port }).answer
      await turns(3)
      const result = await outcome(client.send({ port, path: '/drop', method }).answer)
      await client.destroy()
      return method === 'GET' ? result : `${result}, sent ${read === 1 ? 'once' : `${read} times`}`
    })
  }
}

/** How long a connection is kept whose server announced two seconds. */
function hint(header) {
  return ({ make, withPeer }) =>
    withPeer(
      (_, connection) => connection.write(reply('ok', [`Keep-Alive: ${header}`, 'Connection: keep-alive'])),
      async (peer) => {
        const client = make({ maxSockets: 1 })
        await client.send({ port: peer.port }).answer
        await delay(2_050)
        const result = peer.alive === 0 ? 'gone before the hint' : 'kept past the hint'
        await client.destroy()
        return result
      },
    )
}

function blocked(method) {
  return ({ make, withRemote }) =>
    withRemote(async ({ port }) => {
      const outcomes = []
      for (let i = 0; i < 5; i++) {
        const client = make({ maxSockets: 1 })
        await client.send({ port, path: '/fin-after?50' }).answer
        await turns(3)
        block(300)
        outcomes.push(
          await outcome(client.send({ port, path: method === 'POST' ? '/echo' : '/length', method }).answer),
        )
        await client.destroy()
      }
      return failures(outcomes)
    })
}

/** @type {[string, (place: import('./contenders').Place) => Promise<string>][]} */
const situations = [
  [
    'FIN after each reply; 100 GETs in turn',
    ({ make, withRemote }) =>
      withRemote(async ({ port }) => {
        const client = make({})
        const outcomes = []
        for (let i = 0; i < 100; i++) outcomes.push(await outcome(client.send({ port, path: '/fin' }).answer))
        await client.destroy()
        return failures(outcomes)
      }),
  ],
  [
    'the same, 50 queued on one socket',
    ({ make, withRemote }) =>
      withRemote(async ({ port }) => {
        const client = make({ maxSockets: 1 })
        const sent = Array.from({ length: 50 }, () => outcome(client.send({ port, path: '/fin' }).answer))
        const outcomes = await Promise.all(sent)
        await client.destroy()
        return failures(outcomes)
      }),
  ],
  ['script blocked while the server closes; GET', blocked('GET')],
  ['script blocked while the server closes; POST', blocked('POST')],
  ['POST dropped on a reused connection', dropped('POST')],
  ['GET dropped on a reused connection', dropped('GET')],
  ['Keep-Alive: timeout=2', hint('timeout=2')],
  ['Keep-Alive: max=100, timeout=2', hint('max=100, timeout=2')],
  [
    'a queued request is aborted',
    ({ make, withPeer }) =>
      withPeer(
        () => {},
        async ({ port }) => {
          const client = make({ maxSockets: 1 })
          const first = client.send({ port })
          first.answer.catch(() => {})
          const second = client.send({ port })
          await delay(20)
          second.abort()
          const settled = await Promise.race([outcome(second.answer), delay(500).then(() => 'later')])
          await client.destroy()
          return settled === 'later' ? 'settles when a slot frees' : 'settles at once'
        },
      ),
  ],
  [
    'timeout: 200 while queued',
    ({ make, name, withPeer }) =>
      withPeer(
        () => {},
        async ({ port }) => {
          if (name === 'undici') return 'no such option'
          const client = make({ maxSockets: 1 })
          client.send({ port }).answer.catch(() => {})
          const second = client.send({ port, timeout: 200 })
          second.answer.catch(() => {})
          const fired = await Promise.race([second.timedOut.then(() => true), delay(1_000).then(() => false)])
          await client.destroy()
          return fired ? 'fires' : 'never fires'
        },
      ),
  ],
  [
    'destroy() with a queue',
    ({ make, withPeer }) =>
      withPeer(
        () => {},
        async (peer) => {
          const client = make({ maxSockets: 1 })
          const first = client.send({ port: peer.port })
          const second = client.send({ port: peer.port })
          first.answer.catch(() => {})
          const result = outcome(second.answer)
          await delay(50)
          await client.destroy()
          await delay(300)
          const opened = peer.accepted > 1 ? ', a new socket opens' : ''
          return `${(await Promise.race([result, delay(500).then(() => 'hangs')])) === 'hangs' ? 'hangs' : 'fails'}${opened}`
        },
      ),
  ],
  [
    'maxTotalSockets 1, idle to A, request to B',
    ({ make, name, withPeer }) =>
      withPeer(OK, (one) =>
        withPeer(OK, async (two) => {
          if (name === 'undici') return 'no such option'
          const client = make({ maxTotalSockets: 1 })
          await client.send({ port: one.port }).answer
          const result = await outcome(client.send({ port: two.port }).answer)
          await client.destroy()
          return result === 'ok' ? 'served' : result
        }),
      ),
  ],
  [
    'lifo: the newest free socket was destroyed',
    ({ make, name, withPeer }) =>
      withPeer(OK, async ({ port }) => {
        if (name === 'undici') return 'does not show sockets'
        const client = make({ scheduling: 'lifo' })
        await Promise.all([client.send({ port }).answer, client.send({ port }).answer])
        await turns(3)
        Object.values(client.agent.freeSockets)[0]?.at(-1).destroy()
        const result = await outcome(client.send({ port }).answer)
        await client.destroy()
        return result === 'ok' ? 'skipped' : `handed out: ${result}`
      }),
  ],
  [
    'unsolicited bytes on an idle connection',
    ({ make, withPeer }) =>
      withPeer(
        (request, connection) => connection.write(request.target === '/' ? reply('ok') : reply('own')),
        async (peer) => {
          const client = make({ maxSockets: 1 })
          await client.send({ port: peer.port }).answer
          await turns(3)
          peer.connections[0].write(reply('poison'))
          const sent = client.send({ port: peer.port, path: '/own' })
          const body = await Promise.race([sent.answer.catch((error) => error.code ?? error.name), delay(2_000)])
          await client.destroy()
          return body === 'own' ? 'dropped' : `the next response is ${body}`
        },
      ),
  ],
]

module.exports = { situations }
