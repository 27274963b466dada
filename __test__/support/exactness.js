'use strict'

// The exactness workloads, shared by the suite's short runs and the long command. Each returns the number of
// connections that the server accepted for it, and throws when a body is wrong.

const { inLanes, random, send } = require('./client')
const { startNginx } = require('./nginx')

const HELLO = 'hello world'

/** What is asked for, and what comes if it is not HELLO. */
const shapes = [
  { name: 'bodies by length', path: '/length' },
  { name: 'chunked bodies', path: '/chunked' },
  { name: 'head and body in separate packets', path: '/split' },
  { name: 'every chunk in a packet of its own', path: '/split-chunked' },
  { name: 'empty bodies', path: '/empty', expected: '' },
  { name: '204 responses', path: '/none', expected: '' },
  { name: 'HEAD', path: '/head', method: 'HEAD', expected: '' },
  { name: 'POST with a body', path: '/echo', method: 'POST', sent: HELLO },
]

const sequentialShapes = shapes.map((shape) => ({
  name: shape.name,
  run: (makeAgent, remote, n) => sequentialRun(shape, makeAgent, remote, n),
}))

const LOOP_PATHS = ['/length', '/chunked', '/split', '/split-chunked']

/** What a closed loop asks for. @param {number} i its request */
const loopPath = (i) => LOOP_PATHS[i % LOOP_PATHS.length]

function checkBody(i, body, expected = HELLO) {
  if (body !== expected) throw new Error(`request ${i}: the body is ${JSON.stringify(body)}`)
}

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
  const { path, method = 'GET', expected, sent } = shape
  return counted(remote, makeAgent, { keepAlive: true }, async (agent) => {
    for (let i = 0; i < n; i++) {
      const { body } = await send({ port: remote.port, path, method, agent }, sent)
      checkBody(i, body, expected)
    }
  })
}

/** `width` workers, each sending its next request when its last one ended, until `requests` are made. */
function closedLoop(makeAgent, remote, { width, maxSockets, requests }) {
  return counted(remote, makeAgent, { keepAlive: true, maxSockets }, (agent) =>
    inLanes(width, requests, async (i) => {
      const { body } = await send({ port: remote.port, path: loopPath(i), agent })
      checkBody(i, body)
    }),
  )
}

/**
 * An nginx that announces the end of each connection after so many requests, as it does by default after 1,000.
 *
 * @param {{ defer: (cleanUp: () => unknown) => void }} scope it ends with
 * @param {number} requests
 * @param {import('./listener').Identity} [identity] with one it speaks TLS
 */
function startAnnouncing(scope, requests, identity) {
  const files = identity ? { 'server.pem': identity.pem, 'server.key': identity.key } : {}
  const secure = identity ? 'ssl_certificate server.pem; ssl_certificate_key server.key;' : ''
  return startNginx(
    scope,
    files,
    (port) => `
      listen 127.0.0.1:${port} ${identity ? 'ssl' : ''}; ${secure}
      keepalive_requests ${requests};
      location / { add_header X-Connection $connection; return 200 '${HELLO}'; }`,
  )
}

const LANES = 10

/**
 * GETs and POSTs in a loop of 10, over several agents at once. Gives the number of connections, as nginx counts them, and how many of
 * them were needless: a connection that is kept has all the requests that nginx gives one, but for those that are open at the end.
 *
 * @param {import('node:http').Agent[]} agents
 * @param {number} port
 * @param {{ requests: number, posts: number, most: number, seed?: number }} run `posts`: their share; `most` requests a connection
 */
async function mixedLoop(agents, port, { requests, posts, most, seed = 1 }) {
  const next = random(seed)
  const connections = new Set()
  /** @type {Map<string, number>} requests by connections that are kept */
  const kept = new Map()
  await inLanes(LANES, requests, async (i) => {
    const options = { port, path: `/${i}`, agent: agents[i % agents.length] }
    const isPost = next() < posts
    const { body, headers } = await send({ ...options, method: isPost ? 'POST' : 'GET' }, isPost ? HELLO : undefined)
    checkBody(i, body)
    const connection = headers['x-connection']
    connections.add(connection)
    if (options.agent.keepAlive) kept.set(connection, (kept.get(connection) ?? 0) + 1)
  })
  const unfinished = [...kept.values()].filter((count) => count < most).length
  return { used: connections.size, needless: Math.max(0, unfinished - LANES) }
}

/** What agents there are in a mixed loop: with and without keepAlive, and both beside each other. */
const mixedAgents = {
  'an agent with keepAlive': [{ keepAlive: true }],
  'an agent without': [{ keepAlive: false }],
  'both at once': [{ keepAlive: true }, { keepAlive: false }],
}

module.exports = { checkBody, closedLoop, loopPath, mixedAgents, mixedLoop, sequentialShapes, shapes, startAnnouncing }
