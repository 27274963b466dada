'use strict'

// What users do with requests and responses, each with a server that answers it: played with two agents, or two request()
// functions, and written down, it tells whether they are alike.

const assert = require('node:assert')
const { Readable, Writable, pipeline } = require('node:stream')

const { get, read, request } = require('./client')
const { chunkedReply, reply } = require('./peer')
const { Recorder } = require('./recorder')
const { delay, once, turns, until } = require('./wait')

/** All of it is there at once, and the runtime reads it in two pieces. */
const LONG = 'x'.repeat(100_000)

/** Why nobody but Node compares what happens in the middle of it. */
const READS_AS_IT_LIKES = 'Bun reads more at once, Deno tells all that is here before anybody reacts'

const KEEP_ALIVE = { keepAlive: true }
const OK = (_, connection) => connection.write(reply('hello'))

/** The whole request is at the server, and the client knows. */
async function sent(request, peer) {
  if (!request.writableFinished) await once(request, 'finish')
  await until(() => peer.requests.length > 0)
}

/**
 * A scenario: `peer`: handlers of the server; `agent`: options; `options`: of the request; `drive(request, tools)`:
 * what the user does. The default user ends the request, and reads the response by 'data' and 'end'.
 */
const scenarios = {
  'a small GET': { peer: OK },
  'a small POST': { peer: OK, options: { method: 'POST' }, drive: (request) => request.end('body') },
  'a GET that nobody listens to': { peer: OK, ignoreResponse: true },
  'two requests, one after the other': { peer: OK, times: 2 },
  'two requests at once with maxSockets 1': { peer: OK, agent: { keepAlive: true, maxSockets: 1 }, atOnce: 2 },
  'an agent without keepAlive': { peer: OK, agent: {} },
  'an agent without keepAlive and two requests, maxSockets 1': { peer: OK, agent: { maxSockets: 1 }, atOnce: 2 },
  'an empty body': { peer: (_, connection) => connection.write(reply('')) },
  'a chunked body': { peer: (_, connection) => connection.write(chunkedReply(['a', 'bc', 'def'])) },
  'head and body in separate packets': {
    peer: async (_, connection) => {
      connection.write('HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n')
      await turns(3)
      connection.write('hello')
    },
  },
  'repeated and odd headers': {
    peer: (_, connection) =>
      connection.write(
        reply('x', [
          'Set-Cookie: a=1',
          'set-cookie: b=2',
          'X-Dup: 1',
          'x-dup: 2',
          'Content-Type: text/plain',
          'Content-Type: text/html',
          'Date: now',
          'X-Empty:',
          'X-Space:   padded   ',
          'X-Latin: caf\u00e9',
          'Cookie: a',
          'cookie: b',
          'Age: 1',
          'Age: 2',
        ]),
      ),
  },
  joinDuplicateHeaders: {
    options: { joinDuplicateHeaders: true },
    peer: (_, connection) => connection.write(reply('x', ['Age: 1', 'Age: 2', 'Authorization: a', 'authorization: b'])),
  },
  HEAD: {
    options: { method: 'HEAD' },
    peer: (_, connection) => connection.write('HTTP/1.1 200 OK\r\nContent-Length: 500\r\nX-A: b\r\n\r\n'),
  },
  'HEAD of a chunked resource': {
    options: { method: 'HEAD' },
    peer: (_, connection) => connection.write('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n'),
  },
  204: { peer: (_, connection) => connection.write('HTTP/1.1 204 No Content\r\n\r\n') },
  '304 with a length': {
    peer: (_, connection) => connection.write('HTTP/1.1 304 Not Modified\r\nContent-Length: 10\r\n\r\n'),
  },
  205: { peer: (_, connection) => connection.write('HTTP/1.1 205 Reset Content\r\nContent-Length: 0\r\n\r\n') },
  'a status without a reason phrase': {
    peer: (_, connection) => connection.write('HTTP/1.1 299 \r\nContent-Length: 0\r\n\r\n'),
  },
  'an odd reason phrase': {
    peer: (_, connection) => connection.write(reply('x', [], 'HTTP/1.1 418 I am   a Teapot! \u00e9')),
  },
  'Expect and 100 Continue': {
    options: { method: 'POST', headers: { Expect: '100-continue' } },
    peer: {
      onHead: (_, connection) => connection.write('HTTP/1.1 100 Continue\r\n\r\n'),
      onRequest: OK,
    },
    drive: (request) => request.on('continue', () => request.end('body')),
  },
  'Expect and a final answer at once': {
    options: { method: 'POST', headers: { Expect: '100-continue', 'Content-Length': 4 } },
    peer: { onHead: (_, connection) => connection.write(reply('no', [], 'HTTP/1.1 417 Expectation Failed')) },
    drive: (request) => request.flushHeaders(),
    afterResponse: (request) => request.end('body'),
  },
  'several informational responses': {
    peer: async (_, connection) => {
      connection.write('HTTP/1.1 102 Processing\r\nX-Step: 1\r\n\r\n')
      await turns(3)
      connection.write('HTTP/1.1 103 Early Hints\r\nLink: </a>\r\nlink: </b>\r\n\r\n')
      await turns(3)
      connection.write(reply('done'))
    },
  },
  'an informational response in the same packet as the final one': {
    peer: (_, connection) => connection.write('HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n' + reply('done')),
  },
  'trailers of the response': {
    peer: (_, connection) =>
      connection.write(chunkedReply(['abc'], ['Trailer: X-Sum'], ['X-Sum: 12', 'x-sum: 13', 'X-Other: y'])),
  },
  'trailers of the request': {
    options: { method: 'POST', headers: { Trailer: 'X-T' } },
    peer: OK,
    drive: (request) => {
      request.write('body')
      request.addTrailers({ 'X-T': 'v' })
      request.end()
    },
  },
  'Connection: close from the server': { peer: (_, connection) => connection.end(reply('bye', ['Connection: close'])) },
  'Connection: close from the server, which does not close': {
    peer: (_, connection) => connection.write(reply('bye', ['Connection: close'])),
  },
  'Connection: close from the client': { options: { headers: { Connection: 'close' } }, peer: OK },
  'HTTP/1.0 without keep-alive': { peer: (_, connection) => connection.end(reply('old', [], 'HTTP/1.0 200 OK')) },
  'HTTP/1.0 with keep-alive': {
    times: 2,
    peer: (_, connection) => connection.write(reply('old', ['Connection: keep-alive'], 'HTTP/1.0 200 OK')),
  },
  'a body delimited by the close of the connection': {
    peer: async (_, connection) => {
      connection.write('HTTP/1.1 200 OK\r\nX-A: b\r\n\r\nfirst ')
      await turns(3)
      connection.end('last')
    },
  },
  'a Keep-Alive hint': {
    times: 2,
    peer: (_, connection) => connection.write(reply('x', ['Keep-Alive: timeout=20, max=100'])),
  },
  'abort at once': { peer: {}, drive: (request) => request.destroy(), fails: true },
  'abort() at once, then end': { peer: {}, drive: (request) => (request.abort(), request.end()), fails: true },
  'destroy(error) at once': { peer: {}, drive: (request) => request.destroy(new Error('mine')), fails: true },
  'abort when the socket is there': {
    peer: {},
    drive: (request) => {
      request.end()
      request.on('socket', () => request.destroy())
    },
    fails: true,
  },
  'abort before the response': {
    peer: {},
    drive: async (request, { peer }) => {
      request.end()
      await sent(request, peer)
      request.destroy()
    },
    fails: true,
  },
  'abort() before the response': {
    peer: {},
    drive: async (request, { peer }) => {
      request.end()
      await sent(request, peer)
      request.abort()
    },
    fails: true,
  },
  'destroy(error) before the response': {
    peer: {},
    drive: async (request, { peer }) => {
      request.end()
      await sent(request, peer)
      request.destroy(Object.assign(new Error('mine'), { code: 'MINE' }))
    },
    fails: true,
  },
  'abort in the middle of an upload': {
    options: { method: 'POST' },
    peer: {},
    drive: async (request, { peer }) => {
      request.write('part')
      await until(() => peer.connections[0]?.bytes().includes('part'))
      await until(() => !request.socket.connecting)
      request.destroy()
    },
    fails: true,
  },
  'an AbortSignal before the response': {
    peer: {},
    controller: true,
    drive: async (request, { peer, controller }) => {
      request.end()
      await sent(request, peer)
      controller.abort()
    },
    fails: true,
  },
  'an AbortSignal that is aborted already': {
    peer: {},
    controller: true,
    before: ({ controller }) => controller.abort(),
    fails: true,
  },
  'an AbortSignal in the middle of a body': {
    peer: (_, connection) => connection.write('HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf '),
    controller: true,
    onData: (_, { controller }) => controller.abort(),
    fails: true,
  },
  'req.destroy() in the middle of a body': {
    peer: (_, connection) => connection.write('HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf '),
    onData: (request) => request.destroy(),
    fails: true,
  },
  'req.destroy(error) in the middle of a body': {
    peer: (_, connection) => connection.write('HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf '),
    onData: (request) => request.destroy(new Error('mine')),
    fails: true,
  },
  'req.abort() in the middle of a body': {
    peer: (_, connection) => connection.write('HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf '),
    onData: (request) => request.abort(),
    fails: true,
  },
  'res.destroy() in the middle of a body': {
    peer: (_, connection) => connection.write('HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf '),
    onData: (_, { response }) => response.destroy(),
    fails: true,
  },
  'res.destroy(error) in the middle of a body': {
    peer: (_, connection) => connection.write('HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf '),
    onData: (_, { response }) => response.destroy(new Error('mine')),
    fails: true,
  },
  "req.destroy() in 'response'": {
    peer: (_, connection) => connection.write('HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf '),
    afterResponse: (request) => request.destroy(),
    fails: true,
  },
  "req.destroy() in the first 'data' of more than is read at once": {
    peer: (_, connection) => connection.write(reply(LONG)),
    isLong: true,
    onData: (request) => request.destroy(),
    fails: true,
  },
  "res.destroy() in the first 'data' of more than is read at once": {
    peer: (_, connection) => connection.write(reply(LONG)),
    isLong: true,
    onData: (_, { response }) => response.destroy(),
    fails: true,
  },
  "req.destroy() in 'finish'": {
    options: { method: 'POST' },
    peer: {},
    drive: (request) => {
      request.on('finish', () => request.destroy())
      request.end('body')
    },
    fails: true,
  },
  'req.destroy() in the callback of end()': {
    options: { method: 'POST' },
    peer: {},
    drive: (request) => request.end('body', () => request.destroy()),
    fails: true,
  },
  'req.destroy(error) in the callback of write()': {
    options: { method: 'POST' },
    peer: {},
    drive: (request, { recorder }) => {
      request.write('some', () => {
        recorder.note('write callback')
        request.destroy(new Error('mine'))
      })
      request.end('more', () => recorder.note('end callback'))
    },
    fails: true,
  },
  "req.destroy() in 'end'": { peer: OK, onEnd: (request) => request.destroy() },
  'req.destroy() after everything': {
    peer: OK,
    afterwards: (request) => {
      request.destroy()
      request.abort()
    },
  },
  'res.destroy() after everything': { peer: OK, afterwards: (_, { response }) => response.destroy() },
  'the timeout option, before the response': {
    peer: {},
    options: { timeout: 250 },
    drive: (request) => {
      request.end()
      request.on('timeout', () => request.destroy(new Error('too slow')))
    },
    fails: true,
  },
  'setTimeout with a callback, before the response': {
    peer: {},
    drive: (request, { recorder }) => {
      request.setTimeout(250, () => {
        recorder.note('timeout callback')
        request.destroy()
      })
      request.end()
    },
    fails: true,
  },
  "the agent's timeout": {
    peer: {},
    // An idle connection has it, too: no busy machine may need that long to use it again.
    agent: { keepAlive: true, timeout: 250 },
    drive: (request) => {
      request.end()
      request.on('timeout', () => request.destroy())
    },
    fails: true,
  },
  'a timeout in the middle of a body': {
    peer: (_, connection) => connection.write('HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf '),
    options: { timeout: 400 },
    drive: (request) => {
      request.end()
      request.on('timeout', () => request.destroy())
    },
    fails: true,
  },
  'res.setTimeout in the middle of a body': {
    peer: (_, connection) => connection.write('HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf '),
    afterResponse: (request, { response, recorder }) =>
      response.setTimeout(60, () => {
        recorder.note('timeout callback')
        request.destroy()
      }),
    fails: true,
  },
  'a timeout that is switched off': {
    peer: async (_, connection) => {
      // Nothing happens for longer than the timeout: that is the event.
      await delay(300)
      connection.write(reply('late'))
    },
    // Until it is connected the socket has it all the same, as the runtime's: no busy machine may need that long.
    options: { timeout: 250 },
    drive: (request) => {
      request.setTimeout(0)
      request.end()
    },
  },
  'an early response while the request body is incomplete': {
    options: { method: 'POST' },
    peer: { onHead: (_, connection) => connection.write(reply('enough')) },
    drive: (request) => request.write('part'),
    onEnd: (request) => request.end('rest'),
  },
  'an early response, and the request never ends': {
    options: { method: 'POST' },
    peer: { onHead: (_, connection) => connection.write(reply('enough')) },
    drive: (request) => request.write('part'),
    onEnd: (request) => setImmediate(() => request.destroy()),
  },
  'the server closes in the middle of a body by length': {
    peer: (_, connection) => connection.end('HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf '),
    fails: true,
  },
  'the server closes in the middle of a chunked body': {
    peer: (_, connection) => connection.end('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n'),
    fails: true,
  },
  'the server closes without a response': {
    peer: (_, connection) => connection.end(),
    options: { method: 'POST' },
    fails: true,
  },
  'the server resets without a response': {
    peer: (_, connection) => connection.reset(),
    options: { method: 'POST' },
    fails: true,
  },
  'the server closes in the middle of a body that nobody listens to': {
    peer: (_, connection) => connection.end('HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf '),
    noErrorListenerOnResponse: true,
    fails: true,
  },
  'pause and resume': {
    peer: (_, connection) => connection.write(chunkedReply(['one', 'two', 'three'])),
    onData: async (_, { response }) => {
      response.pause()
      await turns(3)
      response.resume()
    },
  },
  setEncoding: {
    peer: async (_, connection) => {
      const euro = Buffer.from('\u20ac\u00e4')
      connection.write(`HTTP/1.1 200 OK\r\nContent-Length: ${euro.length}\r\n\r\n`)
      connection.socket.write(euro.subarray(0, 2))
      await turns(3)
      connection.socket.write(euro.subarray(2))
    },
    afterResponse: (_, { response }) => response.setEncoding('utf8'),
  },
  'for await': {
    peer: (_, connection) => connection.write(chunkedReply(['one', 'two'])),
    consume: async (response, recorder) => {
      for await (const chunk of response) recorder.data(chunk)
      recorder.note('loop done')
    },
  },
  'for await of a body that breaks': {
    peer: (_, connection) => connection.end('HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf '),
    consume: async (response, recorder) => {
      try {
        for await (const chunk of response) recorder.data(chunk)
      } catch (error) {
        recorder.note(`loop threw ${error.code} ${error.message}`)
      }
    },
    fails: true,
  },
  'for await that is left early': {
    peer: (_, connection) => connection.write('HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf '),
    consume: async (response, recorder) => {
      for await (const chunk of response) {
        recorder.data(chunk)
        break
      }
      recorder.note('loop left')
    },
    fails: true,
  },
  "reading by 'readable'": {
    peer: (_, connection) => connection.write(chunkedReply(['one', 'two'])),
    consume: (response, recorder) => {
      response.on('readable', () => {
        let chunk
        while ((chunk = response.read()) !== null) recorder.data(chunk)
      })
    },
  },
  'pipeline into a writable': {
    peer: (_, connection) => connection.write(chunkedReply(['one', 'two'])),
    consume: (response, recorder) => {
      const sink = new Writable({
        write(chunk, _, done) {
          recorder.data(chunk)
          done()
        },
      })
      pipeline(response, sink, (error) => recorder.note(`pipeline done ${error || ''}`))
    },
  },
  'pipeline into the request': {
    options: { method: 'POST' },
    peer: (request, connection) => connection.write(reply(request.body.toString('latin1'))),
    drive: (request, { recorder }) => {
      pipeline(Readable.from(['a', 'b', 'c']), request, (error) => recorder.note(`pipeline done ${error || ''}`))
    },
  },
  'write and end callbacks': {
    options: { method: 'POST' },
    peer: OK,
    drive: (request, { recorder }) => {
      request.write('a', () => recorder.note('write callback'))
      request.end('b', () => recorder.note('end callback'))
    },
  },
  'write after end': {
    options: { method: 'POST' },
    peer: OK,
    drive: (request) => {
      request.end('a')
      request.write('b')
    },
    fails: true,
  },
  'a refused connection': { port: 1, fails: true },
}

/** The request that opens the connection of a warm run. */
const WARM_UP = '/warm-up'

/** The scenario's server, which answers a warm-up as well. */
function answeringWarmUp(handlers = {}) {
  const { onHead, onRequest, ...others } = typeof handlers === 'function' ? { onRequest: handlers } : handlers
  return {
    ...others,
    onHead: (request, connection) => request.target !== WARM_UP && onHead?.(request, connection),
    onRequest: (request, connection) =>
      request.target === WARM_UP ? connection.write(reply('')) : onRequest?.(request, connection),
  }
}

/**
 * Runs the scenario with one agent, until its requests and its connections are over.
 * `send`: which request(); `isWarm`: on a connection that has served a request before, of `opener` if not of the agent.
 */
async function play(
  scope,
  agent,
  scenario,
  { recorder = new Recorder(), send = request, isWarm = false, opener = agent } = {},
) {
  const peer = await scope.peer(isWarm ? answeringWarmUp(scenario.peer) : scenario.peer || {})
  if (isWarm) {
    await read(get({ port: peer.port, path: WARM_UP, agent: opener }))
    await turns(3)
    peer.requests.length = 0
  }
  const rounds = scenario.atOnce ? 1 : scenario.times || 1
  for (let round = 0; round < rounds; round++) {
    if (round > 0) recorder.note(`-- round ${round}`)
    await Promise.all(Array.from({ length: scenario.atOnce || 1 }, () => one(agent, peer, scenario, recorder, send)))
  }
  await turns(3)
  recorder.note('-- agent.destroy()')
  recorder.socketLog.push('-- agent.destroy()')
  agent.destroy()
  opener.destroy()
  await peer.nobodyConnected(10_000)
  await turns(5)
  return recorder
}

async function one(agent, peer, scenario, recorder, send) {
  const controller = scenario.controller ? new AbortController() : null
  const tools = { peer, recorder, controller, response: null }
  if (scenario.before) scenario.before(tools)
  const request = send({
    host: '127.0.0.1',
    port: scenario.port || peer.port,
    ...scenario.options,
    agent,
    ...(controller && { signal: controller.signal }),
  })
  recorder.request(request)
  const over = new Promise((resolve) => request.on('close', resolve))
  if (!scenario.fails) request.on('error', (error) => recorder.failures.push(error))
  let responseOver = Promise.resolve()
  if (!scenario.ignoreResponse) {
    request.on('response', (response) => {
      tools.response = response
      recorder.response(response, request)
      responseOver = new Promise((resolve) => response.on('close', resolve))
      if (scenario.afterResponse) scenario.afterResponse(request, tools)
      if (scenario.consume) return void scenario.consume(response, recorder)
      let asked = false
      response.on('data', (chunk) => {
        // Of what is read at once, TLS has its own idea.
        if (!scenario.isLong) recorder.data(chunk)
        else if (!asked) recorder.note('data')
        if (scenario.onData && !asked) {
          asked = true
          scenario.onData(request, tools)
        }
      })
      if (scenario.onEnd) response.on('end', () => scenario.onEnd(request, tools))
    })
  }
  if (scenario.drive) await scenario.drive(request, tools)
  else request.end()
  await over
  await responseOver
  await turns(3)
  if (scenario.afterwards) scenario.afterwards(request, tools)
  await turns(3)
  assert.deepStrictEqual(recorder.failures, [])
}

module.exports = { KEEP_ALIVE, play, READS_AS_IT_LIKES, scenarios, sent }
