'use strict'

// keepwire/dashboard as programs see it: who may look, what is answered, and that nothing is sampled without a viewer.

const assert = require('node:assert')
const http = require('node:http')
const path = require('node:path')
const { Worker } = require('node:worker_threads')

const { runScript } = require('../support/child')
const { send } = require('../support/client')
const { ask, opened, Viewer } = require('../support/dashboard')
const { reply } = require('../support/peer')
const { baseline } = require('../support/runtime')
const { test } = require('../support/suite')
const { until } = require('../support/wait')

const { dashboard } = baseline ? {} : require('../../lib/dashboard')
const { Agent, totals } = baseline ? {} : require('../..')
if (!baseline) require('../../lib/dashboard/sampler').pace.everyMs = 100

const OURS = { ours: 'shows nothing' }
const OK = (_, connection) => connection.write(reply('ok'))
const TOKEN = 'a token that is long enough'

function watching(scope, board, options) {
  const viewer = new Viewer(board.url, options)
  scope.defer(() => viewer.leave())
  return viewer
}

const sampling = async (board) => JSON.parse((await ask(board.url, { path: 'healthz' })).text)

test('dashboard: what it shows is what totals() says, to the number', OURS, async (scope) => {
  const peer = await scope.peer(OK)
  const agent = scope.agent({ keepAlive: true, maxSockets: 3 })
  const board = await opened(scope)
  const origin = `http://127.0.0.1:${peer.port}`
  await Promise.all(Array.from({ length: 20 }, () => send({ port: peer.port, agent, path: '/secret?query=1' })))
  const viewer = watching(scope, board, { origin })
  await until(() => viewer.counter(origin, 'created') !== undefined)
  const told = totals()[origin]
  for (const field of ['created', 'reused', 'idle', 'leased', 'queued', 'limit', 'sentBytes', 'receivedBytes']) {
    assert.strictEqual(viewer.counter(origin, field), told[field], field)
  }
  assert.strictEqual(viewer.counter(origin, '2xx'), told.durationMs.GET['2xx'].count)
  for (const [time, histogram] of [
    ['wait', told.waitMs],
    ['firstByte', told.firstByteMs],
    ['connect', told.connectMs],
  ]) {
    for (const part of ['count', 'max', 'p50', 'p99']) {
      assert.strictEqual(viewer.counter(origin, `${time}.${part}`), histogram[part], `${time}.${part}`)
    }
  }
  assert.strictEqual(viewer.last.detail.connections.length, told.created)
  assert.ok(viewer.last.detail.connections.every((one) => one.origin === origin && one.remotePort === peer.port))
  const { text } = await ask(board.url, { path: `stats.json?origin=${encodeURIComponent(origin)}` })
  assert.deepStrictEqual(JSON.parse(text).origins, JSON.parse(JSON.stringify({ [origin]: totals()[origin] })))
  assert.ok(!JSON.stringify(viewer.samples).includes('secret') && !text.includes('secret'), 'no path and no query')
})

test('dashboard: nothing is sampled without a viewer, and nothing after the last one has left', OURS, async (scope) => {
  const board = await opened(scope)
  assert.deepStrictEqual(await sampling(board), { status: 'ok', sampling: false, viewers: 0 })
  const [one, other] = [watching(scope, board), watching(scope, board)]
  await until(() => one.last !== undefined && other.last !== undefined)
  assert.deepStrictEqual(await sampling(board), { status: 'ok', sampling: true, viewers: 2 })
  one.leave()
  other.leave()
  const deadline = Date.now() + 10_000
  while ((await sampling(board)).viewers > 0) assert.ok(Date.now() < deadline, 'viewers that left are forgotten')
  assert.deepStrictEqual(await sampling(board), { status: 'ok', sampling: false, viewers: 0 })
})

test('dashboard: wrong hosts, writes and what is not there are refused', OURS, async (scope) => {
  const board = await opened(scope)
  const status = async (options) => (await ask(board.url, options)).status
  for (const host of ['localhost', `localhost:${board.port}`, '127.0.0.1:80', '[::1]:9230']) {
    assert.strictEqual(await status({ headers: { host } }), 200, host)
  }
  for (const host of [
    'evil.example',
    'localhost.evil.example:9230',
    '127.0.0.1.evil.example',
    'localhost:1@evil.example',
  ]) {
    assert.notStrictEqual(await status({ headers: { host } }), 200, host)
    assert.notStrictEqual(await status({ headers: { host }, path: 'stats.json' }), 200, host)
  }
  // An address is nobody's name, but it is not this machine's either.
  assert.strictEqual(await status({ headers: { host: '10.0.0.1:9230' } }), 403)
  for (const method of ['POST', 'PUT', 'DELETE', 'PATCH', 'OPTIONS']) {
    for (const path of ['', 'stats.json', 'events', 'metrics']) assert.strictEqual(await status({ method, path }), 405)
  }
  for (const name of ['x-forwarded-for', 'x-forwarded-proto', 'cf-connecting-ip', 'via']) {
    assert.strictEqual(await status({ headers: { [name]: '203.0.113.5' } }), 403, name)
  }
  for (const [site, mode, expected] of [
    ['cross-site', 'no-cors', 403],
    ['same-site', 'cors', 403],
    ['same-origin', 'cors', 200],
    ['cross-site', 'navigate', 200],
  ]) {
    const headers = { 'sec-fetch-site': site, 'sec-fetch-mode': mode }
    assert.strictEqual(await status({ headers, path: 'stats.json' }), expected, `${site} ${mode}`)
  }
  for (const path of ['nothing', '__proto__', 'constructor', '..%2findex.js', '%2e%2e/package.json', 'toString']) {
    assert.strictEqual(await status({ path }), 404, path)
  }
  const { headers } = await ask(board.url)
  assert.match(headers['content-security-policy'], /default-src 'none'; script-src 'self'; style-src 'self'/)
  assert.ok(!/unsafe|\*|http:|data:/.test(headers['content-security-policy']))
  assert.strictEqual(headers['access-control-allow-origin'], undefined)
})

test('dashboard: other addresses need a token, which may come in three ways', OURS, async (scope) => {
  for (const host of ['0.0.0.0', '::', '192.0.2.1', 'example.com']) {
    await assert.rejects(dashboard({ port: 0, host }), { message: /'token' must be given/ }, host)
  }
  await assert.rejects(dashboard({ port: 0, token: 'short' }), (error) => {
    return /'token' must have at least 16 characters/.test(error.message) && !error.message.includes('short')
  })
  const board = await opened(scope, { host: '0.0.0.0', token: TOKEN, hosts: ['board.example'] })
  const url = `http://127.0.0.1:${board.port}/`
  for (const path of ['', 'stats.json', 'events', 'metrics', 'healthz', 'app.mjs']) {
    assert.strictEqual((await ask(url, { path })).status, 401, path)
    assert.strictEqual((await ask(url, { path: `${path}?token=${TOKEN}.` })).status, 401, path)
  }
  const bearer = { authorization: `Bearer ${TOKEN}` }
  assert.strictEqual((await ask(url, { headers: bearer, path: 'metrics' })).status, 200)
  assert.strictEqual((await ask(url, { headers: { ...bearer, host: 'board.example' } })).status, 200)
  assert.strictEqual((await ask(url, { headers: { ...bearer, host: 'evil.example' } })).status, 421)
  const given = await ask(url, { path: `?token=${encodeURIComponent(TOKEN)}` })
  assert.strictEqual(given.status, 303)
  assert.strictEqual(given.headers.location, './')
  const [cookie] = given.headers['set-cookie']
  assert.match(cookie, /; HttpOnly; SameSite=Strict; Path=\/$/)
  assert.strictEqual((await ask(url, { headers: { cookie: cookie.split(';')[0] } })).status, 200)
})

test("dashboard: a program's own server has it where it likes", OURS, async (scope) => {
  const handler = dashboard.handler()
  const server = http.createServer((request, response) => {
    // As Express does it: the handler sees what comes after the place that it was put in.
    request.originalUrl = request.url
    request.url = request.url.replace(/^\/keepwire/, '') || '/'
    handler(request, response, () => response.end("the program's own"))
  })
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve))
  scope.defer(() => new Promise((resolve) => server.close(resolve)))
  const url = `http://127.0.0.1:${server.address().port}/`
  const bare = await ask(url, { path: 'keepwire' })
  assert.deepStrictEqual([bare.status, bare.headers.location], [303, 'keepwire/'])
  assert.match((await ask(url, { path: 'keepwire/' })).text, /<title>keepwire/)
  assert.strictEqual(
    (await ask(url, { path: 'keepwire/style.css' })).headers['content-type'],
    'text/css; charset=utf-8',
  )
  assert.strictEqual((await ask(url, { path: 'keepwire/else' })).text, "the program's own")
})

test('dashboard: events say why no connection was reused, and what became of each', OURS, async (scope) => {
  const peer = await scope.peer(OK)
  const board = await opened(scope)
  const viewer = watching(scope, board)
  await until(() => viewer.last !== undefined)
  const agent = scope.agent({ keepAlive: true, maxSockets: 1 })
  const origin = `http://127.0.0.1:${peer.port}`
  await Promise.all([send({ port: peer.port, agent }), send({ port: peer.port, agent })])
  agent.destroy()
  const kinds = () =>
    viewer.events.filter((event) => event.origin === origin).map(({ kind, text }) => `${kind}: ${text}`)
  await until(() => kinds().length >= 3)
  assert.match(kinds()[0], /^queued: a request waits$|^opened/)
  assert.ok(
    kinds().some((text) => /^opened: not reused: there was none to that origin/.test(text)),
    kinds().join('\n'),
  )
  assert.ok(
    kinds().some((text) => /^closed: its agent is gone · it had served 2 requests/.test(text)),
    kinds().join('\n'),
  )
  const { headers, text } = await ask(board.url, { path: 'events.ndjson' })
  assert.match(headers['content-disposition'], /attachment/)
  assert.ok(
    text
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line))
      .some((event) => event.origin === origin),
  )
})

test('dashboard: what other threads do is seen, each thing once', OURS, async (scope) => {
  const peer = await scope.peer(OK)
  const board = await opened(scope)
  const viewer = watching(scope, board)
  await until(() => viewer.last !== undefined)
  const origin = `http://127.0.0.1:${peer.port}`
  const worker = new Worker(path.join(__dirname, '../support/scripts/request-once.js'), {
    workerData: { port: peer.port },
  })
  scope.defer(() => worker.terminate())
  const opened1 = () => viewer.events.filter((event) => event.origin === origin && event.kind === 'opened')
  await until(() => opened1().length > 0)
  assert.strictEqual(viewer.counter(origin, 'created'), 1)
  assert.deepStrictEqual(
    opened1().map(({ text }) => text),
    ['1 connection opened'],
  )
})

test('dashboard: its health names who fails and why, and who waits for whom', OURS, async (scope) => {
  const board = await opened(scope)
  const viewer = watching(scope, board)
  await until(() => viewer.last !== undefined)
  const closed = await scope.peer(OK)
  const { port } = closed
  await closed.close()
  const agent = scope.agent({ keepAlive: true, maxSockets: 1 })
  await send({ port, agent }).catch(() => {})
  const bad = () => viewer.samples.find(({ health }) => health.level === 'bad')
  await until(bad)
  assert.match(
    bad().health.text,
    new RegExp(
      `^1 of 1 request to http://127.0.0.1:${port} failed in the last \\d+ s with ECONNREFUSED: nobody listens there`,
    ),
  )
  const slow = await scope.peer(() => {})
  const aborted = [1, 2].map(() => http.get({ port: slow.port, host: '127.0.0.1', agent }).on('error', () => {}))
  scope.defer(() => aborted.map((request) => request.destroy()))
  const waits = () => viewer.samples.find(({ health }) => health.text.includes('waits for a connection'))
  await until(waits)
  assert.strictEqual(waits().health.level, 'warning')
  assert.match(waits().health.text, /all 1 connections that the limits allow are in use/)
})

test('dashboard: a program whose agents are thrown away is told so', OURS, async (scope) => {
  const peer = await scope.peer(OK)
  const board = await opened(scope)
  for (let at = 0; at < 12; at += 1) {
    const agent = new Agent({ keepAlive: true, warnings: false })
    await send({ port: peer.port, agent })
    agent.destroy()
  }
  const viewer = watching(scope, board)
  const advice = () => viewer.advice.find(({ origin }) => origin === `http://127.0.0.1:${peer.port}`)
  await until(() => advice()?.what.startsWith('12 of 12 '))
  assert.strictEqual(advice().id, 'agent-per-request')
  assert.match(advice().what, /^12 of 12 connections were closed because their agent was thrown away/)
})

test(
  'dashboard: keepwire/register starts one where the environment asks for it, and it keeps no process alive',
  OURS,
  async () => {
    const { code, lines, stderr } = await runScript('dashboard-from-environment', [], {
      env: { KEEPWIRE_DASHBOARD: '0' },
    })
    assert.match(stderr, /keepwire: dashboard of process \d+ on http:\/\/127\.0\.0\.1:\d+\//)
    assert.deepStrictEqual(lines, [{ status: 200 }])
    assert.strictEqual(code, 0)
  },
)
