'use strict'

// `node scripts/bundle.js`: all modules of lib/ as few files, lib/bundle.js and its parts, with source maps, for the package: npm runs it
// before it packs. `node scripts/bundle.js --remove`, after it has, takes them away: a checkout loads its files.
//
// Each module becomes a function of its own, called when something requires it first. Its lines stay as they are, but for those that
// are comments, and for characters that would have an engine keep a file in two bytes each.
//
// lib/bundle.js has what rooms.js requires at once. What is needed later, if at all, is in parts by what it is for. lib/bundle.later.js has
// those of which nobody knows when: it is read with lib/bundle.js, and a part of it compiled when somebody wants what is in it. Those that
// belong to a door or to a runtime are files of their own, and loaded with that.

const fs = require('node:fs')
const path = require('node:path')

const { root } = require('./process.js')
const { UserError, runScript } = require('./report.js')

const BUNDLE = 'bundle.js'
/** What the doors load. */
const ENTRY = 'rooms.js'

/**
 * The parts, each with the modules it is for: it has what these require, unless that is in one before it.
 * @type {{ name: string, isLater: boolean, roots: string[] }[]}
 */
const PARTS = [
  {
    name: 'rare',
    isLater: true,
    roots: [
      'agent/lifecycle.js',
      'client-request/fallback-deadlines.js',
      'common/proxies/environment.js',
      'exchange/errors.js',
      'exchange/gate.js',
      'exchange/lookup.js',
    ],
  },
  { name: 'secure', isLater: true, roots: ['agent/https-agent.js', 'tls/handshake.js'] },
  { name: 'stats', isLater: true, roots: ['agent/stats.js', 'agent/totals.js', 'agent/connections.js'] },
  { name: 'fetch', isLater: true, roots: ['fetch/index.js', 'api/global-fetch.js'] },
  { name: 'legacy', isLater: false, roots: ['bun-legacy/request.js', 'bun-legacy/response.js'] },
  { name: 'api', isLater: true, roots: ['api/http.js', 'api/https.js', 'api/install.js', 'api/explain.js'] },
  { name: 'metrics', isLater: false, roots: ['metrics/index.js', 'otel/producer.js', 'otel/spans.js'] },
  { name: 'dashboard', isLater: false, roots: ['dashboard/index.js'] },
  { name: 'command', isLater: false, roots: ['command/main.js'] },
]

/** @param {string} part */
const fileOf = (part) => `bundle.${part}.js`
const LATER = fileOf('later')

/** A line that is nothing, or one comment from its beginning to its end. */
const COMMENT_OR_NOTHING = /^\s*(\/\/.*|\/\*\*((?!\*\/).)*\*\/)?$/

/** What is loaded when somebody needs it: lib/runtime/late.js. */
const LATE = ['node:crypto', 'node:dns', 'node:https', 'node:tls']

/** Asked for when something is bundled: where an addon is only built, there may be no more than the scripts. */
const manifest = () => require('../package.json')

/** The first line of a file with parts: by it lib/bundle.js knows one of its own package. */
const mark = () => `// Parts of lib/bundle.js of keepwire ${manifest().version}: scripts/bundle.js.`

const HEAD = `'use strict'

// Made of the files beside this one, which have the comments: scripts/bundle.js.

const fs = require('node:fs')
const Module = require('node:module')
const path = require('node:path')

const { _compile: compile } = Module.prototype
const loaded = Object.create(null)

function __load(id) {
  if (id in loaded) return loaded[id].exports
  const module = { exports: {} }
  loaded[id] = module
  let isDone = false
  try {
    find(id)(module, path.join(__dirname, path.dirname(id)))
    isDone = true
  } finally {
    if (!isDone) delete loaded[id]
  }
  return module.exports
}

function find(id) {
  if (id in modules) return modules[id]
  const name = places[id]
  Object.assign(modules, (doors[name]?.() ?? part(name))(__load, requireNode))
  return modules[id]
}

// What has been required here is what it was, whatever is in its place when a part is compiled.
const required = Object.create(null)

function requireNode(name) {
  return required[name]
}

const isBun = process.versions.bun !== undefined
const vm = isBun ? require('node:vm') : undefined

// Node's own way to compile a module knows source maps. A test runner's modules are none of Node's, and not compiled by it.
const isNodes = module.constructor === Module && typeof compile === 'function'

function compiled(file, text) {
  const made = new Module(file, module)
  if (isBun) new vm.Script(\`(function (exports) {\${text}\\n})\`, { filename: file }).runInThisContext()(made.exports)
  else {
    made.filename = file
    made.paths = module.paths
    compile.call(made, text, file)
  }
  return made.exports
}

// Modules that are needed later, if at all: bytes until then.
function read(name) {
  const file = path.join(__dirname, name)
  try {
    const bytes = fs.readFileSync(file)
    if (bytes.latin1Slice(0, MARK.length) === MARK) return { file, bytes }
  } catch {}
  return undefined
}

function part(name) {
  if (later === undefined) return others[name]
  const [start, end, line] = pieces[name]
  // Each line has its number in the file, for the source map.
  return compiled(later.file, '\\n'.repeat(line) + later.bytes.latin1Slice(start, end) + mapping)[name]
}

`

/**
 * @param {string} file relative to lib/
 * @returns {{ lines: [text: string, at: number][], required: string[], first: string[], node: string[] }} lines with their numbers;
 *   what they require, what of that as soon as they run, and what of the runtime
 */
function read(file) {
  const required = new Set()
  const first = new Set()
  const node = new Set()
  /** @type {[string, number][]} */
  const lines = []
  let isComment = false
  for (const [at, line] of fs
    .readFileSync(path.join(root, 'lib', file), 'utf8')
    .split('\n')
    .entries()) {
    const wasComment = isComment
    if (isComment) isComment = !line.endsWith('*/')
    else isComment = /^\s*\/\*\*(?!.*\*\/)/.test(line)
    if (wasComment || isComment || COMMENT_OR_NOTHING.test(line)) continue
    for (const [, name] of line.matchAll(/\brequire\('(node:[^']*)'\)/g)) node.add(name)
    const text = line.replace(/\brequire\('(\.[^']*)'\)/g, (call, wanted) => {
      const other = path.posix.join(path.posix.dirname(file), wanted)
      if (other === '../package.json')
        return `(${JSON.stringify({ name: manifest().name, version: manifest().version })})`
      required.add(other)
      if (/^\S/.test(line) && !line.includes(`=> ${call}`) && !line.includes(`? ${call}`)) first.add(other)
      return `__load('${other}')`
    })
    lines.push([plain(text), at])
  }
  return { lines, required: [...required], first: [...first], node: [...node] }
}

/**
 * In letters that take a byte: others are in texts only.
 * @param {string} line
 */
function plain(line) {
  return line.replace(/[^\0-\x7f]/g, (letter) => `\\u${letter.charCodeAt(0).toString(16).padStart(4, '0')}`)
}

/** @typedef {ReturnType<typeof read>} Source */

/** @returns {{ name: string, isLater: boolean, sources: Map<string, Source> }[]} all modules, the first file's first */
function parts() {
  const taken = new Set()
  /**
   * @param {Map<string, Source>} sources
   * @param {string} file
   * @param {'first' | 'required'} which
   */
  const add = (sources, file, which) => {
    if (taken.has(file)) return
    taken.add(file)
    const source = read(file)
    sources.set(file, source)
    for (const other of source[which]) add(sources, other, which)
  }
  const all = [{ name: '', isLater: false, roots: [ENTRY] }, ...PARTS].map(({ name, isLater, roots }) => {
    const sources = new Map()
    for (const file of roots) add(sources, file, name === '' ? 'first' : 'required')
    return { name, isLater, sources }
  })
  const missing = all
    .flatMap(({ sources }) => [...sources.values()].flatMap(({ required }) => required))
    .filter((one) => !taken.has(one))
  if (missing.length > 0) throw new UserError(`no part of the bundle has ${missing.join(', ')}`)
  return all
}

/** @returns {Map<string, [text: string, at: number][]>} the lines of each module that is loaded in the end, by its file */
function modules() {
  return new Map(
    parts().flatMap(({ sources }) =>
      Array.from(sources, ([file, { lines }]) => /** @type {[string, any]} */ ([`lib/${file}`, lines])),
    ),
  )
}

const DIGITS = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/'

/**
 * A number as source maps write it: the sign last, five bits a digit.
 * @param {number} value
 */
function encoded(value) {
  let text = ''
  let rest = value < 0 ? -value * 2 + 1 : value * 2
  do {
    const digit = rest % 32
    rest = Math.floor(rest / 32)
    text += DIGITS[rest > 0 ? digit + 32 : digit]
  } while (rest > 0)
  return text
}

/** A file that is made of modules, with its source map. */
class Made {
  text = ''
  /** @type {string[]} */
  #sources = []
  #lines = 0
  #mappings = ''
  #lastSource = 0
  #lastLine = 0

  /** @param {string} name */
  constructor(name) {
    this.name = name
    this.mapping = `//# sourceMappingURL=${name}.map\n`
  }

  /** How many lines it has. */
  get lines() {
    return this.#lines
  }

  /** @param {string} text whole lines that are in no module */
  add(text) {
    const count = text.split('\n').length - 1
    this.text += text
    this.#lines += count
    this.#mappings += ';'.repeat(count)
  }

  /** @param {Map<string, Source>} sources */
  addModules(sources) {
    for (const [file, { lines }] of sources) {
      this.add(`  '${file}'(module, __dirname) {\n`)
      const source = this.#sources.push(file) - 1
      for (const [text, at] of lines) {
        this.text += `${text}\n`
        this.#lines += 1
        this.#mappings += `A${encoded(source - this.#lastSource)}${encoded(at - this.#lastLine)}A;`
        this.#lastSource = source
        this.#lastLine = at
      }
      this.add('  },\n')
    }
  }

  /** @returns {{ file: string, text: string }[]} */
  get files() {
    const { name, text } = this
    const map = { version: 3, file: name, sources: this.#sources, names: [], mappings: this.#mappings }
    return [
      { file: name, text: text + this.mapping },
      { file: `${name}.map`, text: JSON.stringify(map) },
    ]
  }
}

/**
 * @param {Made} made
 * @param {string} target what the part becomes
 * @param {Map<string, Source>} sources
 */
function addPart(made, target, sources) {
  made.add(`'use strict';\n\n${target} = (${made.name === LATER ? '__load, require' : '__load'}) => ({\n`)
  made.addModules(sources)
  made.add('});\n')
}

/** @returns {{ file: string, text: string }[]} beside the modules */
function bundle() {
  const [{ sources: core }, ...rest] = parts()
  /** @type {Record<string, string>} */
  const places = {}
  for (const { name, sources } of rest) for (const file of sources.keys()) places[file] = name
  const late = new Made(LATER)
  late.add(`${mark()}\n`)
  /** @type {Record<string, number[]>} */
  const pieces = {}
  const doors = []
  for (const { name, isLater, sources } of rest) {
    const made = isLater ? late : new Made(fileOf(name))
    const [start, line] = [made.text.length, made.lines]
    addPart(made, isLater ? `exports.${name}` : 'module.exports', sources)
    if (isLater) pieces[name] = [start, made.text.length, line]
    else doors.push(made)
  }
  const main = new Made(BUNDLE)
  const later = rest.filter(({ isLater }) => isLater).flatMap(({ sources }) => [...sources.values()])
  const node = new Set([...core.values(), ...later].flatMap(({ node }) => node))
  // Those of lib/runtime/late.js, by which the others have them.
  for (const name of LATE) node.delete(name)
  if (later.some(({ node }) => LATE.some((name) => node.includes(name))))
    throw new UserError(`${LATE.join(', ')} are late.js's`)
  main.add(HEAD)
  main.add(`const MARK = ${JSON.stringify(mark())}\n`)
  main.add(`const mapping = ${JSON.stringify(late.mapping)}\n`)
  main.add(`const pieces = ${JSON.stringify(pieces)}\n`)
  main.add(`const places = ${JSON.stringify(places)}\n\n`)
  main.add(
    `const doors = {\n${doors.map(({ name }) => `  ${name.split('.')[1]}: () => require('./${name}'),\n`).join('')}}\n\n`,
  )
  main.add(`const later = isNodes || isBun ? read('${LATER}') : undefined\n`)
  main.add(`const others = later === undefined ? require('./${LATER}') : undefined\n\n`)
  for (const name of node) main.add(`required['${name}'] = require('${name}')\n`)
  main.add('\nconst modules = {\n')
  main.addModules(core)
  main.add('}\n\n')
  main.add(`module.exports = __load('${ENTRY}')\n`)
  // Only old ones need these, and their first request may come when nothing can be required any more.
  const legacy = rest.find(({ name }) => name === 'legacy')?.sources.keys() ?? []
  main.add('if (isBun && /^1\\.[0-3]\\./.test(process.versions.bun)) {\n')
  for (const file of legacy) main.add(`  __load('${file}')\n`)
  main.add('}\n')
  return [main, late, ...doors].flatMap(({ files }) => files)
}

/** @param {string} folder of a package: the repository or a copy of it */
function writeBundle(folder) {
  for (const { file, text } of bundle()) fs.writeFileSync(path.join(folder, 'lib', file), text)
}

function removeBundle() {
  const lib = path.join(root, 'lib')
  for (const file of fs.readdirSync(lib))
    if (file.startsWith('bundle.')) fs.rmSync(path.join(lib, file), { force: true })
}

module.exports = { bundle, modules, removeBundle, writeBundle }

if (require.main === module) {
  runScript(() => {
    if (process.argv.includes('--remove')) removeBundle()
    else writeBundle(root)
  })
}
