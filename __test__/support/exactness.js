'use strict'

// The exactness workloads, shared by the suite's short runs and the long command. Each returns the number of
// connections that the server accepted for it, and throws when a body is wrong.

const { send } = require('./client')

const HELLO = 'hello world'

const sequentialShapes = [
  { name: 'bodies by length', path: '/length' },
  { name: 'chunked bodies', path: '/chunked' },
  { name: 'head and body in separate packets', path: '/split' },
  { name: 'every chunk in a packet of its own', path: '/split-chunked' },
  { name: 'empty bodies', path: '/empty', expected: '' },
  { name: '204 responses', path: '/none', expected: '' },
  { name: 'HEAD', path: '/head', method: 'HEAD', expected: '' },
  { name: 'POST with a body', path: '/echo', method: 'POST', sent: HELLO },
].map((shape) => ({ name: shape.name, run: (makeAgent, remote, n) => sequentialRun(shape, makeAgent, remote, n) }))

async function counted(remote, makeAgent, options, work) {
  const before = (await remote.counts()).accepted
  const agent = makeAgent(options)
  try {
    await work(agent)
    return (await remote.counts()).accepted - before
  } finally {
    agent.destroy()
  }
}

function sequentialRun(shape, makeAgent, remote, n) {
  const { path, method = 'GET', expected = HELLO, sent } = shape
  return counted(remote, makeAgent, { keepAlive: true }, async (agent) => {
    for (let i = 0; i < n; i++) {
      const { body } = await send({ port: remote.port, path, method, agent }, sent)
      if (body !== expected) throw new Error(`request ${i}: the body is ${JSON.stringify(body)}`)
    }
  })
}

/** `width` workers, each sending its next request when its last one ended, until `requests` are made. */
function closedLoop(makeAgent, remote, { width, maxSockets, requests }) {
  const paths = ['/length', '/chunked', '/split', '/split-chunked']
  return counted(remote, makeAgent, { keepAlive: true, maxSockets }, async (agent) => {
    let next = 0
    const worker = async () => {
      while (next < requests) {
        const i = next++
        const { body } = await send({ port: remote.port, path: paths[i % paths.length], agent })
        if (body !== HELLO) throw new Error(`request ${i}: the body is ${JSON.stringify(body)}`)
      }
    }
    await Promise.all(Array.from({ length: width }, worker))
  })
}

module.exports = { closedLoop, sequentialShapes }
