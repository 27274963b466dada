'use strict'

// Loads the package in a folder as test runners and bundlers do, by modules that are none of Node's, and makes a request of each part.

const fs = require('node:fs')
const path = require('node:path')
const vm = require('node:vm')

const [, , folder, url] = process.argv
const modules = new Map()

function load(file) {
  if (!modules.has(file)) {
    const module = { exports: {} }
    modules.set(file, module)
    const names = ['exports', 'require', 'module', '__filename', '__dirname']
    const run = vm.compileFunction(fs.readFileSync(file, 'utf8'), names, { filename: file })
    const requireFrom = (name) => {
      if (!name.startsWith('.') || name.endsWith('.json')) return require(name)
      return load(path.join(path.dirname(file), name))
    }
    run(module.exports, requireFrom, module, file, path.dirname(file))
  }
  return modules.get(file).exports
}

async function main() {
  const { explain, fetch, HttpsAgent, stats } = load(path.join(folder, 'index.js'))
  const text = await (await fetch(url)).text()
  return { text, explain: typeof explain({}), name: HttpsAgent.name, reused: typeof stats() }
}

main().then((told) => console.log(JSON.stringify(told)))
