'use strict'

// Values of TLS options that may change in place: lists that grow, buffers that are overwritten. What an agent's options
// said is kept as a copy, and what a name would not tell apart gets a part of its own.

const { createHash, randomBytes } = require('../runtime/late.js').crypto()

/** @type {WeakMap<object, string>} */
const tags = new WeakMap()
/** Whose tags these are: other threads, and other copies of this package, have tags of their own. */
let owner = ''
let nextTag = 1

/**
 * Tells one function or object from another, in the whole process.
 * @param {object} value
 */
function tagOf(value) {
  let tag = tags.get(value)
  if (tag === undefined) {
    if (owner === '') owner = randomBytes(8).toString('hex')
    tag = `${owner}.${nextTag}`
    nextTag += 1
    tags.set(value, tag)
  }
  return tag
}

/** What a key or a container of several things is made of, if it is an object. */
const PARTS = ['pem', 'buf', 'passphrase']

/** @param {any} value */
function hasParts(value) {
  return typeof value === 'object' && value !== null && ('pem' in value || 'buf' in value)
}

/** @param {ArrayBufferView} view */
function bytesOf({ buffer, byteOffset, byteLength }) {
  return Buffer.from(/** @type {ArrayBuffer} */ (buffer), byteOffset, byteLength)
}

/**
 * A copy that stays what it is.
 * @param {any} value
 * @returns {any}
 */
function copyOf(value) {
  if (typeof value !== 'object' || value === null) return value
  if (Array.isArray(value)) return value.map(copyOf)
  if (ArrayBuffer.isView(value)) return Buffer.from(bytesOf(value))
  return hasParts(value) ? Object.fromEntries(PARTS.map((part) => [part, copyOf(value[part])])) : value
}

/**
 * Whether a value is still what it was.
 * @param {any} now
 * @param {any} then its copy
 * @returns {boolean}
 */
function isUnchanged(now, then) {
  if (now === then) return true
  if (typeof now !== 'object' || now === null || typeof then !== 'object' || then === null) return false
  if (Array.isArray(now)) {
    if (!Array.isArray(then) || now.length !== then.length) return false
    for (let at = 0; at < now.length; at += 1) if (!isUnchanged(now[at], then[at])) return false
    return true
  }
  if (ArrayBuffer.isView(now)) return Buffer.isBuffer(then) && bytesOf(now).equals(then)
  return hasParts(now) && PARTS.every((part) => isUnchanged(now[part], then[part]))
}

/**
 * Whether a list of certificates has none, though it is a list.
 * @param {any} value
 * @returns {boolean}
 */
function isEmptyList(value) {
  if (Array.isArray(value)) return value.every((item) => item === '' || isEmptyList(item))
  return ArrayBuffer.isView(value) && value.byteLength === 0
}

/**
 * What distinguishes certificates or keys and is not in their text; '': nothing.
 * @param {any} value
 */
function distinction(value) {
  if (typeof value !== 'object' || value === null) return ''
  if (!Array.isArray(value)) return opaque(value)
  const count = value.length > 1 ? `*${value.length}` : ''
  return count + value.map(opaque).join('')
}

/** @param {any} value */
function opaque(value) {
  if (typeof value !== 'object' || value === null || Buffer.isBuffer(value)) return ''
  if (ArrayBuffer.isView(value)) return `#${digestOf([bytesOf(value)])}`
  if (!hasParts(value)) return `#${tagOf(value)}`
  return `#${digestOf(PARTS.map((part) => (part in value ? value[part] : '')))}`
}

/** @param {any[]} parts */
function digestOf(parts) {
  const hash = createHash('sha256')
  for (const part of parts) hash.update(ArrayBuffer.isView(part) ? bytesOf(part) : String(part)).update('\0')
  return hash.digest('hex')
}

module.exports = { copyOf, distinction, isEmptyList, isUnchanged, tagOf }
