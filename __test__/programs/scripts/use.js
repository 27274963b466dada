'use strict'

// What a test does with keepwire, over the agent, our own request and fetch: answers, uploads, timeouts, aborts, drops. Nothing
// in here waits for a clock that the test may have faked.

const { spawn } = require('node:child_process')
const path = require('node:path')

/**
 * @param {any} keepwire
 * @param {any} http the runtime's
 * @param {number} port
 * @param {any} agent
 */
async function useAll(keepwire, http, port, agent) {
  const told = {}
  const ways = {
    agent: (options, callback) => http.request({ ...options, agent }, callback),
    own: (options, callback) => keepwire.http.request({ ...options, agent }, callback),
  }
  for (const [name, request] of Object.entries(ways)) {
    const target = { host: '127.0.0.1', port }
    const get = (path) => bodyOf(request({ ...target, path }), undefined)
    told[name] = {
      first: await get('/first'),
      again: await get('/again'),
      post: await bodyOf(request({ ...target, path: '/post', method: 'POST' }), 'body'),
      timeout: await new Promise((resolve) => {
        const req = request({ ...target, path: '/silent' })
        req.setTimeout(20, () => req.destroy())
        req.on('error', () => {})
        req.on('close', () => resolve('closed'))
        req.end()
      }),
      destroy: await new Promise((resolve) => {
        const req = request({ ...target, path: '/silent' })
        req.on('error', () => {})
        req.on('close', () => resolve('closed'))
        req.end()
        req.destroy()
      }),
      drop: await bodyOf(request({ ...target, path: '/drop', method: 'POST' }), 'body').catch((error) => error.code),
    }
  }
  const url = `http://127.0.0.1:${port}`
  told.fetch = {
    plain: await (await keepwire.fetch(`${url}/fetch`)).text(),
    agent: await (await keepwire.fetch(`${url}/agent`, { agent })).text(),
    post: await (await keepwire.fetch(`${url}/post`, { method: 'POST', body: new Blob(['body']) })).text(),
    timeout: await keepwire.fetch(`${url}/silent`, { timeout: 20 }).catch((error) => error.name),
    drop: await keepwire.fetch(`${url}/drop`, { method: 'POST', body: 'b' }).catch((error) => error.cause.code),
  }
  return told
}

/** @param {any} req @param {string | undefined} body */
function bodyOf(req, body) {
  return new Promise((resolve, reject) => {
    req.on('error', reject)
    req.on('response', (res) => {
      let text = ''
      res.on('data', (chunk) => (text += chunk))
      res.on('error', reject)
      res.on('end', () => resolve(text))
    })
    req.end(body)
  })
}

const lean = {
  first: 'real /first',
  again: 'real /again',
  post: 'real /post',
  timeout: 'closed',
  destroy: 'closed',
  drop: 'ECONNRESET',
}
/** What useAll() comes to. */
const USED = {
  agent: lean,
  own: lean,
  fetch: {
    plain: 'real /fetch',
    agent: 'real /agent',
    post: 'real /post',
    timeout: 'TimeoutError',
    drop: 'UND_ERR_SOCKET',
  },
}

/**
 * The server, and its end.
 * @param {...string} args its
 * @returns {Promise<{ port: number, stop: () => Promise<void> }>}
 */
async function startServer(...args) {
  const server = spawn(process.execPath, [path.join(__dirname, 'server.js'), ...args], {
    stdio: ['pipe', 'pipe', 'inherit'],
  })
  const port = Number(await new Promise((resolve) => server.stdout.once('data', resolve)))
  const stop = () =>
    new Promise((resolve) => {
      server.once('exit', () => resolve())
      server.stdin.end()
    })
  return { port, stop }
}

/**
 * useAll() with a server and an agent of its own, which are gone when it is over.
 * @param {any} keepwire
 * @param {any} http the runtime's
 */
async function useOnce(keepwire, http) {
  const { port, stop } = await startServer()
  const agent = new keepwire.Agent({ keepAlive: true })
  try {
    return await useAll(keepwire, http, port, agent)
  } finally {
    agent.destroy()
    await stop()
  }
}

module.exports = { startServer, useAll, USED, useOnce }
