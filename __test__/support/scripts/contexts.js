'use strict'

// What test runners as jest do: loads the package anew in one vm context after the other, uses it in every way, and forgets the
// context. `reload`: what a program does that reloads its modules, in the one context it has. Says of how many copies something is
// left, and what the engine holds of them.

const { AsyncLocalStorage } = require('node:async_hooks')
const fs = require('node:fs')
const { builtinModules, createRequire } = require('node:module')
const path = require('node:path')
const vm = require('node:vm')

const [port, count] = process.argv.slice(2, 4).map(Number)
const isReload = process.argv[4] === 'reload'
/** Of the first, what was current when it opened the thread's way into the engine; of reloads, what the module system holds. */
const most = isReload ? 3 : 1
/** As jest runs each test: what is current leads to all that a test has. */
const current = new AsyncLocalStorage()
const root = path.join(__dirname, '../../..')
const nodeRequire = createRequire(path.join(root, 'index.js'))

/** A registry of modules of its own. @param {import('node:vm').Context} context */
function loader(context) {
  const modules = new Map()
  return function load(file) {
    const known = modules.get(file)
    if (known !== undefined) return known.exports
    const module = { exports: {} }
    modules.set(file, module)
    if (file.endsWith('.json')) {
      module.exports = JSON.parse(fs.readFileSync(file, 'utf8'))
      return module.exports
    }
    const ownRequire = (request) => {
      if (request.startsWith('node:') || builtinModules.includes(request)) return require(request)
      const resolved = createRequire(file).resolve(request)
      return resolved.endsWith('.node') ? nodeRequire(resolved) : load(resolved)
    }
    ownRequire.resolve = (request) => createRequire(file).resolve(request)
    const wrapper = `(function (module, exports, require, __filename, __dirname) {${fs.readFileSync(file, 'utf8')}\n})`
    const run = vm.runInContext(wrapper, context, { filename: file })
    run.call(module.exports, module, module.exports, ownRequire, file, path.dirname(file))
    return module.exports
  }
}

function asked(request, agent) {
  return new Promise((resolve, reject) => {
    request({ host: '127.0.0.1', port, path: '/length', agent }, (res) => {
      res.resume().on('end', () => resolve(res.statusCode))
    })
      .on('error', reject)
      .end()
  })
}

/** @type {WeakRef<object>[]} */
const copies = []

function reloaded() {
  for (const file of Object.keys(require.cache)) {
    if (file.startsWith(root) && !file.endsWith('.node') && file !== __filename) delete require.cache[file]
  }
  // It remembers what it required.
  module.children.length = 0
  return require('../../../index.js')
}

function loadedInContext() {
  const { clearImmediate, clearTimeout, fetch, Headers, queueMicrotask, Request, Response, setImmediate, setTimeout } =
    globalThis
  const { AbortController, AbortSignal, ReadableStream, TextDecoder, TextEncoder, URL, URLSearchParams } = globalThis
  const { Blob, DOMException, Event, EventTarget, File, FormData, MessageChannel, structuredClone } = globalThis
  const own = {
    clearImmediate,
    clearTimeout,
    fetch,
    Headers,
    queueMicrotask,
    Request,
    Response,
    setImmediate,
    setTimeout,
  }
  const web = { AbortController, AbortSignal, ReadableStream, TextDecoder, TextEncoder, URL, URLSearchParams }
  const more = {
    Blob,
    Buffer,
    console,
    DOMException,
    Event,
    EventTarget,
    File,
    FormData,
    MessageChannel,
    performance,
    process,
  }
  const context = vm.createContext({ ...own, ...web, ...more, structuredClone })
  context.globalThis = context
  return loader(context)(path.join(root, 'index.js'))
}

async function useOnce() {
  const keepwire = isReload ? reloaded() : loadedInContext()
  copies.push(new WeakRef(keepwire.Agent))
  current.getStore().keepwire = keepwire
  const agent = new keepwire.Agent({ keepAlive: true })
  const seen = [await asked(require('node:http').request, agent), await asked(keepwire.http.request, agent)]
  const response = await keepwire.fetch(`http://127.0.0.1:${port}/length`)
  await response.text()
  return [...seen, response.status]
}

const turn = () => new Promise((resolve) => setTimeout(resolve, 20))

async function main() {
  const statuses = new Set()
  for (let i = 0; i < count; i += 1) for (const status of await current.run({}, useOnce)) statuses.add(status)
  const left = () => copies.filter((copy) => copy.deref() !== undefined).length
  for (let i = 0; i < 50 && left() > most; i += 1) {
    // What deref() gave is kept until this turn ends.
    await turn()
    globalThis.gc()
    await turn()
  }
  const native = nodeRequire('./lib/bridge/native.js')
  console.log(JSON.stringify({ left: left(), most, statuses: [...statuses], held: native.held() }))
}

main()
