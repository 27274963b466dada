'use strict'

// Rooms of src/ stand on floors, as those of lib/ do: a file uses only what is in its own room or on a floor below.
// ARCHITECTURE.md shows them, the highest first. Within a room no files use each other in a circle; a folder's mod.rs and
// the files in that folder count as one module, since these often implement what that one declares.

const assert = require('node:assert')
const fs = require('node:fs')
const path = require('node:path')
const { test } = require('node:test')

const root = path.resolve(__dirname, '../..')
const src = path.join(root, 'src')

/** The rooms as ARCHITECTURE.md lists them, one a line, each with a word on what is in it. */
function floors() {
  const text = fs.readFileSync(path.join(root, 'ARCHITECTURE.md'), 'utf8')
  const [, block] = /```floors-src\n([\s\S]*?)```/.exec(text) ?? []
  assert.ok(block, 'ARCHITECTURE.md lists the floors')
  return block
    .trim()
    .split('\n')
    .map((line) => line.trim().split(/\s/)[0])
}

/**
 * @param {string} file relative to src/
 * @returns {string} its module: `connect::tls::names`, `` for lib.rs
 */
function moduleOf(file) {
  return file
    .replace(/\.rs$/, '')
    .replace(/(^|\/)(mod|lib)$/, '')
    .split('/')
    .join('::')
}

/** @param {string} module */
function parentOf(module) {
  return module.split('::').slice(0, -1).join('::')
}

/**
 * @param {string} tree what a `use` names: `crate::a::{b, c::{self, d as e}}`
 * @returns {string[]} path by path
 */
function pathsOf(tree) {
  const open = tree.indexOf('{')
  if (open === -1) return [tree.replace(/ as \w+/, '').trim()]
  const prefix = tree.slice(0, open).trim()
  const branches = ['']
  let depth = 0
  for (const char of tree.slice(open + 1, tree.lastIndexOf('}'))) {
    if (char === '{') depth++
    if (char === '}') depth--
    if (char === ',' && depth === 0) branches.push('')
    else branches[branches.length - 1] += char
  }
  return branches
    .filter((branch) => branch.trim() !== '')
    .flatMap((branch) => pathsOf(branch).map((one) => prefix + one))
}

/**
 * @param {string} source
 * @returns {string} it without comments, strings and what is compiled for tests only
 */
function production(source) {
  return source
    .replace(/\/\/.*/g, '')
    .replace(/"(?:\\[\s\S]|[^"\\])*"/g, '""')
    .replace(/#\[cfg\(test\)\]\s*(?:pub(?:\(\w+\))? )?mod \w+ \{[\s\S]*$/, '')
    .replace(/#\[cfg\(test\)\]\s*(?:pub(?:\(\w+\))? )?(?:mod|use) [^;]*;/g, '')
}

/** @returns {Map<string, Set<string>>} by module, the modules that it uses */
function uses() {
  const files = fs
    .readdirSync(src, { recursive: true })
    .map((entry) => String(entry).split(path.sep).join('/'))
    .filter((file) => file.endsWith('.rs') && !/(^|\/)(tests?|\w+_tests|fuzz_model)(\.rs|\/)/.test(file))
  const modules = new Set(files.map(moduleOf))
  const found = new Map()
  for (const file of files) {
    const module = moduleOf(file)
    // What lib.rs shows to fuzz targets is no use of its own.
    if (module === '') continue
    const paths = []
    const code = production(fs.readFileSync(path.join(src, file), 'utf8')).replace(/\buse\s+([^;]+);/g, (_, tree) => {
      paths.push(...pathsOf(tree.replace(/\s+/g, ' ')))
      return ''
    })
    for (const [named] of code.matchAll(/(?<![\w:])[a-z_]\w*(?:::\w+)+/g)) paths.push(named)
    const used = new Set()
    for (const named of paths) {
      const [first, ...rest] = named.split('::')
      let segments
      if (first === 'crate') segments = rest
      else if (first === 'self') segments = [...module.split('::'), ...rest]
      else if (first === 'super') {
        const ups = named.match(/^(?:super::)+/)?.[0].split('::').length ?? 1
        segments = [...module.split('::').slice(0, 1 - ups || undefined), ...named.split('::').slice(ups - 1)]
      } else if (modules.has(`${module}::${first}`)) segments = [...module.split('::'), first, ...rest]
      else continue
      while (segments.length > 0 && !modules.has(segments.join('::'))) segments.pop()
      const other = segments.join('::')
      if (other !== '' && other !== module) used.add(other)
    }
    found.set(module, used)
  }
  return found
}

/** @param {string} module */
function roomOf(module) {
  return module.split('::')[0]
}

test('no file of src uses one on a floor above its own', () => {
  const order = floors()
  const wrong = []
  for (const [module, used] of uses()) {
    const floor = order.indexOf(roomOf(module))
    assert.notStrictEqual(floor, -1, `${module} is in a room that ARCHITECTURE.md lists`)
    for (const other of used) {
      const theirs = order.indexOf(roomOf(other))
      if (roomOf(other) !== roomOf(module) && theirs <= floor) wrong.push(`${module} uses ${other}`)
    }
  }
  assert.deepStrictEqual(wrong, [])
})

test('lib.rs has the same rooms, in the same order', () => {
  const text = fs.readFileSync(path.join(src, 'lib.rs'), 'utf8')
  const listed = Array.from(text.matchAll(/^\/\/! \* `(\w+)`:/gm), ([, room]) => room)
  assert.deepStrictEqual(listed, floors())
  const declared = Array.from(text.matchAll(/^mod (\w+);/gm), ([, room]) => room)
  assert.deepStrictEqual(declared.sort(), listed.sort())
})

test('no files of src use each other in a circle', () => {
  const modules = uses()
  const done = new Set()
  /** @type {(module: string, path: string[]) => void} */
  const visit = (module, path) => {
    assert.ok(!path.includes(module), `a circle: ${[...path, module].join(' → ')}`)
    if (done.has(module)) return
    for (const other of modules.get(module) ?? []) {
      // Not what the mod.rs of its own folder, or of one around it, declares.
      if (!`${parentOf(module)}::`.startsWith(`${other}::`)) visit(other, [...path, module])
    }
    done.add(module)
  }
  for (const module of modules.keys()) visit(module, [])
})

test('what a file of src uses is found in each of the ways in which it may be said', () => {
  assert.deepStrictEqual(pathsOf('crate::a::{b, c::{self, d as e}, f}'), [
    'crate::a::b',
    'crate::a::c::self',
    'crate::a::c::d',
    'crate::a::f',
  ])
  const found = uses()
  const sees = (module, other) => assert.ok(found.get(module)?.has(other), `${module} uses ${other}`)
  sees('engine', 'io_thread')
  sees('engine', 'engine::clock')
  sees('engine::leases', 'engine')
  sees('engine::leases', 'engine::connections')
  sees('connect::tls::verify', 'connect::tls::certificate')
  assert.ok(!found.get('exchange::state')?.has('exchange::connection'))
})
