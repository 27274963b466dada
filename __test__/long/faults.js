'use strict'

// `npm run faults [-- requests]`: a panic in the engine at each stage of a request, in each way of requesting, in each of
// three JavaScript threads: that request fails with ERR_KEEPWIRE_ENGINE, the next 1,000, spread over all threads and ways,
// get their own responses. When the engine's thread itself ends, the next request starts another one. scripts/faults.js builds
// the addon for it. Ends with code 1 if anything else happens.

const assert = require('node:assert')
const http = require('node:http')
const https = require('node:https')
const path = require('node:path')
const { Worker, isMainThread, parentPort, workerData } = require('node:worker_threads')

const { ca, cert, key } = require('../support/fetch-tls')
const { once } = require('../support/wait')

const THREADS = 3
const LANES = 6

const home = isMainThread ? path.resolve(process.argv[2]) : workerData.home
const keepwire = require(home)
const native = require(path.join(home, 'lib', 'bridge', 'native.js'))

const SHORT = 'failing1'
const LONG = 'failing0'

const codeOf = (/** @type {any} */ error) => error.code ?? error.cause?.code ?? String(error)

/** Bodies that come with the head, and ones that don't. */
const bodyOf = (/** @type {string} */ name) => name.repeat(name.endsWith('0') ? 5_000 : 1)

/** @param {import('node:http').ClientRequest} request */
function read(request) {
  return new Promise((resolve, reject) => {
    request.on('error', reject)
    request.on('response', (response) => {
      let body = ''
      response.setEncoding('latin1')
      response.on('data', (text) => {
        body += text
      })
      response.on('error', reject)
      response.on('end', () => resolve(body))
    })
    request.end()
  })
}

class Ways {
  #agents
  #urls

  /**
   * @param {{ http: string, https: string }} urls
   * @param {'auto' | 'thread'} io
   */
  constructor(urls, io) {
    const options = { keepAlive: true, io }
    this.#agents = { http: new keepwire.Agent(options), https: new keepwire.HttpsAgent({ ...options, ca }) }
    this.#urls = urls
  }

  /** @param {'http' | 'https'} scheme */
  #options(scheme) {
    return { agent: this.#agents[scheme] }
  }

  byName = Object.fromEntries(
    /** @type {const} */ (['http', 'https']).flatMap((scheme) => [
      [
        `${scheme}, agent`,
        (name) => read({ http, https }[scheme].request(this.#urls[scheme] + name, this.#options(scheme))),
      ],
      [
        `${scheme}, own request`,
        (name) => read(keepwire[scheme].request(this.#urls[scheme] + name, this.#options(scheme))),
      ],
      [
        `${scheme}, fetch`,
        async (name) => (await keepwire.fetch(this.#urls[scheme] + name, this.#options(scheme))).text(),
      ],
    ]),
  )

  /** The only one that is not the engine's own. */
  client = async (/** @type {string} */ name) =>
    (await keepwire.fetch(this.#urls.https + name, { client: 'reqwest' })).text()

  /** @param {string} way */
  send(way, name) {
    return way === 'https, client' ? this.client(name) : this.byName[way](name)
  }

  destroy() {
    for (const agent of Object.values(this.#agents)) agent.destroy()
  }
}

const WAYS = ['http', 'https'].flatMap((scheme) => ['agent', 'own request', 'fetch'].map((way) => `${scheme}, ${way}`))
const ALL = [...WAYS, 'https, client']
const isFetch = (/** @type {string} */ way) => way.endsWith('fetch')

/** Each stage, and the requests that come by it. `fresh`: on a new connection. */
const STAGES = [
  { stage: 'Dial', ways: WAYS, fresh: true },
  { stage: 'Handshake', ways: WAYS.filter((way) => way.startsWith('https')), fresh: true },
  { stage: 'Head', ways: WAYS },
  { stage: 'Body', ways: WAYS },
  { stage: 'Decode', ways: WAYS.filter(isFetch) },
  { stage: 'Client', ways: ['https, client'] },
  { stage: 'Bridge', ways: ALL },
  { stage: 'Told', ways: WAYS, name: LONG },
  // Of requests that their own thread carries.
  { stage: 'Head', ways: WAYS, inLoop: true },
  { stage: 'Body', ways: WAYS, inLoop: true },
  { stage: 'Told', ways: WAYS, inLoop: true, name: LONG },
]

/** Requests that have to go before one that its thread carries itself, and how often a busy machine may let none be. */
const BEFORE = 5
const MOST_TRIES = 50

/** One JavaScript thread's part. */
class Thread {
  #urls
  #ways
  #inLoop
  #serial = 0

  /** @param {{ http: string, https: string }} urls */
  constructor(urls) {
    this.#urls = urls
    this.#ways = new Ways(urls, 'thread')
    this.#inLoop = new Ways(urls, 'auto')
  }

  /** A request of that way, with a panic on its way: what it fails with. */
  async fail({ stage, way, fresh, inLoop, name = inLoop ? SHORT : LONG }) {
    if (inLoop) return this.#failInLoop(stage, way, name)
    if (fresh) {
      this.#ways.destroy()
      this.#ways = new Ways(this.#urls, 'thread')
    }
    assert.ok(native.injectFault(stage))
    try {
      await this.#ways.send(way, name)
    } catch (error) {
      return codeOf(error)
    }
    return 'it succeeded'
  }

  async #failInLoop(/** @type {string} */ stage, /** @type {string} */ way, /** @type {string} */ name) {
    for (let tries = 0; tries < MOST_TRIES; tries += 1) {
      for (let i = 0; i < BEFORE; i += 1) await this.#inLoop.send(way, SHORT)
      native.injectFault(stage, true)
      try {
        await this.#inLoop.send(way, name)
      } catch (error) {
        return codeOf(error)
      }
    }
    return 'it succeeded'
  }

  /** So many requests, some at a time: what went wrong. */
  async succeed({ count }) {
    const wrong = []
    let sent = 0
    const lane = async () => {
      while (sent < count) {
        sent += 1
        this.#serial += 1
        const way = ALL[this.#serial % ALL.length]
        const name = `r${this.#serial}`
        try {
          const ways = this.#serial % 2 === 0 ? this.#ways : this.#inLoop
          if ((await ways.send(way, name)) !== bodyOf(name)) wrong.push(`${way}: another body`)
        } catch (error) {
          wrong.push(`${way}: ${error.code ?? error.cause?.code} ${error.message}`)
        }
      }
    }
    await Promise.all(Array.from({ length: LANES }, lane))
    return wrong
  }

  end() {
    this.#ways.destroy()
    this.#inLoop.destroy()
  }
}

/** A thread's part, wherever it runs. */
class Remote {
  #worker

  constructor(urls) {
    this.#worker = new Worker(__filename, { workerData: { home, urls } })
  }

  async #ask(message) {
    this.#worker.postMessage(message)
    const [answer] = await once(this.#worker, 'message')
    return answer
  }

  fail(what) {
    return this.#ask({ method: 'fail', what })
  }

  succeed(what) {
    return this.#ask({ method: 'succeed', what })
  }

  async end() {
    this.#worker.postMessage({ method: 'end' })
    await once(this.#worker, 'exit')
  }
}

function startThread() {
  const thread = new Thread(workerData.urls)
  parentPort.on('message', async ({ method, what }) => {
    if (method === 'end') {
      thread.end()
      parentPort.close()
    } else {
      parentPort.postMessage(await thread[method](what))
    }
  })
}

async function listen(server) {
  server.keepAliveTimeout = 0
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve))
  return server.address().port
}

function answer(request, response) {
  response.end(bodyOf(request.url.slice(1)))
}

/** So many requests in all threads. */
async function succeedEverywhere(threads, requests, after) {
  const count = Math.ceil(requests / threads.length)
  const wrong = (await Promise.all(threads.map((thread) => thread.succeed({ count })))).flat()
  assert.deepStrictEqual(wrong.slice(0, 10), [], `${wrong.length} failures ${after}`)
}

async function main() {
  const requests = Number(process.argv[3] ?? 1_000)
  const servers = [http.createServer(answer), https.createServer({ cert, key }, answer)]
  const [plain, secure] = await Promise.all(servers.map(listen))
  const urls = { http: `http://127.0.0.1:${plain}/`, https: `https://127.0.0.1:${secure}/` }
  const threads = [new Thread(urls), ...Array.from({ length: THREADS - 1 }, () => new Remote(urls))]
  await succeedEverywhere(threads, requests, 'before any panic')
  let turn = 0
  for (const { ways, ...stage } of STAGES) {
    const told = `${stage.stage}${stage.inLoop ? ', on its own thread' : ''}`
    for (const way of ways) {
      const code = await threads[turn++ % threads.length].fail({ ...stage, way })
      assert.strictEqual(code, 'ERR_KEEPWIRE_ENGINE', `${told}, ${way}`)
      await succeedEverywhere(threads, requests, `after ${told}, ${way}`)
    }
    console.log(`${told}: ${ways.length} requests failed, ${ways.length * requests} after them succeeded`)
  }
  native.injectFault('Thread')
  const codes = await Promise.all(threads.map((thread) => thread.succeed({ count: 1 })))
  console.log(`the engine's thread ended: ${codes.flat().length} of ${threads.length} requests failed`)
  await succeedEverywhere(threads, requests, "after the engine's thread ended")
  for (const thread of threads) await thread.end()
  for (const server of servers) {
    server.closeAllConnections()
    server.close()
  }
}

if (isMainThread) {
  main().catch((error) => {
    console.error(error)
    process.exit(1)
  })
} else {
  startThread()
}
