'use strict'

// Responses from a seeded generator, well-formed and not, each in the same pieces to a request over the runtime's agent, over ours,
// and to our own request. What their users hear must be the same: heads, bodies, trailers, the order of events, errors.

const http = require('node:http')
const net = require('node:net')

const { random } = require('./client')
const keepwire = require('../..')

const STATUS_LINES = [
  'HTTP/1.1 200 OK',
  'HTTP/1.1 200 OK',
  'HTTP/1.1 200 OK',
  'HTTP/1.0 200 OK',
  'HTTP/1.1 204 No Content',
  'HTTP/1.1 304 Not Modified',
  'HTTP/1.1 404 Not \xe9 Found',
  'HTTP/1.1 500',
  'HTTP/1.1 999 ',
  'HTTP/1.1 200  two  spaces ',
  'HTTP/1.1  200 OK',
  'HTTP/1.1 20 OK',
  'HTTP/1.1 2000 OK',
  'HTTP/1.2 200 OK',
  'HTTP/2.0 200 OK',
  'ICY 200 OK',
  'http/1.1 200 OK',
  'HTTP/1.1 099 OK',
  'HTTP/1.1 200 O\x00K',
  'HTTP/1.1 200 O\tK',
  'HTTP/1.1\t200 OK',
  'HTTP/1.1 101 Switching',
]

const BEFORE = [
  '',
  '',
  '',
  '',
  '',
  '',
  '\r\n',
  '\n',
  '\r\n\r\n',
  'HTTP/1.1 100 Continue\r\n\r\n',
  'HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\n\r\n',
  'HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 103 Early\r\nX: y\r\n\r\n',
  'HTTP/1.1 100 Continue\r\nContent-Length: 3\r\n\r\n',
  'HTTP/1.1 103 Early\r\nTransfer-Encoding: chunked\r\n\r\n',
]

const FIELDS = [
  'X-A: b',
  'x-a: c',
  'X-Empty:',
  'X-Space:   ',
  'X-Tab:\t a\t ',
  'X-High: \xe4\xf6',
  'X-Long: '.padEnd(300, 'v'),
  'Set-Cookie: a=1',
  'Set-Cookie: b=2',
  'Date: Sun, 06 Nov 1994 08:49:37 GMT',
  'ETag: "a"',
  'Content-Type: text/plain',
  'Keep-Alive: timeout=5',
  'Connection: keep-alive',
  'Connection: close',
  'Connection: Close, x',
  'Connection: keep-alive, close',
  'Proxy-Connection: close',
  'Upgrade: websocket',
  'Connection: upgrade',
  'Trailer: X-T',
  'constructor: 1',
  '__proto__: 2',
  "X-!#$%&'*+-.^_`|~: token",
]

const ODD_FIELDS = [
  ' leading: space',
  'Folded: a\r\n b',
  'Folded: a\r\n\tb',
  'No colon',
  'Na me: x',
  'Name : x',
  ': nameless',
  'X-Nul: a\x00b',
  'X-Control: a\x01b',
  'X-Del: a\x7fb',
  'X-Cr: a\rb',
  'X-Lf: a\nX-B: c',
  'X-\xe4: high',
  'X@: at',
  'Content-Length: 1',
  'Content-Length: 0',
  'Content-Length: +5',
  'Content-Length: 5 ',
  'Content-Length: 5, 5',
  'Content-Length: 0x5',
  'Content-Length: -1',
  'Content-Length:',
  'Content-Length: 99999999999999999999',
  'Transfer-Encoding: chunked',
  'Transfer-Encoding: Chunked',
  'Transfer-Encoding: identity',
  'Transfer-Encoding: gzip, chunked',
  'Transfer-Encoding: chunked, gzip',
  'Transfer-Encoding: chunked,chunked',
  'Transfer-Encoding: xchunked',
  'Transfer-Encoding:',
  'Transfer-Encoding : chunked',
]

const SIZE_ENDS = ['', '', '', '', ';a', ';a=b', ';a="b;c"', ' ', ' ;a=b', ';', ';a=\x01', ';\n', '\t', 'x']
const LINE_ENDS = ['\r\n', '\r\n', '\r\n', '\r\n', '\r\n', '\r\n', '\r\n', '\n', '\r']
const SURPLUS = [
  '',
  '',
  '',
  '',
  '',
  '',
  '\r\n',
  '\n',
  'x',
  'HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n!',
  '\r\n\r\n\r\n',
]
const METHODS = ['GET', 'GET', 'GET', 'GET', 'HEAD', 'POST']

/** @typedef {{ method: string, parts: string[], keepAlive: boolean }} Case `parts`: what the server sends, and when it breaks off */

/**
 * @param {() => number} random
 * @returns {Case}
 */
function caseFrom(random) {
  const below = (most) => Math.floor(random() * most)
  const pick = (list) => list[below(list.length)]
  const often = (part) => random() < part

  /** Nearly all keep to the rules. */
  const lineEnd = () => (often(0.98) ? '\r\n' : pick(LINE_ENDS))

  function chunks(body) {
    let out = ''
    for (let at = 0; at < body.length; ) {
      const size = 1 + below(Math.min(body.length - at, 9))
      const digits = often(0.9)
        ? size.toString(16)
        : `${pick(['0', '00', '000000000000000000'])}${size.toString(16).toUpperCase()}`
      out += `${digits}${often(0.9) ? '' : pick(SIZE_ENDS)}${lineEnd()}${body.slice(at, at + size)}${lineEnd()}`
      at += size
    }
    out += `${often(0.95) ? '0' : pick(['00', '', 'fffffffffffffffff', '-0', 'g'])}${often(0.95) ? '' : pick(SIZE_ENDS)}${lineEnd()}`
    while (often(0.2)) out += `${often(0.8) ? pick(FIELDS) : pick(ODD_FIELDS)}${lineEnd()}`
    return out + lineEnd()
  }

  function response() {
    const body = pick([
      '',
      'ok',
      'hello world',
      'x'.repeat(below(60)),
      '\r\n\r\n',
      '0\r\n\r\n',
      'HTTP/1.1 200 OK\r\n\r\n',
    ])
    const lines = [often(0.8) ? 'HTTP/1.1 200 OK' : pick(STATUS_LINES)]
    while (often(0.5)) lines.push(pick(FIELDS))
    let framed = body
    const framing = below(10)
    if (framing < 4) lines.push(`Content-Length: ${often(0.9) ? body.length : below(70)}`)
    else if (framing < 8) {
      lines.push('Transfer-Encoding: chunked')
      framed = chunks(body)
    } else if (framing < 9) {
      lines.push(`Content-Length: ${body.length}`, 'Transfer-Encoding: chunked')
      framed = chunks(body)
    }
    if (often(0.15)) lines.splice(below(lines.length + 1), 0, pick(ODD_FIELDS))
    if (often(0.1)) lines.push(pick(FIELDS))
    return pick(BEFORE) + lines.map((line) => line + lineEnd()).join('') + lineEnd() + framed + pick(SURPLUS)
  }

  /** Bytes that nobody thought of. */
  function mutated(bytes) {
    const at = below(bytes.length + 1)
    const length = below(6)
    switch (below(6)) {
      case 0:
        return bytes.slice(0, at) + bytes.slice(at + length)
      case 1:
        return bytes.slice(0, at) + bytes.slice(at, at + length) + bytes.slice(at)
      case 2:
        return bytes.slice(0, at) + String.fromCharCode(below(256)) + bytes.slice(at + 1)
      case 3:
        return bytes.slice(0, at) + pick(['\r', '\n', '\r\n', ' ', '\t', '\0', ':', ',']) + bytes.slice(at)
      case 4:
        return bytes.slice(0, at)
      default:
        return bytes.slice(0, at) + pick(ODD_FIELDS) + bytes.slice(at)
    }
  }

  /** @param {string} bytes @returns {string[]} */
  function pieces(bytes) {
    if (often(0.4)) return [bytes]
    const out = []
    for (let at = 0; at < bytes.length; ) {
      const size = 1 + below(often(0.3) ? 3 : 60)
      out.push(bytes.slice(at, at + size))
      at += size
    }
    return out
  }

  let bytes = response()
  if (often(0.25)) for (let times = 1 + below(3); times > 0; times -= 1) bytes = mutated(bytes)
  const parts = often(0.8) ? [bytes] : pieces(bytes)
  return { method: pick(METHODS), parts, keepAlive: often(0.7) }
}

/**
 * An error as it is compared. Which fault of several a parser finds first is its own.
 * @param {any} error
 */
function told(error) {
  if (error.code?.startsWith('HPE_')) return 'HPE'
  return `${error.code} ${error.message}`
}

/**
 * What the user of a request hears, in order.
 * @param {any} request
 * @returns {Promise<string[]>}
 */
function listen(request) {
  return new Promise((resolve) => {
    const log = []
    let open = 1
    const over = () => {
      open -= 1
      if (open === 0) resolve(log)
    }
    request.on('error', (error) => log.push(`request error ${told(error)}`))
    request.on('continue', () => log.push('continue'))
    request.on('information', ({ statusCode, statusMessage, rawHeaders }) =>
      log.push(`information ${JSON.stringify([statusCode, statusMessage, rawHeaders])}`),
    )
    request.on('upgrade', ({ statusCode }, socket) => {
      log.push(`upgrade ${statusCode}`)
      open += 1
      socket.on('error', () => {})
      socket.on('close', over)
      socket.destroy()
    })
    request.on('response', (response) => {
      open += 1
      const { statusCode, statusMessage, httpVersion, rawHeaders, headers } = response
      log.push(`response ${JSON.stringify([statusCode, statusMessage, httpVersion, rawHeaders, headers])}`)
      let body = ''
      response.on('data', (data) => {
        body += data.toString('latin1')
      })
      response.on('end', () => log.push(`end ${JSON.stringify([body, response.rawTrailers, response.trailers])}`))
      response.on('aborted', () => log.push('aborted'))
      response.on('error', (error) => log.push(`response error ${told(error)}`))
      response.on('close', () => {
        log.push(`response close ${response.complete}`)
        over()
      })
    })
    request.on('close', () => {
      log.push('request close')
      over()
    })
  })
}

/**
 * A server that answers the request for `/NUMBER` with what `cases` has under that number, and then closes.
 * @param {Map<number, Case>} cases
 */
async function serve(cases) {
  const server = net.createServer({ noDelay: true }, (socket) => {
    socket.on('error', () => {})
    let text = ''
    socket.on('data', async (bytes) => {
      text += bytes.toString('latin1')
      const head = /^(\w+) \/(\d+) .*?\r\n\r\n/s.exec(text)
      if (head === null || (head[1] === 'POST' && !text.endsWith(SENT))) return
      text = ''
      for (const [at, part] of cases.get(Number(head[2])).parts.entries()) {
        if (at > 0) await new Promise((resolve) => setImmediate(resolve))
        socket.write(part, 'latin1')
      }
      socket.end()
    })
  })
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve))
  return server
}

const SENT = 'sent'

/**
 * Differences with a reason: the first that is true of a case names it. `theirs` and `ours` are logs.
 * @type {[string, (made: Case, theirs: string[], ours: string[]) => boolean][]}
 */
const NAMED = [
  [
    'the connection of a HEAD without a length is kept, so its request closes first',
    ({ method }, theirs, ours) => method === 'HEAD' && isReordered(theirs, ours),
  ],
  [
    'a 101 that nobody has asked for costs its connection',
    (_, theirs, ours) => has(theirs, 'response [101,') && isReordered(theirs, ours),
  ],
  [
    'an upgrade that nobody has asked for is an error',
    (_, theirs, ours) => has(theirs, 'upgrade 101') && has(ours, 'request error ECONNRESET'),
  ],
  [
    'a reason phrase with a NUL is refused',
    ({ parts }, _, ours) => /HTTP\/\d\.\d \d{3} [^\r\n]*\0/.test(parts.join('')) && has(ours, HPE),
  ],
  [
    'an empty Transfer-Encoding is refused, as by newer parsers',
    (_, theirs, ours) => /"transfer-encoding",""/i.test(theirs.join('\n')) && has(ours, HPE),
  ],
  [
    'a status line that ends with two CRs is refused, as by newer parsers',
    ({ parts }, _, ours) => /HTTP\/\d\.\d \d{3}[^\r\n]*\r\r/.test(parts.join('')) && has(ours, HPE),
  ],
  [
    'a tab behind a length or a coding is white space',
    ({ parts }) => /\n(?:Content-Length|Transfer-Encoding):[^\r\n]*\t/i.test(parts.join('')),
  ],
  ['a head is refused when it is complete', (_, theirs, ours) => has(theirs, HPE) && has(ours, RESET)],
  [
    'another protocol is refused at its first letter',
    ({ parts }, theirs, ours) => /^\s*[IR]/.test(parts.join('')) && has(theirs, RESET) && has(ours, HPE),
  ],
  [
    'what trailers say of the connection is not heeded',
    ({ parts }, theirs, ours) =>
      /\n(?:Proxy-)?Connection:[^\n]*\r?\n/i.test(parts.join('').slice(parts.join('').search(/\n0[^\n]*\n/))) &&
      `${without(theirs, HPE)}` === `${without(ours, HPE)}`,
  ],
  [
    'of a second response behind the first no more is read than its head',
    ({ parts }, theirs, ours) =>
      /\n\r?\nHTTP\/|.HTTP\//s.test(parts.join('')) && `${without(theirs, HPE)}` === `${ours}`,
  ],
  [
    'trailers are refused when they are complete',
    (_, theirs, ours) => has(theirs, HPE) && has(theirs, 'aborted') && has(ours, 'aborted') && !has(ours, HPE),
  ],
  [
    "whether bytes behind a response come along with it is the network's to decide",
    ({ method, parts }, theirs, ours) =>
      parts.length > 1 &&
      (`${without(theirs, HPE)}` === `${without(ours, HPE)}` ||
        (method === 'HEAD' && isReordered(without(theirs, HPE), without(ours, HPE)))),
  ],
]

const HPE = 'request error HPE'
const RESET = 'request error ECONNRESET socket hang up'
const has = (log, start) => log.some((line) => line.startsWith(start))
const without = (log, start) => log.filter((line) => !line.startsWith(start))
const isReordered = (theirs, ours) => `${[...theirs].sort()}` === `${[...ours].sort()}`

const LANES = 16

/**
 * @param {{ seed: number, first?: number, until: (done: number) => boolean }} options cases are numbered; `until` says when to stop
 * @returns {Promise<{ done: number, named: Map<string, number>, unnamed: string[] }>}
 */
async function fuzzResponses({ seed, first = 0, until }) {
  const cases = new Map()
  const server = await serve(cases)
  const { port } = /** @type {net.AddressInfo} */ (server.address())
  const named = new Map()
  const unnamed = []
  let next = first
  const ask = async (request, Agent, number, { method, keepAlive }) => {
    const agent = new Agent({ keepAlive })
    const req = request({ host: '127.0.0.1', port, path: `/${number}`, method, agent })
    const heard = listen(req)
    req.end(method === 'POST' ? SENT : undefined)
    const log = await heard
    agent.destroy()
    return log
  }
  const lane = async () => {
    while (!until(next - first)) {
      const number = next
      next += 1
      const made = caseFrom(random(seed * 1_000_003 + number))
      cases.set(number, made)
      const theirs = await ask(http.request, http.Agent, number, made)
      const ours = {
        'over the agent': await ask(http.request, keepwire.Agent, number, made),
        'by our own request': await ask(keepwire.http.request, keepwire.Agent, number, made),
      }
      cases.delete(number)
      for (const [way, log] of Object.entries(ours)) {
        if (`${log}` === `${theirs}`) continue
        const [name] = NAMED.find(([, isIt]) => isIt(made, theirs, log)) ?? []
        if (name !== undefined) named.set(name, (named.get(name) ?? 0) + 1)
        else
          unnamed.push(
            [`case ${number} ${way}: ${JSON.stringify(made)}`, 'the runtime:', ...theirs, 'keepwire:', ...log].join(
              '\n  ',
            ),
          )
      }
    }
  }
  await Promise.all(Array.from({ length: LANES }, lane))
  await new Promise((resolve) => server.close(resolve))
  return { done: next - first, named, unnamed }
}

module.exports = { fuzzResponses }
