'use strict'

// What the dashboard answers: its page, a stream of what happens, and the counters for programs.

const { readFileSync } = require('node:fs')
const path = require('node:path')

const { connectionsTo } = require('../agent/connections.js')
const { totals } = require('../agent/totals.js')
const { contentType, metrics } = require('../metrics/index.js')
const { dateNow } = require('../runtime/captured.js')
const { version } = require('../../package.json')
const { Guard } = require('./guard.js')
const { FIELDS } = require('./layout.js')
const { Sampler } = require('./sampler.js')
const { CLOSES, ERRORS } = require('./words.js')

/** @typedef {import('node:http').IncomingMessage} IncomingMessage */
/** @typedef {import('node:http').ServerResponse} ServerResponse */

const PAGE = path.join(__dirname, 'page')
/** The page's files, and what they are. @type {Record<string, [file: string, type: string]>} */
const FILES = {
  '': ['index.html', 'text/html; charset=utf-8'],
  'style.css': ['style.css', 'text/css; charset=utf-8'],
  'icon.svg': ['icon.svg', 'image/svg+xml'],
  ...Object.fromEntries(
    ['app', 'charts', 'dom', 'format', 'origin', 'origins', 'proxies', 'store', 'table', 'views'].map((name) => [
      `${name}.mjs`,
      /** @type {[string, string]} */ ([`${name}.mjs`, 'text/javascript; charset=utf-8']),
    ]),
  ),
}

const HEADERS = {
  'Cache-Control': 'no-store',
  'Content-Security-Policy':
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; " +
    "form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'",
  'Cross-Origin-Opener-Policy': 'same-origin',
  'Cross-Origin-Resource-Policy': 'same-origin',
  'Referrer-Policy': 'no-referrer',
  'X-Content-Type-Options': 'nosniff',
}

const MOST_VIEWERS = 32
/** A viewer that has so much to read is told no more until it has. */
const MOST_UNREAD_BYTES = 1024 * 1024
const MOST_CONNECTIONS = 1000

const JSON_TYPE = 'application/json; charset=utf-8'

/** @param {ServerResponse} response @param {number} status @param {string} type @param {string | Buffer} body @param {object} [more] */
function answer(response, status, type, body, more = {}) {
  response.writeHead(status, { ...HEADERS, ...more, 'Content-Type': type, 'Content-Length': Buffer.byteLength(body) })
  response.end(response.req.method === 'HEAD' ? undefined : body)
}

function runtimeName() {
  const { bun, deno, node } = process.versions
  if (bun !== undefined) return `Bun ${bun}`
  return deno === undefined ? `Node ${node}` : `Deno ${deno}`
}

/** Who is looked at. */
function about() {
  return { keepwire: version, runtime: runtimeName(), pid: process.pid, startedAt: dateNow() - process.uptime() * 1000 }
}

class Board {
  sampler = new Sampler()
  #guard
  /** @type {Map<string, Buffer>} */
  #files = new Map()
  /** @type {Set<ServerResponse>} */
  #streams = new Set()

  /** @param {{ token?: string, hosts?: string[] }} options */
  constructor(options) {
    this.#guard = new Guard(options)
    for (const [file] of Object.values(FILES)) this.#files.set(file, readFileSync(path.join(PAGE, file)))
  }

  /** Ends all streams. */
  close() {
    for (const response of this.#streams) response.end()
  }

  /**
   * @param {IncomingMessage & { originalUrl?: string }} request
   * @param {ServerResponse} response
   * @param {(() => void) | undefined} next for what the dashboard does not know
   */
  handle(request, response, next) {
    const url = urlOf(request.url)
    const whole = urlOf(request.originalUrl ?? request.url)
    const name = url === undefined ? undefined : url.pathname.slice(url.pathname.lastIndexOf('/') + 1)
    if (
      url === undefined ||
      whole === undefined ||
      name === undefined ||
      !(Object.hasOwn(FILES, name) || Object.hasOwn(ROUTES, name))
    ) {
      if (next !== undefined) return next()
      return answer(response, 404, 'text/plain; charset=utf-8', 'There is nothing here.\n')
    }
    const judged = this.#guard.judge(request, url)
    if ('status' in judged) {
      const { headers, status, text } = judged
      return answer(response, status, 'text/plain; charset=utf-8', `${text}\n`, headers)
    }
    if (Object.hasOwn(ROUTES, name)) return ROUTES[name](this, request, response, url)
    // The page's links are relative to its folder.
    const folder = name === '' && !whole.pathname.endsWith('/') ? `${whole.pathname.split('/').pop()}/` : './'
    if (folder !== './' || judged.cookie !== null) {
      const headers =
        judged.cookie === null
          ? {}
          : { 'Set-Cookie': `${judged.cookie}; HttpOnly; SameSite=Strict; Path=${folderOf(whole)}` }
      return answer(response, 303, 'text/plain; charset=utf-8', '', { ...headers, Location: folder })
    }
    const [file, type] = FILES[name]
    answer(response, 200, type, this.#files.get(file) ?? '')
  }

  /**
   * @param {ServerResponse} response
   * @param {{ origin: string | undefined, proxies: boolean }} wanted what is told besides
   */
  stream(response, wanted) {
    if (this.sampler.viewers.size >= MOST_VIEWERS) {
      return answer(response, 503, 'text/plain; charset=utf-8', 'Too many look already.\n', { 'Retry-After': '5' })
    }
    response.writeHead(200, { ...HEADERS, 'Content-Type': 'text/event-stream', 'X-Accel-Buffering': 'no' })
    const say = (/** @type {string} */ event, /** @type {string} */ json) =>
      response.write(`event: ${event}\ndata: ${json}\n\n`)
    const viewer = {
      ...wanted,
      isBehind: true,
      get canTake() {
        return response.writableLength < MOST_UNREAD_BYTES
      },
      greet: (/** @type {object} */ data) =>
        say(
          'hello',
          JSON.stringify({ ...about(), fields: FIELDS, words: { closes: CLOSES, errors: ERRORS }, ...data }),
        ),
      tell: (/** @type {string} */ json) => say('sample', json),
    }
    this.#streams.add(response)
    response.on('close', () => {
      this.#streams.delete(response)
      this.sampler.delete(viewer)
    })
    this.sampler.add(viewer)
  }
}

/** @type {Record<string, (board: Board, request: IncomingMessage, response: ServerResponse, url: URL) => void>} */
const ROUTES = {
  events(board, { method }, response, url) {
    if (method === 'HEAD') return answer(response, 200, 'text/event-stream', '')
    const { searchParams } = url
    board.stream(response, { origin: searchParams.get('origin') ?? undefined, proxies: searchParams.has('proxies') })
  },
  'events.ndjson'(board, _, response) {
    const lines = board.sampler.log.ring.map((event) => `${JSON.stringify(event)}\n`).join('')
    const disposition = 'attachment; filename="keepwire-events.ndjson"'
    answer(response, 200, 'application/x-ndjson; charset=utf-8', lines, { 'Content-Disposition': disposition })
  },
  healthz(board, _, response) {
    const { isSampling, viewers } = board.sampler
    answer(response, 200, JSON_TYPE, JSON.stringify({ status: 'ok', sampling: isSampling, viewers: viewers.size }))
  },
  metrics(_, { headers }, response) {
    const { accept } = headers
    answer(response, 200, contentType(accept), metrics({ accept }), { Vary: 'Accept' })
  },
  'stats.json'(_, __, response, url) {
    const origin = url.searchParams.get('origin')
    const all = totals()
    const origins = origin === null ? all : Object.fromEntries(Object.entries(all).filter(([name]) => name === origin))
    const more = origin === null ? {} : { connections: connectionsTo(origin, MOST_CONNECTIONS) }
    answer(response, 200, JSON_TYPE, JSON.stringify({ ...about(), at: dateNow(), origins, ...more }))
  },
}

/** @param {string | undefined} text of a request */
function urlOf(text = '/') {
  try {
    // Not relative to it: '//host/' is a path here.
    return new URL(`http://dashboard${text.startsWith('/') ? '' : '/'}${text}`)
  } catch {
    return undefined
  }
}

/** Where a cookie is sent to. @param {URL} url */
function folderOf({ pathname }) {
  return /^[\w./~-]*$/.test(pathname) ? pathname.slice(0, pathname.lastIndexOf('/') + 1) : '/'
}

module.exports = { Board }
