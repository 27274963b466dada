'use strict'

// Besides the layout of batches (layout.test.js), JavaScript and Rust share numbers and orders that each of them has by hand:
// reasons, ways to connect, counters in a row. They are compared whole. Sources are searched by what is in them, not by the names
// of their files.

const assert = require('node:assert')
const { readFileSync, readdirSync } = require('node:fs')
const path = require('node:path')
const { test } = require('node:test')

const { CLOSE_REASONS, missReason } = require('../../lib/common/reasons.js')
const { FIELDS } = require('../../lib/dashboard/layout.js')

/**
 * @param {string} folder
 * @param {string} extension
 */
function sourcesOf(folder, extension) {
  const root = path.join(__dirname, '../..', folder)
  const files = readdirSync(root, { recursive: true }).map(String)
  return files.filter((file) => file.endsWith(extension)).map((file) => readFileSync(path.join(root, file), 'utf8'))
}

const rust = sourcesOf('src', '.rs').join('\n')
const ours = sourcesOf('lib', '.js').join('\n')

/**
 * @param {string} text
 * @param {RegExp} pattern that one place matches
 * @returns {string} its first group
 */
function find(text, pattern) {
  const [found, more] = text.matchAll(new RegExp(pattern, 'gm'))
  assert.ok(found !== undefined, `nothing is like ${pattern}`)
  assert.ok(more === undefined, `more than one place is like ${pattern}`)
  return found[1]
}

/**
 * @param {string} signature as a function of Rust begins, behind `fn`
 * @returns {string} what it does
 */
function bodyOf(signature) {
  const starts = rust.split(`fn ${signature}`)
  assert.strictEqual(starts.length, 2, `there is one function ${signature}`)
  const indent = /(?<=\n)( *)\S*\s?$/.exec(starts[0])?.[1]
  return starts[1].slice(0, starts[1].indexOf(`\n${indent}}\n`))
}

/**
 * @param {string} text
 * @param {RegExp} pattern with the groups of a key and a value
 * @returns {Record<string, string>}
 */
const pairs = (text, pattern) =>
  Object.fromEntries(Array.from(text.matchAll(pattern), ([, key, value]) => [key, value]))

const all = (/** @type {string} */ text, /** @type {RegExp} */ pattern) =>
  Array.from(text.matchAll(pattern), ([, group]) => group)

const camel = (/** @type {string} */ name) => name.replace(/_(\w)/g, (_, letter) => letter.toUpperCase())

/**
 * Compares the order in which Rust tells numbers with the names that JavaScript gives them.
 * @param {RegExp} pattern how JavaScript takes them apart: `const [a, , b] = …`, with holes where it has no use for one
 * @param {string[]} order
 */
function assertTaken(pattern, order) {
  const lists = all(ours, new RegExp(pattern, 'gm'))
  assert.ok(lists.length > 0, `nothing is like ${pattern}`)
  for (const list of lists) {
    const names = list.split(',').map((name) => name.trim())
    const wanted = order.slice(0, names.length).map((name, at) => (names[at] === '' ? '' : name))
    assert.deepStrictEqual(names, wanted, String(pattern))
  }
}

/** What JavaScript calls the reasons. */
const REASONS = {
  PeerClosed: 'closed-by-peer',
  PeerReset: 'reset-by-peer',
  UnsolicitedBytes: 'unsolicited-bytes',
  IdleTimeout: 'idle-timeout',
  Evicted: 'evicted',
  AgentDestroyed: 'agent-destroyed',
  UserAbort: 'aborted',
  NotReusable: 'not-reusable',
  MaxRequests: 'max-requests',
  Error: 'error',
  KeepAliveOff: 'keep-alive-off',
  Limits: 'limits',
  ActiveTtl: 'socket-active-ttl',
  TimedOut: 'timed-out',
  Lent: 'lent',
  AddressGone: 'address-gone',
}

test('why connections are closed, and why none was idle, have the same numbers on both sides', () => {
  const variants = pairs(find(rust, /^pub enum CloseReason \{\n([\s\S]*?)\n\}/), /^ *(\w+) = (\d+),$/gm)
  const named = Object.entries(variants).map(([name, number]) => [Number(number), REASONS[name] ?? name])
  assert.deepStrictEqual([[0, 'unknown'], ...named], [...CLOSE_REASONS.entries()])
  assert.strictEqual(Number(find(rust, /^pub const REASONS: usize = (\d+);/)), CLOSE_REASONS.length, 'as many counters')

  const misses = pairs(bodyOf('number(self) -> u16'), /Miss::(\w+) => (\d+),/g)
  const said = Object.entries(misses).map(([name, number]) => [name, missReason(Number(number))])
  assert.deepStrictEqual(Object.fromEntries(said), {
    NoneIdle: 'none-idle',
    IdleTooLong: 'idle-too-long',
    AllBusy: 'all-busy',
  })
  assert.strictEqual(missReason(1), CLOSE_REASONS[1])
})

/** Fields of a row of counters that are called something else in Rust. */
const COUNTERS = { sent: 'sentBytes', received: 'receivedBytes', errors: 'failed', fallback: 'fellBack' }

const countersOf = (/** @type {string} */ text, /** @type {RegExp} */ pattern) =>
  all(text, pattern).map((name) => COUNTERS[name] ?? camel(name))

const counters = countersOf(bodyOf('counters(&self)'), /&self\.(\w+)/g)
const times = countersOf(bodyOf('times(&self)'), /&self\.(\w+)/g)

test('a row of the overview has the fields that the dashboard reads, in their order', () => {
  const row = rust.split('impl BindingOverview {')[1].split('\n    }\n')[0]
  const classes = Number(find(rust, /^pub const STATUS_CLASSES: usize = (\d+);/))
  const summary = find(bodyOf("summary<'a>("), /^ *\[count as f64, ([\w, ]+)\]$/).split(', ')
  const parts = ['count', ...summary.map((part) => ({ half: 'p50', most: 'p99' })[part] ?? part)]
  /** What each step adds, by how it begins. @type {Record<string, string[]>} */
  const steps = {
    'counts.map': countersOf(find(row, /let counts = \[(.*)\];/), /counts\.(\w+)/g),
    'limit.map_or': ['limit'],
    'Metrics::counters': counters,
    'classes.fold': Array.from({ length: classes }, (_, first) => (first === 0 ? 'other' : `${first}xx`)),
    // One after the other.
    count: countersOf(find(row, /let tallies: .*? = \[(.*)\];/), /part\.(\w+)/g),
    '|part| part.ended.each_ref()': CLOSE_REASONS.map((reason) => `closed.${reason}`),
    'Histogram::summary': times.flatMap((time) => parts.map((part) => `${time}.${part}`)),
  }
  const told = Array.from(
    row.matchAll(/\brow\.(?:extend|push)\(\s*([\w.:]+)|\bsum\(parts, (.*), row\)/g),
    ([, extended, summed]) => steps[extended ?? summed] ?? assert.fail(`what is ${extended ?? summed}?`),
  )
  assert.deepStrictEqual(told.flat(), [...FIELDS])
})

test('counters are taken apart in the order in which they are told', () => {
  const counts = all(bodyOf('numbers(counts: Counts)'), /counts\.(\w+)/g).map(camel)
  assertTaken(/const \[([\w, ]+)\] = told\.counts$/, counts)
  assertTaken(/const \[(dialing,[\w, ]+)\] = counts$/, counts)
  assertTaken(/const \[([\w, ]+)\] = told\.totals$/, counters)
  const most = all(ours, /const \[([\w, ]+)\] = told\.totals$/gm).map((list) => list.split(',').length)
  const ofAnAgent = Number(find(rust, /^const OF_AN_AGENT: usize = (\d+);/))
  assert.deepStrictEqual(
    most.sort((a, b) => a - b),
    [ofAnAgent, counters.length],
    'an agent has fewer than the process',
  )
  assertTaken(
    /const \[([\w, ]+)\] = told\.times\.map\(/,
    times.map((time) => `${time}Ms`),
  )
})

test('what proxies did, and what was remembered of names, are taken apart in the order in which they are told', () => {
  assertTaken(/const \[([\w, ]+)\] = totals$/, all(find(rust, /totals: vec!\[(passages.*)\]/), /\w+\.(opened|reused)/g))
  assertTaken(/const \[([\w, ]+)\] = last$/, all(find(rust, /last: .*vec!\[(.*)\]/), /last\.(\w+)/g))
  const told = bodyOf('cached_names(agent: AgentId) -> Option<Vec<f64>>')
  const first = find(told, /once\(stats\.(\w+)/)
  assertTaken(/const \[(entries,[\w, ]+)\] = counts$/, [first, ...all(find(told, /= \[(.*)\];/), /stats\.(\w+)/g)])
})

test('states of connections have the same numbers on both sides', () => {
  const states = pairs(find(rust, /^ *state: match [\w.]+ \{\n([\s\S]*?)\}/), /State::(\w+) => (\d+)/g)
  const [list] = all(ours, /^const STATES = .*\(\[(.*)\]\)\)$/gm)
  const named = list.split(', ').map((name, number) => [name.replace(/'/g, ''), String(number)])
  assert.deepStrictEqual(
    Object.entries(states).map(([name, number]) => [name.toLowerCase(), number]),
    named,
  )
})

test('ways to tell a proxy where to have the same numbers on both sides', () => {
  const arms = find(rust, /^ *let way = match [\w.]+ \{\n([\s\S]*?)\n *_ =>/)
  const theirs = Array.from(
    arms.matchAll(/(\d+) => Way::(\w+)(?: \{\s*version: Version::V(\d))?/g),
    ([, number, way, version = '']) => [way.toUpperCase() + version, Number(number)],
  )
  assert.deepStrictEqual(Object.fromEntries(theirs), waysHere())
})

function waysHere() {
  const found = pairs(ours, /^const (TUNNEL|FORWARD|SOCKS\d) = (\d+)$/gm)
  return Object.fromEntries(Object.entries(found).map(([way, number]) => [way, Number(number)]))
}

test('who looks up the names of connections has the same numbers on both sides', () => {
  const arms = find(rust, /^ *asks: match [\w.]+ \{\n([\s\S]*?)\n *\}/)
  const theirs = Array.from(arms.matchAll(/(\d+|_) => Asks::(\w+)/g), ([, number, name], at) => [
    `ASKS${name.replace(/[A-Z]/g, (letter) => `_${letter}`).toUpperCase()}`,
    // The last one stands for all other numbers.
    number === '_' ? String(at) : number,
  ])
  assert.deepStrictEqual(pairs(ours, /^const (ASKS_\w+) = (\d+)$/gm), Object.fromEntries(theirs))
})

test("whose judgement of certificates is asked for, and what decoding came to, have both sides' numbers", () => {
  const arms = find(rust, /^ *let dialect = match dialect \{\n([\s\S]*?)\n *\};/)
  const dialects = pairs(arms, /(\d+|_) => tls::Dialect::(\w+)/g)
  const here = find(ours, /^const DIALECT = (.*)$/)
  assert.deepStrictEqual(dialects, { 1: 'BoringSsl', 2: 'Webpki', _: 'OpenSsl' })
  assert.strictEqual(here, 'isNode ? 0 : isBun ? 1 : 2')

  const states = find(rust, /^ *let \(state, code, message\) = match worked \{\n([\s\S]*?)\n {8}\};/)
  const numbers = Object.fromEntries(
    Array.from(states.matchAll(/Ok\(Ok\(Progress::(\w+).*\((\d),/g), ([, name, number]) => [name, number]),
  )
  const failed = find(states, /^ *\((\d), code\.to_owned/)
  assert.deepStrictEqual(pairs(ours, /^const (MORE|OVER|FAILED) = (\d+)$/gm), {
    MORE: numbers.Full,
    OVER: numbers.Over,
    FAILED: failed,
  })
})
