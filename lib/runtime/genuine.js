'use strict'

// Which of the functions that requests and connections go through are the runtime's own, and which somebody has replaced: a
// mock, a tracer, a test. Some do so before this package is loaded, so a function is told by its source text. Text that no
// pattern knows is taken for a replacement: its requests then go through it, which costs speed and nothing else.

const http = require('node:http')
const net = require('node:net')
const { types } = require('node:util')

const { lazy } = require('./lazy.js')
const { before, dns, https, loadedTls, tls } = require('./late.js')

const isDeno = process.versions.deno !== undefined
const isNode = !isDeno && process.versions.bun === undefined

const { toString: sourceOf } = Function.prototype

/** How the runtimes' own functions read: on Node, on Bun, and, minified, on Deno. @type {Record<string, RegExp[]>} */
const SOURCES = {
  request: [
    /^function request\(url, options, cb\) \{\s*return new ClientRequest\(url, options, cb\);\s*\}$/,
    /^function request\(\.\.\.(\w+)\)\{return new \w+\(\1\[0\],\1\[1\],\1\[2\]\)\}$/,
    // Those of https.
    /^function request\(\.\.\.(\w+)\) ?\{\s*let \w+ ?= ?\{\};?\s*if ?\(typeof \1\[0\] ?=== ?["'`]string["'`]\)[\s\S]*\b_defaultAgent\b/,
  ],
  get: [
    /^function get\((url|input), options, cb\) \{\s*(?:const|let) req = request\(\1, options, cb\);\s*(?:req\.end\(\);\s*return req|return req\.end\(\), req);\s*\}$/,
    /^function get\(\.\.\.(\w+)\)\{const (\w+)=request\(\1\[0\],\1\[1\],\1\[2\]\);\2\.end\(\);return \2\}$/,
  ],
  ClientRequest: [
    /^function ClientRequest\(\w+, ?\w+, ?\w+\) ?\{\s*(?:FunctionPrototypeCall\(OutgoingMessage, this\)|OutgoingMessage\.call\(this\)|if \(!\(this instanceof ClientRequest\)\)|\w+\(\w+,this\))/,
  ],
  createConnection: [
    /^function (?:connect|createConnection)\(\.\.\.(\w+)\) ?\{\s*(?:const|let) \w+ ?= ?_?normalizeArgs\(\1\)/,
  ],
  socketConnect: [
    /^function ?(?:connect)?\(\.\.\.(\w+)\) ?\{[\s\S]{0,2000}\b\1\[0\]\[normalizedArgsSymbol\]/,
    /^function\(\.\.\.(\w+)\)\{let \w+;if\(\w+\(\1\[0\]\)&&\1\[0\]\[\w+\]\)/,
  ],
  secureConnect: [/^function connect\(\.\.\.(\w+)\) ?\{[\s\S]{0,100}\bnormalizeConnectArgs\(\1\)/],
  // Of agents: those of Node up to 20 have net.createConnection.
  agentConnection: [
    /^function (?:connect|createConnection)\(\.\.\.(\w+)\) ?\{\s*(?:const|let) \w+ ?= ?(?:net(?:\(\))?\.)?_?normalizeArgs\(\1\)/,
    /^function createConnection\(\w+,\w+\)\{const (\w+)=\w+&&\w+\._proxy;/,
  ],
  secureAgentConnection: [
    /^function createConnection\(port, host, options\) \{\s*if \(port !== null && typeof port === 'object'\)/,
    /^function createConnection\(\.\.\.(\w+)\) ?\{[\s\S]{0,200}\blet options(?:, cb)?;\s*if \(\1\[0\] !== null && typeof \1\[0\] ?=== ?['"]object['"]\)/,
    /^function createConnection\(\.\.\.(\w+)\)\{let \w+=\1\[0\];const \w+=typeof \1\[\1\.length-1\]===`function`/,
  ],
  agentSocket: [
    /^function createSocket\((\w+), ?(\w+), ?(\w+)\) ?\{[\s\S]{0,100}\b\2 ?= ?\{\s*__proto__: ?null, ?\.\.\.\2, ?\.\.\.this\.options\s*\}/,
  ],
  // Node's alone: the others' own connections do not look at it.
  secureContext: [
    /^function createSecureContext\(options\) \{\s*(?:if \(!options\) options = |options \|\|= )kEmptyObject;/,
  ],
  fetch: [
    /^(?:async )?function fetch\(input, init = undefined\) \{[\s\S]{0,400}\b(?:fetchImpl|lazyUndici\(\)\.fetch)\(input, init\);\s*\}$/,
    /^function fetch\(\) \{\s*\[native code\]\s*\}$/,
    /^function fetch\(\.\.\.(\w+)\)\{return lazyFetch\(\)\.fetch\(\.\.\.new \w+\(\1\)\)\}$/,
  ],
  checkServerIdentity: [/^function checkServerIdentity\(hostname, cert\) \{\s*const subject = cert\.subject;/],
  // Node's alone: undici's.
  Response: [/^class _?Response \{[\s\S]*\bwebidl\.converters\.ResponseInit\b/],
  lookup: [
    /^function lookup\(hostname, options, callback\) \{\s*(?:let hints = 0;|if \(typeof hostname !== "string" && hostname\))/,
    /^function lookup\((\w+),(\w+),(\w+)\)\{let \w+=0;let \w+=0;let \w+=false;/,
  ],
}

/** Verdicts, by name. @type {Record<string, WeakMap<Function, boolean>>} */
const verdicts = {}
for (const name of Object.keys(SOURCES)) verdicts[name] = new WeakMap()

/**
 * Whether a function is the runtime's own.
 * @param {keyof typeof SOURCES} name
 * @param {unknown} value
 */
function isGenuine(name, value) {
  if (typeof value !== 'function') return false
  let verdict = verdicts[name].get(value)
  if (verdict === undefined) {
    const text = types.isProxy(value) ? '' : sourceOf.call(value)
    verdict = SOURCES[name].some((pattern) => pattern.test(text))
    verdicts[name].set(value, verdict)
  }
  return verdict
}

/** How dd-trace's wrapper of `connect` reads, which says nothing of what it wraps. */
const OBSERVERS = /\bif \(!startICPCh\.hasSubscribers\b/

/**
 * What a tracer's wrapper says that it wraps: `__original` by shimmer's convention, as OpenTelemetry does, or a symbol of
 * that name (newrelic).
 * @param {any} wrapper
 * @returns {unknown}
 */
function wrappedBy(wrapper) {
  if (typeof wrapper !== 'function' || types.isProxy(wrapper)) return undefined
  if (Object.hasOwn(wrapper, '__original')) return wrapper.__original
  const symbol = Object.getOwnPropertySymbols(wrapper).find(({ description }) => description === 'original')
  return symbol === undefined ? undefined : wrapper[symbol]
}

const MOST_LAYERS = 16

/**
 * Whether a function does what the runtime's own does: it is that one, or a tracer's wrapper around it, which looks on.
 * @param {keyof typeof SOURCES} name
 * @param {unknown} value
 */
function onlyObserves(name, value) {
  return observes(value, (inner) => isGenuine(name, inner))
}

/**
 * @param {unknown} value
 * @param {(inner: unknown) => boolean} isOwn
 */
function observes(value, isOwn) {
  for (let layers = 0; layers < MOST_LAYERS; layers += 1) {
    if (isOwn(value)) return true
    const inner = wrappedBy(value)
    if (typeof inner !== 'function') return typeof value === 'function' && OBSERVERS.test(sourceOf.call(value))
    value = inner
  }
  return false
}

/** What the runtime's sockets are connected with, when it was last looked at. */
const seen = {
  connect: /** @type {unknown} */ (undefined),
  createConnection: /** @type {unknown} */ (undefined),
  socketConnect: /** @type {unknown} */ (undefined),
  secureConnect: /** @type {unknown} */ (undefined),
}
/** @type {string | undefined} */
let replacedConnect
/** How often that has changed. */
let generation = 0

const { Socket } = net

/**
 * The function by which somebody else connects sockets, or pretends to: undefined, if all are the runtime's own or a tracer's
 * around them. Asked for each request.
 * @returns {string | undefined}
 */
function replacedConnecting() {
  const secureConnect = loadedTls()?.connect
  // That node:tls has been loaded changes nothing.
  if (seen.secureConnect === undefined && isGenuine('secureConnect', secureConnect)) seen.secureConnect = secureConnect
  if (
    net.connect !== seen.connect ||
    net.createConnection !== seen.createConnection ||
    Socket.prototype.connect !== seen.socketConnect ||
    secureConnect !== seen.secureConnect
  )
    look()
  return replacedConnect
}

function look() {
  generation += 1
  seen.connect = net.connect
  seen.createConnection = net.createConnection
  seen.socketConnect = Socket.prototype.connect
  seen.secureConnect = loadedTls()?.connect
  replacedConnect = undefined
  if (!onlyObserves('createConnection', seen.connect)) replacedConnect = 'net.connect'
  else if (!onlyObserves('createConnection', seen.createConnection)) replacedConnect = 'net.createConnection'
  else if (!onlyObserves('socketConnect', seen.socketConnect)) replacedConnect = 'net.Socket.prototype.connect'
  else if (seen.secureConnect !== undefined && !onlyObserves('secureConnect', seen.secureConnect))
    replacedConnect = 'tls.connect'
}

/** Changes whenever how sockets are connected does: a socket of before is none that whoever replaced it has seen. */
function connectGeneration() {
  replacedConnecting()
  return generation
}

/** The runtime's own class of requests, also where somebody has put another in its place: those inherit from it. */
function findClientRequest() {
  const { OutgoingMessage } = http
  /** @type {any} */
  let prototype = http.ClientRequest.prototype
  while (prototype !== null && Object.getPrototypeOf(prototype) !== OutgoingMessage.prototype) {
    prototype = Object.getPrototypeOf(prototype)
  }
  const found = prototype?.constructor
  return typeof found === 'function' && isGenuine('ClientRequest', found) ? found : undefined
}

const found = findClientRequest()

/** @type {any} */
const ClientRequest = found ?? http.ClientRequest

/** Whether ClientRequest is the runtime's own: if not, nothing may be made of it that nobody asked for. */
const knowsClientRequest = found !== undefined

/**
 * Whether requests may never come as far as a socket: somebody answers them in place of the runtime's class, as nock and
 * msw do.
 */
function isClientRequestReplaced() {
  /** @type {any} */
  let theirs = http.ClientRequest
  for (let layers = 0; layers < MOST_LAYERS && theirs !== ClientRequest; layers += 1) {
    if (types.isProxy(theirs) || typeof theirs?.[kStandsFor] !== 'function') return true
    theirs = theirs[kStandsFor]()
  }
  return false
}

/** Where a class that install() puts in place of another one tells which: also one of another copy of this package. */
const kStandsFor = Symbol.for('keepwire.standsFor')

/** @type {unknown} */
let seenLookup
let lookupReplaced = false

/** Whether the runtime's sockets would have a function of somebody else's look names up. Asked for each request. */
function isLookupReplaced() {
  const { lookup } = dns()
  if (lookup !== seenLookup) {
    seenLookup = lookup
    // Deno's sockets do not look at it.
    lookupReplaced = !isDeno && !isGenuine('lookup', seenLookup)
  }
  return lookupReplaced
}

/** @type {unknown} */
let seenSecureContext
let secureContextReplaced = false

/**
 * Whether the runtime's connections would have somebody else's function say whom they trust, as one that adds the system's
 * authorities. Asked for each request over TLS.
 */
function isSecureContextReplaced() {
  const { createSecureContext } = tls()
  if (createSecureContext !== seenSecureContext) {
    seenSecureContext = createSecureContext
    secureContextReplaced = isNode && !onlyObserves('secureContext', seenSecureContext)
  }
  return secureContextReplaced
}

/**
 * The runtime's own class of agents, also where another copy of this package has put its own in its place.
 * @param {any} module
 * @returns {any}
 */
function agentClassOf({ Agent }) {
  while (Object.hasOwn(Agent, kStandsFor)) Agent = Agent[kStandsFor]()
  return Agent
}

const RuntimeAgent = agentClassOf(http)
const { globalAgent: firstGlobalAgent, IncomingMessage } = http

/** The runtime's own class of https agents. */
const runtimeSecureAgent = lazy(() => {
  const Agent = agentClassOf(https())
  // Loaded after this package, it may have been replaced since: by a class that extends it.
  for (
    let Class = Agent;
    before.https === undefined && Class?.prototype instanceof RuntimeAgent;
    Class = Object.getPrototypeOf(Class)
  ) {
    if (Object.getPrototypeOf(Class.prototype) === RuntimeAgent.prototype) return agentClassOf({ Agent: Class })
  }
  return Agent
})
if (before.https !== undefined) runtimeSecureAgent()

/** How the runtime tells who a peer is. @type {unknown} */
let runtimeCheck = before.tls?.checkServerIdentity

/** Whether the program says in the runtime's place who peers are. */
function isIdentityReplaced() {
  const { checkServerIdentity } = tls()
  if (checkServerIdentity === runtimeCheck) return false
  if (runtimeCheck !== undefined || !isGenuine('checkServerIdentity', checkServerIdentity)) return true
  runtimeCheck = checkServerIdentity
  return false
}

/** @param {unknown} check */
function isRuntimesCheck(check) {
  return !isIdentityReplaced() && check === runtimeCheck
}

module.exports = {
  ClientRequest,
  connectGeneration,
  firstGlobalAgent,
  IncomingMessage,
  isClientRequestReplaced,
  isGenuine,
  isIdentityReplaced,
  isLookupReplaced,
  isRuntimesCheck,
  isSecureContextReplaced,
  knowsClientRequest,
  kStandsFor,
  observes,
  onlyObserves,
  replacedConnecting,
  RuntimeAgent,
  runtimeSecureAgent,
}
