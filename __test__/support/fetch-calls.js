'use strict'

// Calls of fetch() from a seeded generator that knows how they are made: URLs, methods, headers and bodies in every form,
// members that make no sense, getters, Requests. The same numbers give the same call, so that it can be made twice: bodies and
// signals serve once.

const { Buffer } = require('node:buffer')

/** Chooses by the numbers of a generator, and keeps in words what it has chosen. */
class Dice {
  /** What was chosen, in order. @type {string[]} */
  told = []

  /** @param {() => number} next */
  constructor(next) {
    this.next = next
  }

  /** @param {number} chance */
  happens(chance) {
    return this.next() < chance
  }

  /** @param {number} below */
  number(below) {
    return Math.floor(this.next() * below)
  }

  /** @template T @param {readonly T[]} all @returns {T} */
  one(all) {
    return all[this.number(all.length)]
  }

  /**
   * One of several, told by its name.
   * @template T
   * @param {string} what
   * @param {Record<string, () => T>} all
   * @returns {T}
   */
  made(what, all) {
    const name = this.one(Object.keys(all))
    this.told.push(`${what}: ${name}`)
    return all[name]()
  }

  /** @param {string} word */
  has(word) {
    return this.told.includes(word)
  }
}

/**
 * @typedef {object} World where a call goes
 * @property {string} origin
 * @property {string} otherOrigin
 * @property {string} id by which the server's requests are known
 */

const ROUTES = [
  'text',
  'text',
  'text',
  'empty',
  'chunked',
  'close',
  'split',
  'informational',
  'status/204',
  'status/205',
  'status/304',
  'status/404',
  'status/500',
  'status/799',
  'reason',
  'noreason',
  'encoded/gzip',
  'encoded/deflate',
  'encoded/br',
  'encoded/gzip,%20br',
  'unknownencoding',
  'emptygzip',
  'badgzip',
  'cookies',
  'headers',
  'json',
  'bom',
  'invalidutf8',
  'multipart',
  'urlencoded',
  'trailers',
  'large',
  'half',
  'badstatus',
  'badheader',
  'nohttp',
  'nolocation/302',
]

const REDIRECTS = ['301', '302', '303', '307', '308', '300', '304']

/** @param {Dice} dice @param {World} world */
function pathOf(dice, { id, origin, otherOrigin }) {
  if (dice.happens(0.25)) {
    const to = dice.one([
      `/text/${id}`,
      `text/${id}`,
      `../encoded/gzip/${id}`,
      `${origin}/text/${id}#there`,
      `${otherOrigin}/text/${id}`,
      `${otherOrigin}/text/${id}?a=b`,
      `${otherOrigin.replace('://', '://user:pass@')}/text/${id}`,
      `${origin.replace('://', '://user:pass@')}/text/${id}`,
      `/redirect/307/${id}?to=/text/${id}`,
      `/redirect/303/${id}?to=/text/${id}`,
      `/redirect/302/${id}?to=${encodeURIComponent(`${otherOrigin}/text/${id}`)}`,
      `//${otherOrigin.replace(/^.*\/\//, '')}/text/${id}`,
      'ftp://127.0.0.1/',
      'data:,x',
      'http://',
      '',
      '/text/ü',
    ])
    const status = dice.one(REDIRECTS)
    dice.told.push(`redirect: ${status} ${to}`)
    return `/redirect/${status}/${id}?to=${encodeURIComponent(to)}`
  }
  const route = dice.one(ROUTES)
  dice.told.push(`route: ${route}`)
  const rest = dice.happens(0.6)
    ? ''
    : dice.one([
        '?',
        '?#',
        '#part',
        '?a=1&b=2',
        '?a=b c',
        '?ü=ö',
        '/..%2f',
        '/./',
        '/a\tb',
        '/%zz',
        '?\'"<>`',
        '?\\',
        '/a\\b',
      ])
  dice.told.push(`rest: ${rest}`)
  return `/${route}/${id}${rest}`
}

/** @param {Dice} dice @param {World} world */
function urlOf(dice, world) {
  const { origin } = world
  const path = pathOf(dice, world)
  const url = origin + path
  if (dice.happens(0.75)) return url
  return dice.made('url', {
    'space around': () => `  ${url}\n`,
    'upper case': () => url.replace(/^https?:/, (scheme) => scheme.toUpperCase()),
    backslashes: () => url.replace('://', ':\\\\'),
    'line ends within': () => url.replace('127', '1\n27'),
    credentials: () => url.replace('://', '://user:secret@'),
    'a user': () => url.replace('://', '://user@'),
    'dotted segments': () => `${origin}/x/../.${path}`,
    'a short address': () => url.replace('127.0.0.1', '127.1'),
    'a hexadecimal address': () => url.replace('127.0.0.1', '0x7f.1'),
    'full width': () => url.replace('127', '１２７'),
    'a dot behind': () => url.replace('127.0.0.1', '127.0.0.1.'),
    nothing: () => '',
    'a path': () => path,
    'no scheme': () => url.replace(/^https?:/, ''),
    'no host': () => 'http://',
    'a port beyond': () => 'http://127.0.0.1:99999/',
    'a bad port': () => 'http://127.0.0.1:6000/',
    'a bad host': () => 'http://a b/',
    'punycode that is none': () => 'https://xn--a-/',
    data: () => 'data:text/plain,hello',
    'data in capitals': () => 'DATA:text/plain;base64,aGVsbG8=',
    'a lost blob': () => 'blob:nodedata:0123',
    about: () => 'about:blank',
    file: () => 'file:///nowhere',
    ftp: () => 'ftp://127.0.0.1/',
    unknown: () => 'x-unknown://127.0.0.1/',
  })
}

const METHODS = ['GET', 'HEAD', 'POST', 'PUT', 'DELETE', 'OPTIONS', 'PATCH']

/** @param {Dice} dice */
function methodOf(dice) {
  if (dice.happens(0.75)) return dice.made('method', Object.fromEntries(METHODS.map((name) => [name, () => name])))
  return dice.made('odd method', {
    get: () => 'get',
    pOsT: () => 'pOsT',
    delete: () => 'delete',
    patch: () => 'patch',
    Patch: () => 'Patch',
    QUERY: () => 'QUERY',
    'of their own': () => "x!#$%&'*+-.^_`|~9",
    chicken: () => 'chicken',
    CONNECT: () => 'CONNECT',
    connect: () => 'connect',
    TRACE: () => 'TRACE',
    TRACK: () => 'TRACK',
    empty: () => '',
    'a space': () => 'GET ',
    'two words': () => 'A B',
    'a line end': () => 'GET\r\n',
    umlaut: () => 'Ü',
    null: () => null,
    number: () => 1,
    object: () => ({ toString: () => 'PUT' }),
    symbol: () => Symbol('GET'),
  })
}

const NAMES = [
  'accept',
  'Accept-Encoding',
  'accept-language',
  'Authorization',
  'cache-control',
  'Connection',
  'content-encoding',
  'Content-Length',
  'Content-Type',
  'cookie',
  'Cookie',
  'date',
  'DNT',
  'expect',
  'Host',
  'If-None-Match',
  'if-modified-since',
  'keep-alive',
  'origin',
  'pragma',
  'Proxy-Authorization',
  'proxy-connection',
  'range',
  'Referer',
  'sec-fetch-mode',
  'Set-Cookie',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
  'User-Agent',
  'via',
  'x-a',
  'X-A',
  'X-B',
  'x-long-name-of-their-own',
]

const ODD_NAMES = ['', 'a b', 'ü', 'a:b', 'a\n', ' x', '\0', '__proto__', 'constructor', '1', '(']

const VALUES = [
  '1',
  'abc',
  'a, b',
  '',
  '  around\t',
  'caf\xe9',
  'close',
  'keep-alive',
  'chunked',
  'text/plain',
  'bytes=0-3',
  '100-continue',
  '5',
  '"tag"',
  'x'.repeat(5000),
]

const ODD_VALUES = ['\u20ac', 'a\r\nb: c', 'a\0b', 'a\x01b', '\x7f', '\r\naround\r\n', '\ud800', 'a\nb', '\x80']

/** @param {Dice} dice */
function nameOf(dice) {
  return dice.happens(0.03) ? dice.one(ODD_NAMES) : dice.one(NAMES)
}

/** @param {Dice} dice @param {string} name @returns {any} */
function textFor(dice, name) {
  if (/^transfer-encoding$/i.test(name) && dice.happens(0.5)) return 'chunked'
  // undici waits for ever for a body of another length.
  if (/^content-length$/i.test(name)) return 'abc'
  if (/^connection$/i.test(name) && dice.happens(0.7))
    return dice.one(['close', 'keep-alive', 'Close', 'x-a', 'upgrade'])
  if (dice.happens(0.9)) return dice.one(VALUES)
  if (dice.happens(0.5)) return dice.one(ODD_VALUES)
  return dice.made('value', {
    number: () => 5,
    zero: () => -0,
    infinity: () => Number.POSITIVE_INFINITY,
    null: () => null,
    undefined: () => undefined,
    boolean: () => true,
    bigint: () => 5n,
    array: () => ['a', 'b'],
    object: () => ({ toString: () => 'told' }),
    'no string': () => Object.create(null),
    symbol: () => Symbol('value'),
    date: () => new Date(0),
    throws: () => ({
      toString() {
        throw new RangeError('toString')
      },
    }),
  })
}

/** @param {Dice} dice @returns {[string, any][]} */
function pairsOf(dice) {
  return Array.from({ length: dice.number(5) }, () => {
    const name = nameOf(dice)
    const value = textFor(dice, name)
    dice.told.push(`field: ${name}: ${typeof value === 'string' ? JSON.stringify(value.slice(0, 20)) : typeof value}`)
    return [name, value]
  })
}

/** @param {Dice} dice */
function headersOf(dice) {
  const pairs = pairsOf(dice)
  const literal = () => {
    /** @type {any} */
    const object = {}
    for (const [name, value] of pairs)
      Object.defineProperty(object, name, { value, enumerable: true, configurable: true })
    return object
  }
  const sendable = () => {
    const headers = new Headers()
    for (const [name, value] of pairs) {
      try {
        headers.append(name, value)
      } catch {
        // What Headers refuses is asked for in the other forms.
      }
    }
    return headers
  }
  if (dice.happens(0.4)) return dice.made('headers', { literal })
  return dice.made('headers', {
    Headers: sendable,
    pairs: () => pairs,
    'a Map': () => new Map(pairs),
    'a generator': () =>
      (function* () {
        yield* pairs
      })(),
    'pairs that are no arrays': () => pairs.map((pair) => new Set(pair)),
    'a pair of three': () => [...pairs, ['x-a', 'b', 'c']],
    'a pair of one': () => [...pairs, ['x-a']],
    'strings for pairs': () => ['ab', 'cd'],
    'no pairs': () => [1],
    'inherited fields': () => Object.create(literal()),
    'no prototype': () => Object.assign(Object.create(null), literal()),
    'a symbol for a name': () => ({ ...literal(), [Symbol('name')]: 'x' }),
    'hidden fields': () => Object.defineProperty(literal(), 'x-hidden', { value: '1', enumerable: false }),
    getters: () => ({
      ...literal(),
      get 'x-got'() {
        return 'got'
      },
    }),
    'a getter that throws': () => ({
      ...literal(),
      get 'x-got'() {
        throw new RangeError('getter')
      },
    }),
    'a Proxy': () => new Proxy(literal(), {}),
    'a class': () => Object.assign(new (class Fields {})(), literal()),
    'a subclass of Headers': () => new (class extends Headers {})(sendable()),
    'an iterator that is none': () => Object.assign(literal(), { [Symbol.iterator]: 5 }),
    'no iterator': () => Object.assign(literal(), { [Symbol.iterator]: undefined }),
    'a function': () => Object.assign(() => {}, literal()),
    'a string': () => 'x-a: b',
    'a number': () => 5,
    null: () => null,
    array: () => [],
  })
}

const TEXT = 'sixteen letters.'

/** @param {(controller: ReadableStreamDefaultController) => void} begin */
const streamOf = (begin) => new ReadableStream({ start: begin })

/** @param {Dice} dice @returns {any} */
function formOf(dice) {
  const form = new FormData()
  form.append('text', 'one\ntwo')
  if (dice.happens(0.5)) form.append('na"me\r\n', 'ü')
  if (dice.happens(0.5)) form.append('file', new Blob([TEXT], { type: 'text/x' }), 'fi"le.txt')
  if (dice.happens(0.3)) form.append('file', new Blob([]))
  return form
}

/** @param {Dice} dice @returns {any} */
function bodyOf(dice) {
  const bytes = Buffer.from(`${TEXT}\xff\0${TEXT}`, 'latin1')
  return dice.made('body', {
    string: () => TEXT,
    'long string': () => TEXT.repeat(10_000),
    'umlauts and half a pair': () => 'ü\ud800€',
    'an empty string': () => '',
    'a String': () => Object('object'),
    number: () => 12.5,
    zero: () => 0,
    false: () => false,
    bigint: () => 5n,
    symbol: () => Symbol('body'),
    object: () => ({ a: 1 }),
    'an object with toString': () => ({ toString: () => 'told' }),
    array: () => ['a', 'b'],
    date: () => new Date(0),
    'a function': () => function named() {},
    Buffer: () => bytes,
    'no bytes': () => Buffer.alloc(0),
    'a part of bytes': () => new Uint8Array(bytes.buffer, bytes.byteOffset + 2, 6),
    ArrayBuffer: () => new Uint8Array(bytes).buffer,
    DataView: () => new DataView(new Uint8Array(bytes).buffer, 1, 5),
    Uint16Array: () => new Uint16Array([1, 2, 0xffff]),
    'long bytes': () => Buffer.alloc(300_000, 'long '),
    'a detached buffer': () => {
      const { buffer } = new Uint8Array(8)
      structuredClone(buffer, { transfer: [buffer] })
      return buffer
    },
    'a shared buffer': () => new SharedArrayBuffer(8),
    'bytes of a shared buffer': () => new Uint8Array(new SharedArrayBuffer(8)),
    Blob: () => new Blob([bytes]),
    'a Blob of a type': () => new Blob([TEXT, bytes], { type: 'Text/X;a=b' }),
    'an empty Blob': () => new Blob([]),
    'a part of a Blob': () => new Blob([bytes]).slice(2, 9, 'x/y'),
    'a form': () => formOf(dice),
    'an empty form': () => new FormData(),
    'search parameters': () => new URLSearchParams('a=b c&ü=€&a='),
    'no search parameters': () => new URLSearchParams(),
    'a stream': () =>
      streamOf((controller) => {
        controller.enqueue(Buffer.from(TEXT))
        controller.enqueue(Buffer.alloc(0))
        controller.enqueue(bytes)
        controller.close()
      }),
    'a stream of bytes': () =>
      new ReadableStream(
        /** @type {any} */ ({
          type: 'bytes',
          start(/** @type {any} */ controller) {
            controller.enqueue(new Uint8Array(bytes))
            controller.close()
          },
        }),
      ),
    'an empty stream': () => streamOf((controller) => controller.close()),
    'a stream of strings': () =>
      streamOf((controller) => {
        controller.enqueue('text')
        controller.close()
      }),
    'a stream that fails': () => streamOf((controller) => controller.error(new RangeError('stream'))),
    'a stream that fails later': () => {
      let pulls = 0
      return new ReadableStream({
        pull(controller) {
          if (pulls++ > 0) throw new RangeError('stream')
          controller.enqueue(Buffer.from(TEXT))
        },
      })
    },
    'a slow stream': () => {
      let pulls = 0
      return new ReadableStream({
        async pull(controller) {
          await new Promise((resolve) => setImmediate(resolve))
          if (pulls++ > 3) controller.close()
          else controller.enqueue(Buffer.from(TEXT))
        },
      })
    },
    'a locked stream': () => {
      const stream = streamOf((controller) => controller.close())
      stream.getReader()
      return stream
    },
    'a stream that was read': () => {
      const stream = streamOf((controller) => controller.enqueue(Buffer.from(TEXT)))
      const reader = stream.getReader()
      reader.read()
      reader.releaseLock()
      return stream
    },
    'the body of a Response': () => new Response(TEXT).body,
    'an async generator': () =>
      (async function* () {
        yield Buffer.from(TEXT)
        yield bytes
      })(),
    'a generator': () =>
      (function* () {
        yield TEXT
      })(),
    'a Response': () => new Response(TEXT),
    null: () => null,
    undefined: () => undefined,
  })
}

/** @param {Dice} dice @returns {any} */
function signalOf(dice) {
  return dice.made('signal', {
    live: () => new AbortController().signal,
    aborted: () => AbortSignal.abort(),
    'aborted for a reason': () => AbortSignal.abort(new RangeError('reason')),
    'aborted for no error': () => AbortSignal.abort('reason'),
    'aborted for undefined': () => AbortSignal.abort(undefined),
    late: () => AbortSignal.timeout(0x7fff_ffff),
    'aborted at once': () => {
      const controller = new AbortController()
      process.nextTick(() => controller.abort(new RangeError('reason')))
      return controller.signal
    },
    null: () => null,
    undefined: () => undefined,
    object: () => ({}),
    'like one': () => ({ aborted: false, addEventListener() {}, removeEventListener() {} }),
    inherits: () => Object.create(new AbortController().signal),
    'an EventTarget': () => new EventTarget(),
    string: () => 'signal',
  })
}

/** @param {readonly any[]} usual @param {readonly any[]} [odd] */
const choice =
  (usual, odd = ['bogus', '', null, 5, {}, Symbol('odd')]) =>
  /** @param {Dice} dice */
  (dice) =>
    dice.happens(0.8) ? dice.one(usual) : dice.one(odd)

/** The other members: how likely each is, and what it can be. @type {Record<string, [number, (dice: Dice, world: World) => any]>} */
const MEMBERS = {
  redirect: [0.3, choice(['follow', 'error', 'manual', undefined])],
  signal: [0.2, signalOf],
  credentials: [0.08, choice(['omit', 'same-origin', 'include', undefined])],
  cache: [
    0.08,
    choice(['default', 'no-store', 'reload', 'no-cache', 'force-cache', undefined], ['only-if-cached', 'bogus', null]),
  ],
  mode: [0.08, choice(['cors', 'no-cors', 'same-origin', undefined], ['navigate', 'websocket', 'bogus', null])],
  referrer: [
    0.08,
    (dice, { origin, otherOrigin }) =>
      dice.one([
        '',
        'about:client',
        `${origin}/page#part`,
        `${otherOrigin}/page`,
        '/page',
        'http://',
        'data:,x',
        null,
        undefined,
        5,
      ]),
  ],
  referrerPolicy: [
    0.08,
    choice(['', 'no-referrer', 'origin', 'unsafe-url', 'same-origin', 'strict-origin-when-cross-origin', undefined]),
  ],
  duplex: [0.1, choice(['half', 'half', undefined], ['full', 'bogus', null, ''])],
  integrity: [
    0.05,
    choice(['', undefined, 'sha256-LPJNul+wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCQ='], ['sha256-AAAA', 'bogus', null, 5]),
  ],
  keepalive: [0.08, choice([true, false, undefined], [1, '', null, 'yes', {}])],
  priority: [0.04, choice(['high', 'low', 'auto', undefined])],
  window: [0.04, choice([null, undefined], ['x', 0, {}])],
  unknown: [0.1, (dice) => dice.one([1, 'x', null, {}])],
  body_: [0.03, () => 'x'],
}

/** @param {Dice} dice @param {World} world */
function membersOf(dice, world) {
  /** @type {any} */
  const init = {}
  if (dice.happens(0.6)) init.method = methodOf(dice)
  if (dice.happens(0.6)) init.headers = headersOf(dice)
  // Where the standard has none it is rare.
  if (dice.happens(/^(?:GET|HEAD)$/i.test(typeof init.method === 'string' ? init.method : 'GET') ? 0.05 : 0.8)) {
    init.body = bodyOf(dice)
    if (dice.happens(0.5) && typeof init.body === 'object' && init.body !== null) init.duplex = 'half'
  }
  for (const [name, [chance, make]] of Object.entries(MEMBERS)) {
    if (!dice.happens(chance)) continue
    init[name] = make(dice, world)
    if (name !== 'signal') dice.told.push(`${name}: ${typeof init[name] === 'string' ? init[name] : typeof init[name]}`)
  }
  return init
}

/**
 * @param {Dice} dice
 * @param {any} members
 * @param {World} world
 */
function initOf(dice, members, { origin, id }) {
  if (dice.happens(0.7)) return members
  return dice.made('init', {
    inherited: () => Object.create(members),
    'a class': () => Object.assign(new (class Init {})(), members),
    getters: () => {
      const init = {}
      for (const name of Object.keys(members)) Object.defineProperty(init, name, { get: () => members[name] })
      return init
    },
    'a getter that throws': () =>
      Object.defineProperty({ ...members }, dice.one(['cache', 'headers', 'method', 'mode', 'redirect', 'signal']), {
        get() {
          throw new RangeError('getter')
        },
      }),
    frozen: () => Object.freeze({ ...members }),
    'a Proxy': () => new Proxy(members, {}),
    'a function': () => Object.assign(() => {}, members),
    'an array': () => Object.assign([], members),
    'a Request': () => new Request(`${origin}/text/${id}`, { method: 'PUT', headers: { 'x-of': 'init' }, body: TEXT }),
    null: () => null,
    undefined: () => undefined,
    string: () => 'init',
    number: () => 5,
    symbol: () => Symbol('init'),
  })
}

/**
 * @param {() => number} next
 * @param {World} world
 * @returns {{ input: any, init: any, dice: Dice, hasFailed: boolean }} `hasFailed`: a Request can't be made so
 */
function callOf(next, world) {
  const dice = new Dice(next)
  const url = urlOf(dice, world)
  const members = membersOf(dice, world)
  const form = dice.number(20)
  let input = /** @type {any} */ (url)
  let init = initOf(dice, members, world)
  let hasFailed = false
  try {
    if (form === 0) input = new URL(url)
    if (form === 1) input = { toString: () => url }
    if (form === 2) input = Object(url)
    if (form >= 3 && form <= 6) {
      input = new Request(url, members)
      init = dice.happens(0.5) ? undefined : membersOf(dice, world)
      dice.told.push('input: Request')
      if (dice.happens(0.05)) input.text().catch(() => {})
    }
    if (form === 7) input = new (class extends Request {})(url)
    if (form === 8) {
      input = new Request(url, members).clone()
      init = undefined
      dice.told.push('input: Request')
    }
    if (form === 9 && dice.happens(0.2)) input = dice.one([null, undefined, 5, {}, Symbol('url'), () => {}])
  } catch {
    hasFailed = true
  }
  dice.told.push(`form: ${form}`)
  return { input, init, dice, hasFailed }
}

module.exports = { callOf }
