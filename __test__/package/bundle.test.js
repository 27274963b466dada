'use strict'

// The package has its modules in few files (scripts/bundle.js): the same modules, whose errors name the files that they came from.
// Nothing is left to be read later: programs put mocks in the place of the file system and of `require`.

const assert = require('node:assert')
const fs = require('node:fs')
const https = require('node:https')
const os = require('node:os')
const path = require('node:path')

const ts = require('typescript')

const { modules, writeBundle } = require('../../scripts/bundle.js')
const { runScript } = require('../support/child')
const { cert, key } = require('../support/fetch-tls')
const { reply } = require('../support/peer')
const { isNode } = require('../support/runtime')
const { listen } = require('../support/secure')
const { test } = require('../support/suite')

const root = path.resolve(__dirname, '../..')
const OURS = { ours: 'is none of our package' }
// They need what only Node has, and Bun up to 1.3 runs what is to be skipped.
const testOnNode = isNode ? test : () => {}

/** The package, as it is installed, with the addon of the checkout. */
function packaged(scope) {
  const folder = fs.realpathSync(fs.mkdtempSync(path.join(os.tmpdir(), 'keepwire-bundle-')))
  scope.defer(() => fs.rmSync(folder, { recursive: true, force: true }))
  for (const name of ['index.js', 'package.json', 'lib']) {
    fs.cpSync(path.join(root, name), path.join(folder, name), { recursive: true })
  }
  writeBundle(folder)
  return folder
}

/** A line whose texts have their letters, and no numbers of such. */
function spelledOut(line) {
  return line.replace(/\\u([\da-f]{4})/g, (_, code) => String.fromCharCode(Number.parseInt(code, 16)))
}

/** The numbers of lines that have code, as the compiler reads it. */
function linesOfCode(source) {
  const parsed = ts.createSourceFile('module.js', source, ts.ScriptTarget.ESNext, true, ts.ScriptKind.JS)
  const numbers = new Set()
  const visit = (node) => {
    let isLeaf = true
    ts.forEachChild(node, (child) => {
      isLeaf = false
      visit(child)
    })
    if (!isLeaf || node.kind === ts.SyntaxKind.EndOfFileToken) return
    const [first, last] = [node.getStart(parsed), node.end].map((at) => parsed.getLineAndCharacterOfPosition(at).line)
    numbers.add(first).add(last)
    // An empty block may have a comment in it; what looks like one in a text is none.
    if (node.kind === ts.SyntaxKind.Block) return
    for (let number = first; number < last; number += 1) numbers.add(number)
  }
  visit(parsed)
  return numbers
}

testOnNode(
  'each module in them is that of its own file, but for comments',
  {
    ...OURS,
    timeout: 120_000,
  },
  async () => {
    const all = modules()
    for (const [file, lines] of all) {
      const source = fs.readFileSync(path.join(root, file), 'utf8')
      const numbers = new Set(lines.map(([, number]) => number))
      const lost = [...linesOfCode(source)].filter((number) => !numbers.has(number))
      assert.deepStrictEqual(lost, [], `lines of ${file} that are left out`)
      const written = source.split('\n')
      for (const [text, number] of lines)
        if (!/__load\(|"version"/.test(text)) assert.strictEqual(spelledOut(text), spelledOut(written[number]), file)
    }
    const left = fs
      .readdirSync(path.join(root, 'lib'), { recursive: true })
      .map((file) => `lib/${String(file).split(path.sep).join('/')}`)
      .filter((file) => file.endsWith('.js') && !all.has(file))
    const doors = ['dashboard', 'http', 'https', 'load', 'otel', 'prometheus', 'register'].map(
      (name) => `lib/${name}.js`,
    )
    assert.deepStrictEqual(left.filter((file) => !file.startsWith('lib/bundle.')).sort(), doors)
  },
)

testOnNode("the source map leads to a module's own file and line", OURS, async (scope) => {
  const folder = packaged(scope)
  const { stdout } = await runScript('error-of-package', [folder], { flags: ['--enable-source-maps'] })
  const frames = [...stdout.matchAll(/\/lib\/([\w/-]+\.js):(\d+):/g)]
  assert.ok(frames.length > 2, stdout)
  assert.ok(
    frames.some(([, file]) => file.startsWith('fetch/')),
    stdout,
  )
  for (const [, file, line] of frames) {
    assert.notStrictEqual(file, 'bundle.js')
    const text = fs.readFileSync(path.join(root, 'lib', file), 'utf8').split('\n')[Number(line) - 1]
    assert.match(text, /\w\(/, `${file}:${line} calls something: ${text}`)
  }
})

testOnNode(
  'the package loads node:https and its kind when they are needed, and knows what is theirs',
  OURS,
  async (scope) => {
    const { lines, stderr } = await runScript('loaded-late', [packaged(scope)])
    assert.deepStrictEqual(
      lines,
      [{ late: [], isOwn: true, tells: true, ways: ['runtime', 'keepwire'], isSame: true }],
      stderr,
    )
  },
)

testOnNode("the package loads by modules that are none of Node's", OURS, async (scope) => {
  const { port } = await scope.peer((_, connection) => connection.write(reply('hello')))
  const { lines, stderr } = await runScript('foreign-modules', [packaged(scope), `http://127.0.0.1:${port}/`])
  assert.deepStrictEqual(lines, [{ text: 'hello', explain: 'undefined', name: 'Agent', reused: 'object' }], stderr)
})

for (const [title, folderFor, isExpected] of [
  ['of a package', packaged, (modules) => modules === 2],
  ['of a checkout', () => root, (modules) => modules > 50],
]) {
  test(`requests ${title} read no file once it is loaded`, OURS, async (scope) => {
    const folder = folderFor(scope)
    const { port } = await scope.peer((_, connection) => connection.write(reply('hello')))
    const server = https.createServer({ cert, key }, (_, response) => response.end('hello'))
    const secure = await listen(scope, server)
    const urls = [`http://127.0.0.1:${port}/`, `https://127.0.0.1:${secure.port}/`]
    const { lines, stderr } = await runScript('without-files', [folder, ...urls])
    assert.strictEqual(lines.length, 1, stderr)
    const [{ modules, told }] = lines
    assert.deepStrictEqual(told, new Array(8).fill('hello'))
    if (isNode) assert.ok(isExpected(modules), `${modules} modules of ours`)
  })
}
