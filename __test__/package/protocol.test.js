'use strict'

// docs/internals/protocol.md describes the border between JavaScript and Rust by hand. Here it is held to the code: every call
// with its arguments, every command and record with its number, and every flag in the row of what it is a flag of.

const assert = require('node:assert')
const { readFileSync, readdirSync } = require('node:fs')
const path = require('node:path')
const { test } = require('node:test')

const layout = /** @type {Record<string, number>} */ (require('../../lib/bridge/layout.js'))

const root = path.join(__dirname, '..', '..')
const read = (/** @type {string} */ file) => readFileSync(path.join(root, file), 'utf8')

const page = read('docs/internals/protocol.md')

/** Addons of `npm run faults` alone have it, so `NativeBinding` does not. */
const OF_NO_RELEASE = 'injectFault'

/**
 * @param {string} folder
 * @param {string} extension
 * @returns {string} the texts of all files with this extension, whatever they are called
 */
function textsOf(folder, extension) {
  const files = readdirSync(path.join(root, folder), { recursive: true })
  return files
    .map(String)
    .filter((file) => file.endsWith(extension))
    .map((file) => read(path.join(folder, file)))
    .join('\n')
}

/**
 * @param {string} list what stands between the parentheses of a function: `a: Vec<(u8, u8)>, b: u32`
 * @returns {string[]} parameter by parameter
 */
function parametersOf(list) {
  const found = ['']
  let depth = 0
  for (const char of list.replace(/[=-]>/g, '→')) {
    if ('(<[{'.includes(char)) depth++
    if (')>]}'.includes(char)) depth--
    if (char === ',' && depth === 0) found.push('')
    else found[found.length - 1] += char
  }
  return found.map((one) => one.trim()).filter((one) => one !== '')
}

/**
 * @param {string} text that begins with `(`
 * @returns {string} what stands before the parenthesis that closes it
 */
function parenthesis(text) {
  let depth = 0
  for (const [at, char] of Array.from(text).entries()) {
    if (char === '(') depth++
    if (char === ')' && --depth === 0) return text.slice(1, at)
  }
  return assert.fail(`no end: ${text.slice(0, 80)}`)
}

/** @returns {Map<string, number>} the functions that Rust exports to JavaScript, and how many arguments each takes */
function exported() {
  const source = textsOf('src/bridge', '.rs')
  const found = new Map()
  for (const { 0: whole, 1: name, index } of source.matchAll(/^#\[napi\]\n(?:#\[.*\]\n)*pub fn (\w+)(?:<[^>]*>)?/gm)) {
    const parameters = parametersOf(parenthesis(source.slice(index + whole.length)))
    // napi-rs passes the environment itself.
    const given = parameters.filter((parameter) => !/: (?:&(?:'\w+ )?)?Env$/.test(parameter))
    const called = name.replace(/_(\w)/g, (_, letter) => letter.toUpperCase())
    found.set(called, given.length)
  }
  assert.strictEqual(found.size, source.match(/^#\[napi\]$/gm)?.length, 'this test reads each function')
  return found
}

/** @returns {Map<string, number>} the calls that the page lists, by the first column of its first table */
function documented() {
  const found = new Map()
  const [, table] = /^\| call \| .+\n\| -.+\n((?:\|.+\n)+)/m.exec(page) ?? assert.fail('there is a table of calls')
  for (const row of table.trim().split('\n')) {
    for (const [, name, parameters] of row.split(' | ')[0].matchAll(/`(\w+)\(([^`]*)\)`/g)) {
      assert.ok(!found.has(name), `${name} stands there once`)
      found.set(name, parametersOf(parameters).length)
    }
  }
  return found
}

/** @returns {Map<string, number>} the functions that JavaScript's types know */
function declared() {
  const [, type] = /@typedef \{object\} NativeBinding\n([\s\S]*?)\*\//.exec(textsOf('lib', '.js')) ?? assert.fail()
  const properties = type.matchAll(/@property \{(\(.*)\} (\w+)$/gm)
  return new Map(Array.from(properties, ([, signature, name]) => [name, parametersOf(parenthesis(signature)).length]))
}

/**
 * @param {Map<string, number>} listed by hand
 * @param {Map<string, number>} exported
 */
function assertSame(listed, exported) {
  const lines = (/** @type {Map<string, number>} */ calls) =>
    Array.from(calls, ([name, count]) => `${name}, ${count} arguments`).sort()
  assert.deepStrictEqual(
    {
      missing: lines(exported).filter((line) => !lines(listed).includes(line)),
      wrong: lines(listed).filter((line) => !lines(exported).includes(line)),
    },
    { missing: [], wrong: [] },
  )
}

test('the page of the protocol lists every call, with all its arguments', () => {
  assertSame(documented(), exported())
})

test("JavaScript's type of the addon has every call, with all its arguments", () => {
  const calls = exported()
  assert.ok(calls.delete(OF_NO_RELEASE))
  assertSame(declared(), calls)
})

/**
 * @param {'command' | 'record'} kind
 * @returns {{ number: number, name: string, meaning: string }[]} the rows of its table
 */
function rows(kind) {
  const table = new RegExp(`^\\| ${kind} \\| .+\\n\\| -.+\\n((?:\\|.+\\n)+)`, 'm').exec(page) ?? assert.fail(kind)
  return table[1]
    .trim()
    .split('\n')
    .map((row) => {
      const [number, name, , meaning] = row.slice(2, -2).split(' | ')
      return { number: Number(number), name, meaning }
    })
}

/** A constant of src/bridge/layout.rs. @typedef {{ module: string, name: string, type: string, value: number, says: string }} Constant */

/** @returns {Constant[]} each with its comment */
function constants() {
  const found = []
  let module = ''
  let says = ''
  for (const line of read('src/bridge/layout.rs').split('\n')) {
    const [, opened] = /^pub mod (\w+) \{/.exec(line) ?? []
    const [, comment] = /^ +\/\/\/ (.*)/.exec(line) ?? []
    const [, name, type, value] = /^ +pub const (\w+): (\w+) = (-?[\d.]+);/.exec(line) ?? []
    if (opened !== undefined) module = opened
    if (name !== undefined) found.push({ module, name, type, value: Number(value), says: says.trim() })
    if (comment !== undefined) says += ` ${comment}`
    else if (!line.includes('#[')) says = ''
  }
  return found
}

/** Whether a constant belongs to some of the commands, as its comment says: `RESPONSE, END: …`. */
const OF_SOME = /^([A-Z_]+(?:, [A-Z_]+)*): /

/** What JavaScript calls Rust's `record::END`: there are two ENDs. */
const hereOf = (/** @type {string} */ kind, /** @type {string} */ name) =>
  kind === 'record' && name === 'END' ? 'RESPONSE_END' : name

for (const kind of /** @type {const} */ (['command', 'record'])) {
  test(`the page of the protocol lists every ${kind}, in order, under the number that both sides have`, () => {
    const listed = rows(kind).map(({ name, number }) => [number, name])
    const own = constants().filter(({ module, says, type }) => module === kind && type === 'u8' && !OF_SOME.test(says))
    const ordered = own.sort((a, b) => a.value - b.value)
    assert.deepStrictEqual(
      listed,
      ordered.map(({ name, value }) => [value, name]),
    )
    assert.deepStrictEqual(
      listed.map(([number]) => number),
      ordered.map(({ name }) => layout[hereOf(kind, name)]),
    )
  })
}

/**
 * @param {string} meaning a row's last cell
 * @returns {number[]} the numbers behind its word `flags`, as far as the next semicolon
 */
function flagsIn(meaning) {
  const [, list = ''] = /\bflags ([^;]*)/.exec(meaning) ?? []
  return Array.from(list.matchAll(/(?:^|, | and )(\d+)(?=[ ,:]|$)/g), ([, number]) => Number(number))
}

/** What SOCKOPT's flags say of any option: whether it is on. */
const SWITCH = [0, 1]

for (const kind of /** @type {const} */ (['command', 'record'])) {
  test(`each flag of a ${kind} stands in its row, and no other does`, () => {
    const flags = constants().filter(({ module, says, type }) => module === kind && type === 'u8' && OF_SOME.test(says))
    assert.ok(flags.length > 0)
    for (const { meaning, name } of rows(kind)) {
      const own = flags.filter(({ says }) => OF_SOME.exec(says)?.[1].split(', ').includes(name))
      const wanted = name === 'SOCKOPT' ? SWITCH : own.map(({ value }) => value)
      const byValue = (/** @type {number} */ a, /** @type {number} */ b) => a - b
      assert.deepStrictEqual(flagsIn(meaning).sort(byValue), wanted.sort(byValue), `${name}: ${meaning}`)
    }
    const names = new Set(rows(kind).map(({ name }) => name))
    const lost = flags.filter(
      ({ says }) =>
        !OF_SOME.exec(says)?.[1]
          .split(', ')
          .every((name) => names.has(name)),
    )
    assert.deepStrictEqual(lost, [], 'each is a flag of something')
  })
}

test('what is no flag is named in its row, too: options, the place of a head, answers and purposes of leases', () => {
  const meaningOf = (/** @type {'command' | 'record'} */ kind, /** @type {string} */ wanted) =>
    rows(kind).find(({ name }) => name === wanted)?.meaning ?? assert.fail(wanted)
  const answerOf = (/** @type {string} */ call) =>
    page.split('\n').find((line) => line.startsWith(`| \`${call}(`)) ?? assert.fail(call)
  const all = constants()
  for (const { name, says, type, value } of all.filter(({ type }) => type === 'u16')) {
    const [, of] = OF_SOME.exec(says) ?? assert.fail(`${name} is a ${type} of what?`)
    if (name === 'SLOT_SHIFT') assert.ok(meaningOf('record', of).includes(`low ${value} bits`), name)
    else assert.match(meaningOf('command', of), new RegExp(`\`aux\` (?:[^;]*, )?${value} `), name)
  }
  for (const { module, name, value } of all) {
    const number = String(value).replace('-', '−')
    if (module === 'leased') assert.match(answerOf('lease'), new RegExp(`: (?:[^;]*, )?${number} `), name)
    if (module === 'purpose') assert.match(answerOf('lease'), new RegExp(`purpose (?:.*, )?${number} `), name)
    if (module === 'check_in') assert.match(answerOf('checkIn'), new RegExp(`(?:\\| |, )${number}(?: |: )`), name)
  }
})
