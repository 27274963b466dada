'use strict'

// What request() was given, whichever way: a URL as a string or an object, options, a callback.

const { urlToHttpOptions } = require('node:url')

/**
 * Options beside a URL inherit nothing, as the runtime's: whoever has put something on Object.prototype says nothing of requests. An
 * object of a class is read faster than one without a prototype.
 */
class Bare {}
Object.setPrototypeOf(Bare.prototype, null)
Reflect.deleteProperty(Bare.prototype, 'constructor')

/** The last URL given as a string. @type {{ text: string, options: Record<string, any> | undefined }} */
let lastUrl = { text: '', options: undefined }

/**
 * @param {string | URL} input
 * @returns {Record<string, any> | undefined} undefined: not a simple one
 */
function fromUrl(input) {
  if (typeof input !== 'string') return Object.keys(input).length === 0 ? parts(input) : undefined
  if (lastUrl.text !== input) {
    lastUrl = { text: input, options: URL.canParse?.(input) ? parts(new URL(input)) : undefined }
  }
  return lastUrl.options
}

/** @param {URL} url */
function parts({ protocol, hostname, port, pathname, search, username, password }) {
  if (username !== '' || password !== '' || hostname === '') return undefined
  return Object.assign(new Bare(), { protocol, host: hostname, port, path: pathname + search })
}

/**
 * @param {any} input
 * @param {any} options
 * @param {any} callback
 * @returns {[options: Record<string, any>, callback: any] | undefined} undefined: not simple ones
 */
function simpleArguments(input, options, callback) {
  if (typeof input === 'string' || input instanceof URL) {
    const url = fromUrl(input)
    if (url === undefined) return undefined
    if (options === undefined || typeof options === 'function') return [url, options ?? callback]
    if (typeof options !== 'object' || options === null) return undefined
    return [Object.assign(new Bare(), url, options), callback]
  }
  if (typeof input !== 'object' || input === null) return undefined
  // The runtime copies them as well: what they inherit says nothing. To V8 11 (Node 20), an object made of another one and more, as
  // `{ ...defaults, agent }`, is of a kind of its own, each of which costs as much as the first; the copy is like the others.
  const own = { ...input }
  return own.href === undefined ? [own, options] : undefined
}

/**
 * @param {any} input
 * @param {any} options
 * @param {any} callback
 * @returns {[options: Record<string, any>, callback: any]}
 */
function argumentsOf(input, options, callback) {
  const url = typeof input === 'string' ? new URL(input) : input instanceof URL ? input : null
  if (url === null) return [{ ...input }, options]
  const own = urlToHttpOptions(url)
  return typeof options === 'function' ? [{ ...own }, options] : [{ ...own, ...options }, callback]
}

module.exports = { argumentsOf, simpleArguments }
