'use strict'

// `node scripts/bundle.js`: all modules of lib/ as one file, lib/bundle.js, with a source map, for the package: npm runs it
// before it packs. `node scripts/bundle.js --remove`, after it has, takes them away: a checkout loads its files.
//
// Each module becomes a function of its own, called when something requires it first. Its lines stay as they are, but for those that
// are comments.

const fs = require('node:fs')
const path = require('node:path')

const { root } = require('./process.js')
const { runScript } = require('./report.js')

const BUNDLE = 'lib/bundle.js'
const MAP = `${BUNDLE}.map`
/** What the doors load. */
const ENTRY = 'lib/rooms.js'

/** A line that is nothing, or one comment from its beginning to its end. */
const COMMENT_OR_NOTHING = /^\s*(\/\/.*|\/\*\*((?!\*\/).)*\*\/)?$/

const HEAD = `'use strict'

// Made of the files beside this one, which have the comments: scripts/bundle.js.

const path = require('node:path')

const loaded = Object.create(null)

function __load(id) {
  if (id in loaded) return loaded[id].exports
  const module = { exports: {} }
  loaded[id] = module
  let isDone = false
  try {
    modules[id](module, path.join(__dirname, path.dirname(id)))
    isDone = true
  } finally {
    if (!isDone) delete loaded[id]
  }
  return module.exports
}

const modules = {
`

/**
 * @param {string} file relative to the repository
 * @returns {{ lines: [text: string, at: number][], required: string[] }} lines with their numbers
 */
function read(file) {
  /** @type {string[]} */
  const required = []
  /** @type {[string, number][]} */
  const lines = []
  let isComment = false
  for (const [at, line] of fs.readFileSync(path.join(root, file), 'utf8').split('\n').entries()) {
    const wasComment = isComment
    if (isComment) isComment = !line.endsWith('*/')
    else isComment = /^\s*\/\*\*(?!.*\*\/)/.test(line)
    if (wasComment || isComment || COMMENT_OR_NOTHING.test(line)) continue
    const text = line.replace(/\brequire\('(\.[^']*)'\)/g, (_, wanted) => {
      const other = path.posix.join(path.posix.dirname(file), wanted)
      if (other === 'package.json') {
        const { name, version } = require('../package.json')
        return `(${JSON.stringify({ name, version })})`
      }
      required.push(other)
      return `__load('${path.posix.relative('lib', other)}')`
    })
    lines.push([text, at])
  }
  return { lines, required }
}

/** @returns {Map<string, [text: string, at: number][]>} the lines of each module that is loaded in the end, by its file */
function modules() {
  const all = new Map()
  /** @param {string} file */
  const add = (file) => {
    if (all.has(file)) return
    const { lines, required } = read(file)
    all.set(file, lines)
    for (const other of required) add(other)
  }
  add(ENTRY)
  return all
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

/** @returns {{ code: string, map: string }} */
function bundle() {
  const sources = []
  let code = HEAD
  let mappings = ';'.repeat(HEAD.split('\n').length - 1)
  let lastSource = 0
  let lastLine = 0
  for (const [file, lines] of modules()) {
    code += `  '${path.posix.relative('lib', file)}'(module, __dirname) {\n`
    mappings += ';'
    for (const [text, at] of lines) {
      code += `${text}\n`
      mappings += `A${encoded(sources.length - lastSource)}${encoded(at - lastLine)}A;`
      lastSource = sources.length
      lastLine = at
    }
    sources.push(path.posix.relative('lib', file))
    code += '  },\n'
    mappings += ';'
  }
  code += `}\n\nmodule.exports = __load('${path.posix.relative('lib', ENTRY)}')\n//# sourceMappingURL=${path.basename(MAP)}\n`
  return { code, map: JSON.stringify({ version: 3, file: path.basename(BUNDLE), sources, names: [], mappings }) }
}

/** @param {string} folder of a package: the repository or a copy of it */
function writeBundle(folder) {
  const { code, map } = bundle()
  fs.writeFileSync(path.join(folder, BUNDLE), code)
  fs.writeFileSync(path.join(folder, MAP), map)
}

function removeBundle() {
  for (const file of [BUNDLE, MAP]) fs.rmSync(path.join(root, file), { force: true })
}

module.exports = { bundle, modules, removeBundle, writeBundle }

if (require.main === module) {
  runScript(() => {
    if (process.argv.includes('--remove')) removeBundle()
    else writeBundle(root)
  })
}
