'use strict'

// A process that is stopped for longer than its deadlines (SIGSTOP, a paused container), while the answers arrive: they
// are read before a deadline is told.

const assert = require('node:assert')
const { spawn } = require('node:child_process')
const path = require('node:path')

const { reply } = require('./support/peer')
const { commandFor, isDeno } = require('./support/runtime')
const { testBoth: test } = require('./support/suite')
const { delay, until } = require('./support/wait')

const DEADLINE_MS = 2_000
const SCRIPT = path.join(__dirname, 'support', 'scripts', 'frozen.js')

const NOT_HERE =
  (process.platform === 'win32' && 'there is no SIGSTOP') ||
  (isDeno && 'the stopped process does not end; why is not known')
const OURS = { ours: 'has no such deadlines', skip: NOT_HERE }

test('answers that came while the process was stopped are read before a deadline is told', OURS, async (scope) => {
  const waiting = {}
  const peer = await scope.peer((request, connection) => {
    waiting[request.target] = connection
    if (request.target === '/body') connection.write('HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n')
  })
  const { file, args } = commandFor(SCRIPT, [scope.scheme, String(peer.port), String(DEADLINE_MS)])
  const child = spawn(file, args, { stdio: ['ignore', 'pipe', 'inherit'] })
  const ended = new Promise((resolve) => child.once('close', resolve))
  let text = ''
  child.stdout.on('data', (chunk) => (text += chunk))
  try {
    await until(() => waiting['/head'] && text.includes('hasHead'))
    child.kill('SIGSTOP')
    waiting['/head'].write(reply('hello'))
    waiting['/body'].write('hello')
    await delay(1.5 * DEADLINE_MS)
  } finally {
    child.kill('SIGCONT')
  }
  await ended
  const lines = text
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line))
  const outcomes = Object.fromEntries(lines.map(({ path, body, code }) => [path, body ?? code]))
  assert.deepStrictEqual([outcomes['/head'], outcomes['/body']], ['hello', 'hello'])
})
