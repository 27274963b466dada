'use strict'

// Rooms of lib/ stand on floors: a module requires only what is in its own room or on a floor below. ARCHITECTURE.md shows
// them, the highest first. Types may come from anywhere: they cost nothing and are gone when the program runs.

const assert = require('node:assert')
const fs = require('node:fs')
const path = require('node:path')
const { test } = require('node:test')

const root = path.resolve(__dirname, '../..')
const lib = path.join(root, 'lib')
const DOORS = 'doors'
/** All modules in few files, which a package has (scripts/bundle.js). */
const BUNDLE = /^bundle\./

/** The rooms as ARCHITECTURE.md lists them, one a line, each with a word on what is in it. */
function floors() {
  const [, block] = /```floors\n([\s\S]*?)```/.exec(fs.readFileSync(path.join(root, 'ARCHITECTURE.md'), 'utf8')) ?? []
  assert.ok(block, 'ARCHITECTURE.md lists the floors')
  return block
    .trim()
    .split('\n')
    .map((line) => line.trim().split(/\s/)[0])
}

/** @returns {Map<string, string[]>} by module, relative to lib/, the modules that it requires, anywhere in it */
function imports() {
  const modules = new Map()
  for (const entry of fs.readdirSync(lib, { recursive: true })) {
    const file = String(entry).split(path.sep).join('/')
    if (!file.endsWith('.js') || BUNDLE.test(file)) continue
    const source = fs.readFileSync(path.join(lib, file), 'utf8')
    const required = [...source.matchAll(/\brequire\('(\.[^']*)'\)/g)].map(([, wanted]) =>
      path.posix.join(path.posix.dirname(file), wanted),
    )
    modules.set(
      file,
      required.filter((name) => name !== '../package.json' && !BUNDLE.test(name)),
    )
  }
  return modules
}

function roomOf(file) {
  return file.includes('/') ? file.split('/')[0] : DOORS
}

test('no module requires one on a floor above its own', () => {
  const order = floors()
  const wrong = []
  for (const [file, required] of imports()) {
    const floor = order.indexOf(roomOf(file))
    assert.notStrictEqual(floor, -1, `${file} is in a room that ARCHITECTURE.md lists`)
    for (const other of required) {
      const theirs = order.indexOf(roomOf(other))
      if (roomOf(other) !== roomOf(file) && theirs <= floor) wrong.push(`${file} requires ${other}`)
    }
  }
  assert.deepStrictEqual(wrong, [])
})

test('no modules require each other in a circle', () => {
  const modules = imports()
  const done = new Set()
  const visit = (file, path) => {
    assert.ok(!path.includes(file), `a circle: ${[...path, file].join(' → ')}`)
    if (done.has(file)) return
    assert.ok(modules.has(file), `${file}, required by ${path.at(-1)}, is there by its whole name`)
    for (const other of modules.get(file)) visit(other, [...path, file])
    done.add(file)
  }
  for (const file of modules.keys()) visit(file, [])
})

test('one module says BEGIN and gives connections back to the engine', () => {
  const only = /\bnative\.checkIn\(|\bsubmission\.begin\(/
  const saying = [...imports().keys()].filter((file) => only.test(fs.readFileSync(path.join(lib, file), 'utf8')))
  assert.deepStrictEqual(saying, ['exchange/exchange.js'])
})
