'use strict'

// Whether the thread that asks carries its requests itself, and what the I/O thread has to do meanwhile.

const { readdirSync, readFileSync } = require('node:fs')

const native = require('../../lib/bridge/native')
const { hasEventLoop, looksItself } = require('../../lib/runtime/probes')

/** Of tests: where nobody does that there is nothing to see. */
const IN_LOOP = {
  skip: !hasEventLoop && !looksItself && 'the I/O thread carries all here',
  ours: 'has no other thread',
}

/** What the system says of the I/O thread. */
function ioThread() {
  for (const task of readdirSync('/proc/self/task')) {
    const status = readFileSync(`/proc/self/task/${task}/status`, 'utf8')
    if (/^Name:\s*keepwire-io$/m.test(status)) {
      return { status, schedstat: readFileSync(`/proc/self/task/${task}/schedstat`, 'utf8') }
    }
  }
  throw new Error('there is no I/O thread')
}

/** How often it has gone to sleep. */
const rests = () => Number(/^voluntary_ctxt_switches:\s*(\d+)/m.exec(ioThread().status)?.[1])

/** How long it has run, in ms. */
const ran = () => Number(ioThread().schedstat.split(' ')[0]) / 1e6

/** How often it does while `work` is done. */
async function restsDuring(work) {
  const before = rests()
  await work()
  return rests() - before
}

/** Who looks waits for fast servers only, which none is on a busy machine. */
function lookForLonger(scope) {
  const { look } = native
  native.look = (port) => look(port, 50_000)
  scope.defer(() => {
    native.look = look
  })
}

module.exports = { IN_LOOP, lookForLonger, ran, restsDuring }
