'use strict'

// Calls of fetch() from a seeded generator (fetch-calls.js), each made twice: of the runtime's own fetch, and of ours. Both have
// servers of their own, which record what arrives; of a part of the calls ours goes over HTTP/2, which the runtime's is not asked to.
// Whatever differs and is not named here is a fault.

const { Agent, HttpsAgent, fetch } = require('../..')
const { random } = require('./client')
const { callOf } = require('./fetch-calls')
const { textOf } = require('./fetch-exactness')
const { CONNECTION_FIELDS, FRONTS } = require('./fetch-fronts')
const { answer } = require('./fetch-server')
const { Peer, reply } = require('./peer')
const { turns } = require('./wait')

const SETTLE_DEADLINE_MS = 20_000

/** A server that keeps what arrives until it is taken. */
class Recorder {
  #front

  /**
   * @param {import('./listener').Identity} [identity]
   * @param {boolean} [isHttp2] it is reached over HTTP/2, by a front that hands messages on
   */
  constructor(identity, isHttp2 = false) {
    this.isHttp2 = isHttp2
    const onRequest = (/** @type {any} */ request, /** @type {any} */ connection) => {
      // A HEAD's answer ends with its head.
      const to = request.method === 'HEAD' ? headOf(connection) : connection
      try {
        answer(request, to)
      } catch {
        // A path that can't be decoded.
        to.write(reply('bad path', [], 'HTTP/1.1 400 Bad Request'))
      }
    }
    this.peer = new Peer({ onRequest, forget: true }, isHttp2 ? undefined : identity)
    this.scheme = identity === undefined ? 'http' : 'https'
  }

  async start() {
    await this.peer.listen()
    if (this.isHttp2) this.#front = await FRONTS.h2(this.peer.port)
    this.origin = `${this.scheme}://127.0.0.1:${this.port}`
    return this
  }

  /** By which it is reached. */
  get port() {
    return this.#front?.port ?? this.peer.port
  }

  async close() {
    await this.#front?.close()
    await this.peer.close()
  }

  /** What has arrived. @param {string} id of the call */
  take(id) {
    const { peer } = this
    for (const connection of peer.open) connection.requests.length = 0
    peer.connections.length = 0
    // One of an earlier call may come late.
    return peer.requests.splice(0).filter(({ target }) => !/\bcase\d+/.test(target) || target.includes(id))
  }
}

/** A connection to which no bodies are written. */
function headOf(connection) {
  const cut = (/** @type {string} */ bytes) => /^(?:HTTP\/1\.1 1\d\d .*?\r\n\r\n)?.*?\r\n\r\n/s.exec(bytes)?.[0]
  return {
    socket: connection.socket,
    // What has no head is the rest of a body.
    write: (/** @type {string} */ bytes) => cut(bytes) !== undefined && connection.write(cut(bytes)),
    end: (/** @type {string} */ bytes) => connection.end(cut(bytes) ?? bytes),
    reset: () => connection.reset(),
  }
}

/**
 * A server's port where it is one, in a URL within a URL too: `%40127.0.0.1` has none.
 * @param {Recorder} recorder
 */
function numberOf({ port }) {
  return new RegExp(`(?<=:|%(?:25)*3A)${port}(?!\\d)`, 'gi')
}

/**
 * The servers of one of the two fetches.
 * @param {import('./listener').Identity} [identity]
 * @param {boolean} [isHttp2]
 */
async function startPair(identity, isHttp2) {
  const start = () => new Recorder(identity, isHttp2).start()
  const [peer, other] = await Promise.all([start(), start()])
  return {
    peer,
    other,
    take: (/** @type {string} */ id) => [...peer.take(id), ...other.take(id)],
    plain: (/** @type {string} */ text) => text.replace(numberOf(peer), 'PORT').replace(numberOf(other), 'OTHER'),
    close: () => Promise.all([peer.close(), other.close()]),
  }
}

const READERS = {
  text: (response) => response.text(),
  stream: (response) => (response.body === null ? 'null' : textOf(response, true)),
  arrayBuffer: async (response) => Buffer.from(await response.arrayBuffer()).toString('latin1'),
  json: async (response) => JSON.stringify(await response.json()),
  blob: async (response) => {
    const blob = await response.blob()
    return `${blob.type} ${await blob.text()}`
  },
  formData: async (response) =>
    JSON.stringify([...(await response.formData())].map(([name, value]) => [name, typeof value])),
  clone: async (response) => (await Promise.all([response.clone().text(), response.text()])).join(),
  nothing: async (response) => {
    await response.body?.cancel()
    return 'cancelled'
  },
}

/** @param {unknown} error */
function errorOf(error) {
  if (!(error instanceof Error || error instanceof DOMException)) return `thrown: ${String(error)}`
  return error.name
}

/**
 * What a call comes to.
 * @param {(input: any, init: any) => Promise<Response>} fetch
 * @param {{ input: any, init: any }} call
 * @param {string} reader
 */
async function outcome(fetch, { input, init }, reader) {
  /** @type {any} */
  const told = {}
  let promise
  try {
    promise = fetch(input, init)
  } catch (error) {
    return { thrown: errorOf(error) }
  }
  try {
    const response = await promise
    const { headers, ok, redirected, status, statusText, type, url } = response
    Object.assign(told, { ok, redirected, status, statusText, type, url, headers: [...headers] })
    told.bodyUsed = response.bodyUsed
    // Reading it hangs in undici.
    if (type === 'opaque') return told
    try {
      told.body = await READERS[reader](response)
    } catch (error) {
      told.bodyError = errorOf(error)
    }
    told.used = response.bodyUsed
  } catch (error) {
    told.rejected = errorOf(error)
    told.error = error
  }
  return told
}

/** @param {Promise<any>} promise */
function inTime(promise) {
  let timer
  const late = new Promise((resolve) => {
    timer = setTimeout(resolve, SETTLE_DEADLINE_MS, { hangs: true })
  })
  return Promise.race([promise, late]).finally(() => clearTimeout(timer))
}

/** A request as it arrived: fields in no order, boundaries by one name. */
function tellRequest({ head, body, chunked, complete }) {
  const [line, ...lines] = head.split('\r\n')
  const text = Buffer.isBuffer(body) ? body.toString('latin1') : Buffer.concat(body).toString('latin1')
  const plain = (/** @type {string} */ value) => value.replace(/-{4}formdata-undici-\d+/g, 'BOUNDARY')
  /** @type {Record<string, string>} */
  const fields = Object.create(null)
  for (const field of lines) {
    const [, name, value] = /** @type {RegExpExecArray} */ (/^([^:]*): ?(.*)$/s.exec(field))
    const lower = name.toLowerCase()
    fields[lower] = plain(lower in fields ? `${fields[lower]} | ${value}` : value)
  }
  return { line, fields, body: complete ? plain(text) : 'incomplete', chunked }
}

/**
 * Of what a call came to, what HTTP/2 has too: there are no reason phrases, chunks and fields of a connection, and the front that
 * hands messages on writes methods in capitals, and can't hand on what announces trailers beside a length.
 */
function asOverHttp2({ statusText, ...told }) {
  const isOfMessage = ([name]) => !CONNECTION_FIELDS.has(name)
  const requests = told.requests.map(({ line, fields, body }) => ({
    line: line.replace(/^\S+/, (method) => method.toUpperCase()),
    fields: Object.fromEntries(Object.entries(fields).filter((field) => isOfMessage(field) && field[0] !== 'trailer')),
    body,
  }))
  return { ...told, headers: told.headers?.filter(isOfMessage), requests }
}

/**
 * @typedef {object} Difference
 * @property {string} path
 * @property {any} theirs
 * @property {any} ours
 */

/**
 * Paths at which two values differ.
 * @returns {Difference[]}
 */
function differences(theirs, ours, path = '') {
  if (Object.is(theirs, ours)) return []
  if (typeof theirs !== 'object' || typeof ours !== 'object' || theirs === null || ours === null)
    return [{ path, theirs, ours }]
  const of = (/** @type {any} */ value, /** @type {string} */ name) =>
    Object.hasOwn(value, name) ? value[name] : undefined
  const names = new Set([...Object.keys(theirs), ...Object.keys(ours)])
  return [...names].flatMap((name) =>
    differences(of(theirs, name), of(ours, name), path === '' ? name : `${path}.${name}`),
  )
}

/**
 * @typedef {object} Case
 * @property {string[]} words what the call is made of
 * @property {'http' | 'https' | 'h2'} scheme
 * @property {'none' | 'agent'} way
 * @property {any} theirs
 * @property {any} ours
 * @property {any} theirError
 * @property {any} ourError
 */

const field =
  (/** @type {string} */ name) =>
  (/** @type {Difference} */ { path }) =>
    path.endsWith(`.fields.${name}`)
const says = (/** @type {any} */ error, /** @type {RegExp} */ pattern) =>
  pattern.test(`${error?.message} ${error?.cause?.message}`)
const lineOf = (/** @type {Case} */ { theirs }, /** @type {Difference} */ { path }) =>
  theirs.requests[Number(path.split('.')[1])]?.line ?? ''

/**
 * What may differ, and why. A difference of a whole case excuses all that follows from it.
 * @type {{ why: string, isCase?: (of: Case) => boolean, is?: (difference: Difference, of: Case) => boolean }[]}
 */
const NAMED = [
  {
    why: 'a front ends an upload whose answer breaks off, and hands on what had come by then',
    is: ({ path }, { scheme, ours }) =>
      scheme === 'h2' && ours.bodyError !== undefined && /^requests\.\d+\.body$/.test(path),
  },
  {
    why: "the front's server of HTTP/2 sends no status above 599",
    isCase: ({ scheme, theirs, ours }) => scheme === 'h2' && theirs.status > 599 && ours.rejected !== undefined,
  },
  {
    why: "our fetch offers br and zstd on every runtime, since it takes them off; a user's own value is not added to",
    is: field('accept-encoding'),
  },
  {
    why: 'the client of HTTP/2 leaves out what HTTP/1.1 implies: connection: keep-alive',
    is: (difference, { scheme, way }) =>
      field('connection')(difference) && scheme === 'https' && way === 'none' && difference.ours === undefined,
  },
  {
    why: 'undici closes the connection after a HEAD; a HEAD has an end like others',
    is: (difference, of) =>
      field('connection')(difference) && difference.theirs === 'close' && lineOf(of, difference).startsWith('HEAD '),
  },
  {
    why: 'the framing of a request is ours to say, and not a reason to refuse it: what a user says of it is dropped',
    isCase: ({ theirError }) =>
      says(
        theirError,
        /invalid (?:transfer-encoding|keep-alive|upgrade|content-length|expect) header|expect header not supported/,
      ),
  },
  {
    why: "a content-length that the body's own contradicts is not sent",
    isCase: ({ theirError, ourError }) =>
      [theirError, ourError].some((error) => says(error, /body length does not match content-length header/i)),
  },
  {
    why: 'a user may say something else than close and keep-alive in connection',
    isCase: ({ theirError }) => says(theirError, /invalid connection header/),
    is: (difference) => field('connection')(difference) && !/^(?:close|keep-alive)$/i.test(difference.ours ?? 'close'),
  },
  {
    why: 'the standard lets a server redirect to its own origin with credentials; undici takes every origin for another one',
    isCase: ({ theirError, words }) =>
      says(theirError, /cross origin not allowed|cannot contain credentials/) &&
      words.some((word) => /^redirect: .*user:pass@/.test(word)),
  },
  {
    why: 'space around the value of a field is no part of it (RFC 9110, section 5.5)',
    is: ({ path, theirs, ours }) => path.startsWith('headers.') && typeof theirs === 'string' && theirs.trim() === ours,
  },
  {
    why: 'over HTTP/2 a value with space around it makes a request malformed (RFC 9113, section 8.2.1)',
    is: ({ path, theirs, ours }, { scheme }) =>
      scheme === 'h2' && /^requests\.\d+\.fields\./.test(path) && typeof theirs === 'string' && theirs.trim() === ours,
  },
  {
    why: 'a list whose last value is empty ends with a comma; the space behind it is no part of it (RFC 9110, section 5.5)',
    is: ({ path, theirs, ours }) =>
      /^requests\.\d+\.fields\./.test(path) && /,$/.test(theirs) && theirs === String(ours).trimEnd(),
  },
  {
    why: "a body that is empty has a length as well (the standard's source is not null)",
    is: (difference) =>
      field('content-length')(difference) && difference.theirs === undefined && difference.ours === '0',
  },
  {
    why: 'a body whose end comes within a turn of the event loop is sent with its length',
    is: (difference, { words }) =>
      /\.(?:chunked|fields\.(?:content-length|transfer-encoding))$/.test(difference.path) &&
      words.includes('input: Request'),
  },
  {
    why: 'an empty query is part of the URL, and is sent',
    is: ({ path, theirs, ours }) => path.endsWith('.line') && ours === theirs.replace(' HTTP/', '? HTTP/'),
  },
  {
    why: 'what is no URL of a network is no referrer, and a referer is one value',
    is: (difference) =>
      field('referer')(difference) &&
      (/^(?:data|about|blob|file):|, /.test(difference.theirs) || /, /.test(difference.theirs)),
  },
  {
    why: 'undici 6 knows some policies of referrers by other rules than the standard, and none for the origin of a request',
    is: (difference, { words }) =>
      field('referer')(difference) && words.some((word) => word.startsWith('referrerPolicy: ')),
  },
  {
    why: 'of two faults either is told: who reads a member first depends on the runtime, and a bad port is found with the URL',
    isCase: ({ theirs, ours, words }) =>
      theirs.rejected !== undefined &&
      ours.rejected !== undefined &&
      ['init: a getter that throws', 'body: a detached buffer', 'url: a bad port'].some((word) => words.includes(word)),
  },
  {
    why: 'of a body that fails and an abort in the same turn, undici 6 tells the failure, later ones and we the abort',
    isCase: ({ theirs, ours, words }) =>
      theirs.rejected !== undefined &&
      ours.rejected !== undefined &&
      words.includes('signal: aborted at once') &&
      words.some((word) => word.startsWith('body: a stream that fails')),
  },
  {
    why: 'undici never settles when credentials of a URL come into play in mode no-cors',
    isCase: ({ theirs, ours }) => theirs.hangs && ours.type === 'opaque',
  },
  {
    why: 'undici 7 and 8 throw where nobody can catch it, when a form is given up before it was read',
    is: ({ path, ours }) => path === 'uncaught' && ours === undefined,
  },
  {
    why: 'what was sent before an abort depends on when it comes',
    is: ({ path }, { words }) => path.startsWith('requests') && words.includes('signal: aborted at once'),
  },
  {
    why: 'undici 7 and 8 show fields and the URL of a response that is opaque',
    is: ({ path }, { theirs, ours }) =>
      theirs.type === 'opaque' && ours.type === 'opaque' && /^(?:redirected$|url$|headers)/.test(path),
  },
  {
    why: 'values of set-cookie are not put together, in requests either',
    is: (difference) =>
      field('set-cookie')(difference) && difference.theirs === String(difference.ours).replaceAll(' | ', ', '),
  },
  {
    why: 'no response shows the credentials of a URL to which a server redirects',
    is: ({ path, theirs, ours }) => path === 'url' && theirs?.replace('user:pass@', '') === ours,
  },
  {
    why: 'undici spells the value of connection in its own way',
    is: (difference) => field('connection')(difference) && difference.theirs === String(difference.ours).toLowerCase(),
  },
  {
    why: 'what undici made a Request of is lost when its bytes have gone into a stream, and can not be sent again',
    isCase: ({ theirError }) => says(theirError, /detached ArrayBuffer/),
  },
  {
    why: 'undici learns that a stream is empty before it sends anything; ours has said by then that it comes in chunks',
    is: (difference, { words }) =>
      /\.(?:chunked|fields\.(?:content-length|transfer-encoding))$/.test(difference.path) &&
      words.includes('body: an empty stream'),
  },
  {
    why: 'undici 6 sends fields that are not enumerable',
    is: field('x-hidden'),
  },
  {
    why: 'undici loses a field of this name',
    is: field('__proto__'),
  },
  {
    why: 'a stream that ended within a turn can be sent again',
    isCase: ({ theirs, theirError, words }) =>
      theirs.rejected === 'TypeError' && theirError?.cause?.message === '' && words.includes('input: Request'),
  },
  {
    why: 'undici 6 and 7 send the strings of a stream, which the standard refuses',
    isCase: ({ ourError }) => says(ourError, /Received non-Uint8Array chunk/),
  },
]

/** @param {Case} of @returns {Difference[]} those that nobody has named */
function unnamed(of) {
  if (NAMED.some(({ isCase }) => isCase?.(of))) return []
  if (of.theirs.rejected !== of.ours.rejected)
    return [{ path: 'rejected', theirs: of.theirs.rejected, ours: of.ours.rejected }]
  return differences(of.theirs, of.ours).filter((difference) => !NAMED.some(({ is }) => is?.(difference, of)))
}

/** An agent's trust and limits would not count there. */
const AGENTLESS = /^integrity: (?!undefined$|$)/

/**
 * @param {any} init
 * @param {any} agents
 */
function withAgent(init, agents) {
  const agent = (/** @type {URL} */ url) => agents[url.protocol]
  if (init === undefined || init === null) return { agent }
  if (typeof init !== 'object' && typeof init !== 'function') return init
  return new Proxy(init, {
    get: (target, name) => (name === 'agent' ? agent : Reflect.get(target, name)),
  })
}

/** Makes the calls that follow from a seed, one after another. */
class Fuzzer {
  #pairs
  #agents
  #seed
  #number = 0
  /** @type {unknown[]} */
  #uncaught = []

  /**
   * @param {number} seed
   * @param {any} pairs
   * @param {any} agents
   */
  constructor(seed, pairs, agents) {
    this.#seed = seed
    this.#pairs = pairs
    this.#agents = agents
  }

  /** @param {number} seed @param {import('./listener').Identity} identity that this process trusts */
  static async start(seed, identity) {
    const [plainTheirs, plainOurs, theirs, ours, http2] = await Promise.all([
      startPair(),
      startPair(),
      startPair(identity),
      startPair(identity),
      startPair(identity, true),
    ])
    const pairs = {
      http: { theirs: plainTheirs, ours: plainOurs },
      https: { theirs, ours },
      h2: { theirs, ours: http2 },
    }
    const plain = new Agent({ keepAlive: true })
    const secure = { keepAlive: true, ca: identity.ca }
    const agents = {
      http: { 'http:': plain },
      https: { 'http:': plain, 'https:': new HttpsAgent(secure) },
      h2: { 'http:': plain, 'https:': new HttpsAgent({ ...secure, http2: true }) },
    }
    return new Fuzzer(seed, pairs, agents)
  }

  /** Takes an error that nobody has caught. @param {unknown} error */
  note(error) {
    this.#uncaught.push(error)
  }

  async stop() {
    for (const agents of Object.values(this.#agents)) for (const agent of Object.values(agents)) agent.destroy()
    const pairs = new Set(Object.values(this.#pairs).flatMap(({ theirs, ours }) => [theirs, ours]))
    for (const pair of pairs) await pair.close()
  }

  /**
   * Makes the next call both ways.
   * @returns {Promise<{ number: number, of: Case, found: Difference[] } | null>} null: nobody can make it
   */
  async next(number = this.#number) {
    this.#number = number + 1
    const next = random(this.#seed * 1_000_003 + number)
    const reader = Object.keys(READERS)[Math.floor(next() * Object.keys(READERS).length)]
    const start = Math.floor(next() * 0x1_0000_0000)
    const drawn = next()
    const scheme = drawn < 0.15 ? 'h2' : drawn < 0.4 ? 'https' : 'http'
    const wished = next() < 0.5 ? 'agent' : 'none'
    const id = `case${number}x`
    const pairs = this.#pairs[scheme]
    const told = []
    let words = []
    let way = wished
    for (const whose of /** @type {const} */ (['theirs', 'ours'])) {
      // The runtime's own fetch makes it, which speaks no HTTP/2.
      const isTheirs = whose === 'theirs' || (scheme === 'h2' && words.some((word) => AGENTLESS.test(word)))
      const pair = isTheirs ? pairs.theirs : pairs.ours
      const { input, init, dice, hasFailed } = callOf(random(start), {
        origin: pair.peer.origin,
        otherOrigin: pair.other.origin,
        id,
      })
      if (hasFailed) return null
      words = dice.told
      if (words.some((word) => AGENTLESS.test(word))) way = 'none'
      const asked = whose === 'theirs' ? globalThis.fetch : fetch
      const call = { input, init: whose === 'ours' && way === 'agent' ? withAgent(init, this.#agents[scheme]) : init }
      const { error, ...result } = await inTime(outcome(asked, call, reader))
      await turns()
      const uncaught = this.#uncaught.splice(0)
      if (uncaught.length > 0) result.uncaught = uncaught.map(errorOf).join()
      // What was sent of one that failed depends on when.
      const requests = pair.take(id).filter((request) => request.complete || result.rejected === undefined)
      const text = pair.plain(JSON.stringify({ ...result, requests: requests.map(tellRequest) }))
      const plain = JSON.parse(text)
      told.push({ error, ...(scheme === 'h2' ? asOverHttp2(plain) : plain) })
    }
    const [{ error: theirError, ...their }, { error: ourError, ...our }] = told
    const of = { words: [`read: ${reader}`, ...words], scheme, way, theirs: their, ours: our, theirError, ourError }
    return { number, of, found: unnamed(of) }
  }
}

module.exports = { Fuzzer, NAMED }
