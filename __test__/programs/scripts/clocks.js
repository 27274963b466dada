'use strict'

// `clocks.js <clock> <first|last>`: every way of using keepwire while a test has faked the clock.

const http = require('node:http')

const { requireProgram } = require('./program')
const { startServer, useAll } = require('./use')

const [clock, order] = process.argv.slice(2)

/** All that a test may fake beside the runtime's own code. */
const CLOCKS = {
  sinon() {
    const toFake = ['setTimeout', 'clearTimeout', 'setInterval', 'clearInterval', 'setImmediate', 'clearImmediate']
    requireProgram('sinon').useFakeTimers({ toFake: [...toFake, 'Date', 'performance', 'queueMicrotask', 'hrtime'] })
  },
  'node:test'() {
    const { mock } = require('node:test')
    mock.timers.enable({ apis: ['setTimeout', 'setInterval', 'setImmediate', 'Date'] })
  },
  'by hand'() {
    const never = () => ({ ref() {}, unref() {} })
    Object.assign(globalThis, { setTimeout: never, setImmediate: never, queueMicrotask: never })
    Object.assign(require('node:timers'), { setTimeout: never, setImmediate: never })
    // Node 18's can't be assigned.
    Object.defineProperty(performance, 'now', { value: () => 0, configurable: true, writable: true })
    Date.now = () => 0
  },
}

async function main() {
  // Bun's child processes wait for clocks that were faked before.
  const { port } = await startServer()
  if (order === 'first') CLOCKS[clock]()
  const keepwire = require('../../..')
  if (order === 'last') CLOCKS[clock]()
  const told = await useAll(keepwire, http, port, new keepwire.Agent({ keepAlive: true }))
  console.log(JSON.stringify({ told }))
  process.exit()
}

main()
