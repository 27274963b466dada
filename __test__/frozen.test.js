'use strict'

// A process that is stopped for longer than its deadlines (SIGSTOP, a paused container), while the answers arrive: they
// are read before a deadline is told.

const assert = require('node:assert')
const { spawn } = require('node:child_process')
const net = require('node:net')
const path = require('node:path')

const { reply } = require('./support/peer')
const { commandFor, isDeno } = require('./support/runtime')
const { test: testOne, testBoth: test } = require('./support/suite')
const { delay, until, withMoreTime } = require('./support/wait')

/** The later ones are for machines on which the process is not ready before the first ones have passed. */
const DEADLINES_MS = [500, 2_000, 8_000]
/** Of each kind: which of timer and socket is looked at first, once the process goes on, differs from one to the next. */
const REQUESTS = 8
const SCRIPT = path.join(__dirname, 'support', 'scripts', 'frozen.js')

const NOT_HERE =
  (process.platform === 'win32' && 'there is no SIGSTOP') ||
  (isDeno && 'the stopped process does not end; why is not known')
const OURS = { ours: 'has no such deadlines', skip: NOT_HERE, timeout: 90_000 }

/**
 * Stops a process with requests when it is ready, until long after its deadlines.
 * @returns {Promise<Record<string, string>>} what each path's request came to
 */
async function freeze(scope, deadlineMs, { port, sockets, paths, isReady, meanwhile }) {
  const { file, args } = commandFor(SCRIPT, [scope.scheme, String(port), String(deadlineMs), sockets, ...paths])
  const child = spawn(file, args, { stdio: ['ignore', 'pipe', 'inherit'] })
  const ended = new Promise((resolve) => child.once('close', resolve))
  let text = ''
  child.stdout.on('data', (chunk) => (text += chunk))
  let isDone = false
  try {
    await until(() => isReady(text), 'all have come that the server waits for', 4 * deadlineMs)
    child.kill('SIGSTOP')
    meanwhile()
    await delay(1.5 * deadlineMs)
    isDone = true
  } finally {
    // One that was not ready waits for answers that nobody gives.
    child.kill(isDone ? 'SIGCONT' : 'SIGKILL')
    await ended
  }
  const lines = text
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line))
    .filter(({ path }) => path !== undefined)
  return Object.fromEntries(lines.map(({ path, body, code }) => [path, body ?? code]))
}

const isBody = (path) => /^\/(fetch-)?body/.test(path)

/** As many paths of each kind as there are requests. */
const pathsOf = (...kinds) => Array.from({ length: REQUESTS }, (_, at) => kinds.map((kind) => `/${kind}${at}`)).flat()

const served = (paths) => Object.fromEntries(paths.map((path) => [path, 'hello']))

/** @param {(scope: any, deadlineMs: number) => Promise<void>} body */
const overTime = (body) => (scope) => withMoreTime((ms) => body(scope, ms), DEADLINES_MS)

const WAYS = { engine: 'the engine', runtime: "the runtime's sockets" }

for (const [sockets, name] of Object.entries(WAYS)) {
  test(
    `answers that came while the process was stopped are read before a deadline is told: ${name}`,
    OURS,
    overTime(async (scope, deadlineMs) => {
      const waiting = {}
      const peer = await scope.peer((request, connection) => {
        waiting[request.target] = connection
        if (isBody(request.target)) connection.write('HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n')
      })
      // Only the engine's sockets carry fetches over an agent.
      const paths = name === WAYS.engine ? pathsOf('head', 'body', 'fetch', 'fetch-body') : pathsOf('head', 'body')
      const bodies = paths.filter(isBody).length
      const outcomes = await freeze(scope, deadlineMs, {
        port: peer.port,
        sockets,
        paths,
        isReady: (text) => paths.every((path) => waiting[path]) && text.split('hasHead').length > bodies,
        meanwhile: () => {
          for (const path of paths) waiting[path].write(isBody(path) ? 'hello' : reply('hello'))
        },
      })
      assert.deepStrictEqual(outcomes, served(paths))
    }),
  )

  test(
    `a connection that became free while the process was stopped is a waiting request's before queueTimeout is told: ${name}`,
    OURS,
    overTime(async (scope, deadlineMs) => {
      const before = {}
      const peer = await scope.peer(({ target }, connection) => {
        if (target.startsWith('/before')) before[target] = connection
        else connection.write(reply('hello'))
      })
      const paths = pathsOf('queue')
      const outcomes = await freeze(scope, deadlineMs, {
        port: peer.port,
        sockets,
        paths,
        isReady: () => paths.every((path) => before[`/before${path}`]),
        meanwhile: () => {
          for (const connection of Object.values(before)) connection.write(reply('hello'))
        },
      })
      assert.deepStrictEqual(outcomes, served([...Object.keys(before), ...paths]))
    }),
  )

  testOne(
    `https: a handshake's answer that came then is read before connectTimeout is told: ${name}`,
    {
      ...OURS,
      scheme: 'https',
    },
    overTime(async (scope, deadlineMs) => {
      const peer = await scope.peer((_request, connection) => connection.write(reply('hello')))
      let goOn
      // Holds the client's greeting back.
      const gate = net.createServer((socket) => {
        socket.on('error', () => {})
        socket.once('data', (bytes) => {
          socket.pause()
          goOn = () => {
            const onward = net.connect(peer.port, '127.0.0.1')
            onward.on('error', () => {}).on('close', () => socket.destroy())
            socket.on('close', () => onward.destroy())
            onward.write(bytes)
            onward.pipe(socket).pipe(onward)
          }
        })
      })
      await new Promise((resolve) => gate.listen(0, '127.0.0.1', resolve))
      scope.defer(() => new Promise((resolve) => gate.close(resolve)))
      const { port } = /** @type {net.AddressInfo} */ (gate.address())
      const isReady = () => goOn !== undefined
      const outcomes = await freeze(scope, deadlineMs, {
        port,
        sockets,
        paths: ['/connect'],
        isReady,
        meanwhile: () => goOn(),
      })
      assert.strictEqual(outcomes['/connect'], 'hello')
    }),
  )
}
