'use strict'

// Content codings of responses that come over the runtime's own sockets. The engine's decoders take them off as they do of
// all others (src/fetch/content/): what the runtimes have differs in what it knows, and in what it takes for complete.

const { Buffer } = require('node:buffer')
const { Readable } = require('node:stream')

const { threadPort } = require('../bridge/port.js')
const { coded } = require('../common/errors.js')
const { closeContent, decodeContent, openContent } = require('../bridge/native.js')
const { fetchFailed } = require('./errors.js')

/** @typedef {import('node:http').IncomingMessage} IncomingMessage */

/** States of a content. */
const MORE = 0
const OVER = 2
const FAILED = 3
/** Stands for the end of the encoded bytes. */
const END = Buffer.alloc(0)

/**
 * The body of a response without its codings: the response itself if it has none, or one that nobody knows.
 * @param {IncomingMessage} res
 * @returns {Readable}
 */
function decoded(res) {
  const { rawHeaders } = res
  const encodings = []
  for (let at = 0; at < rawHeaders.length; at += 2) {
    if (rawHeaders[at].toLowerCase() === 'content-encoding') encodings.push(rawHeaders[at + 1])
  }
  if (encodings.length === 0) return res
  const port = threadPort().id
  const content = begin(port, encodings)
  if (content === 0) return res
  return Readable.from(pieces(res, port, content), { objectMode: false })
}

/**
 * @param {number} port
 * @param {string[]} encodings
 */
function begin(port, encodings) {
  try {
    return openContent(port, encodings)
  } catch (error) {
    throw fetchFailed(new Error(/** @type {Error} */ (error).message))
  }
}

/**
 * Decodes as it is read.
 * @param {IncomingMessage} res
 * @param {number} port
 * @param {number} content
 */
async function* pieces(res, port, content) {
  let isOver = false
  /** @param {Buffer} chunk */
  async function* decode(chunk) {
    /** @type {Buffer | null} */
    let next = chunk
    for (let state = MORE; state === MORE; next = null) {
      const step = await decodeContent(port, content, next)
      state = step.state
      if (step.bytes.length > 0) yield step.bytes
      if (state === FAILED) throw coded(step.code, step.message)
      isOver = state === OVER
    }
  }
  try {
    // The message may go on where its content ends.
    for await (const chunk of res) if (!isOver) yield* decode(chunk)
    if (!isOver) yield* decode(END)
  } finally {
    closeContent(port, content)
  }
}

module.exports = { decoded }
