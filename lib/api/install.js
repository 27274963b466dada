'use strict'

// install() puts our agents, and where asked or needed our request() and our fetch(), in the runtime's own place; uninstall()
// takes them out. What somebody else has put there since is left alone.

const { syncBuiltinESMExports } = require('node:module')

const http = require('node:http')

const ourHttp = require('./http.js')
const ourHttps = require('./https.js')
const { inPlace, places } = require('./stand-in.js')
const { ignoresAgents } = require('../runtime/probes.js')
const { https } = require('../runtime/late.js')

/** The runtime's modules and what stands in for each. @type {[module: any, standIn: any][]} */
const MODULES = [
  [http, ourHttp],
  [https(), ourHttps],
]

const REQUESTS = ['request', 'get', 'ClientRequest']

/**
 * Where what install() has put somewhere says what it stood for, once it was taken out: another copy of this package may have put its
 * own in its place since, and will find it aside.
 */
const kUninstalled = Symbol.for('keepwire.uninstalled')

/**
 * What stands where something was put aside that was taken out since.
 * @param {any} aside
 */
function current(aside) {
  while (Object.hasOwn(aside, kUninstalled)) aside = aside[kUninstalled]
  return aside
}

/**
 * What was put where, in order, and how it stood there if it can't be assigned: somebody has put a getter in its place.
 * @type {{ module: any, name: string, theirs: unknown, ours: unknown, getter?: PropertyDescriptor }[]}
 */
let installed = []

/**
 * @param {any} module
 * @param {string} name
 */
function isInstalled(module, name) {
  return installed.some((entry) => entry.module === module && entry.name === name)
}

/**
 * @param {any} module
 * @param {string[]} names
 * @param {() => any} makeOurs
 */
function put(module, names, makeOurs) {
  // https has no ClientRequest of its own.
  const missing = names.filter((name) => name in module && !isInstalled(module, name))
  if (missing.length === 0) return
  const ours = makeOurs()
  for (const name of missing) {
    const theirs = module[name]
    const getter = getterOf(module, name)
    if (getter === undefined) module[name] = ours[name]
    else
      Object.defineProperty(module, name, {
        value: ours[name],
        writable: true,
        enumerable: getter.enumerable,
        configurable: true,
      })
    installed.push({ module, name, theirs, ours: ours[name], getter })
    Reflect.deleteProperty(ours[name], kUninstalled)
  }
}

/**
 * @param {any} module
 * @param {string} name
 */
function getterOf(module, name) {
  const property = Object.getOwnPropertyDescriptor(module, name)
  return property?.get !== undefined && property.set === undefined ? property : undefined
}

/** @param {any} module */
const placeOf = (module) => /** @type {import('./stand-in.js').Place} */ (places.get(module))

/** @param {any} module */
function makeRequests(module) {
  const aside = Object.fromEntries(REQUESTS.map((name) => [name, module[name]]))
  const look = () => {
    if (Object.hasOwn(aside.request, kUninstalled)) {
      for (const name of REQUESTS) if (aside[name] !== undefined) aside[name] = current(aside[name])
    }
    return aside
  }
  return placeOf(module).functionsOver(look)
}

function noFetch() {
  const why = 'install({ fetch: true }) puts keepwire in the place of globalThis.fetch, and this process has none'
  return Object.assign(new Error(why), { code: 'ERR_INVALID_STATE' })
}

function makeFetch() {
  // Loaded when somebody wants it.
  const { globalFetch } = require('./global-fetch.js')
  let aside = globalThis.fetch
  const look = () => {
    aside = current(aside)
    return aside
  }
  return { fetch: globalFetch(look, (standIn) => Object.hasOwn(standIn, kUninstalled)) }
}

/**
 * Makes `Agent` and `globalAgent` of the runtime's http and https ours, so that requests which name no agent are carried
 * by keepwire, and agents made from now on are ours.
 * @param {{ request?: boolean, fetch?: boolean }} [options] `request`: also `request`, `get` and `ClientRequest`. Default: false,
 *   but true on a runtime whose own ones ignore agents. `fetch`: also `globalThis.fetch`. Default: false.
 */
function install({ request = ignoresAgents, fetch = false } = {}) {
  if (fetch && typeof globalThis.fetch !== 'function') throw noFetch()
  for (const [module, standIn] of MODULES) {
    put(module, ['Agent'], () => standIn)
    // A globalAgent with ways of its own, such as one that knows a proxy, is its owner's.
    if (isInstalled(module, 'globalAgent') || placeOf(module).takeOver()) put(module, ['globalAgent'], () => standIn)
    if (!request) continue
    put(module, REQUESTS, () => makeRequests(module))
    inPlace.add(module)
  }
  if (fetch) put(globalThis, ['fetch'], makeFetch)
  syncBuiltinESMExports()
}

/** Undoes install(). Agents that were made in between stay ours, and requests under way go on. */
function uninstall() {
  for (const { module, name, theirs, ours, getter } of installed) {
    if (module[name] === ours) {
      if (getter === undefined) module[name] = current(theirs)
      else Object.defineProperty(module, name, getter)
    }
    Object.defineProperty(ours, kUninstalled, { value: theirs, configurable: true })
  }
  installed = []
  inPlace.clear()
  syncBuiltinESMExports()
}

module.exports = { install, uninstall }
