'use strict'

// Bodies that can be read anew: what a Request was made of, and forms whose files are not read before they are sent.

const buffer = require('node:buffer')

const { isGenuine } = require('../runtime/genuine.js')
const { crypto } = require('../runtime/late.js')
const { isBun, isNode, runtimeFetch } = require('./platform.js')
const { findResponse } = require('./response-class.js')

const { Buffer } = buffer

/**
 * @typedef {object} Body
 * @property {string | Uint8Array | ReadableStream<Uint8Array> | null} body
 * @property {number} length in bytes; -1: there is none, or nobody knows
 * @property {(() => ReadableStream<Uint8Array>) | null} renew makes a stream of the same bytes; null: nobody can
 */

/** Blobs of at most this many bytes, those of a form together, are read before they are sent. */
const SMALL = 1024 * 1024
/** Bytes of a Blob that are read at once. */
const PIECE = 256 * 1024
/** Who has given a Blob another stream wants that one to be read. */
const { stream: blobStream } = /** @type {any} */ (buffer.Blob).prototype

/** What the runtime's fetch is told so that nothing about a Request but its body counts: none of these reaches a peer. */
const NEUTRAL = {
  method: 'POST',
  mode: 'cors',
  cache: 'default',
  // With these two it leaves the body's stream in one piece.
  redirect: 'error',
  window: null,
  signal: null,
  integrity: '',
  keepalive: false,
}

/**
 * What a Request was made of, on Node: its fetch hands that to a dispatcher that says it is a mock's, in place of the stream.
 * This one takes it, and sends nothing. The Request's body is used then.
 * @param {Request} request with a body
 * @returns {Promise<string | Uint8Array | Blob | FormData | ReadableStream<Uint8Array> | null>} null: nobody tells
 */
async function takeSource(request) {
  if (!isNode || !isGenuine('fetch', runtimeFetch)) return null
  /** @type {any} */
  let source = null
  const dispatcher = {
    isMockActive: true,
    dispatch(/** @type {{ body: unknown }} */ { body }) {
      source = body
      throw new Error('nothing is to be sent')
    },
  }
  try {
    await runtimeFetch(request, /** @type {any} */ ({ ...NEUTRAL, dispatcher }))
  } catch (error) {
    // A Request of another library is refused as it is.
    if (source === null && request.bodyUsed) throw error
  }
  return source
}

/**
 * The bytes that a Request was made of, where Node shows them. Node 20 and 22 hand their memory to the Request's stream, at the
 * latest when somebody reads it: they are gone then, and none are left.
 * @param {Request} request
 * @returns {Uint8Array | undefined}
 */
function bytesOf(request) {
  const state = Object.getOwnPropertySymbols(request).find(({ description }) => description === 'state')
  const source = state === undefined ? undefined : /** @type {any} */ (request)[state]?.body?.source
  return ArrayBuffer.isView(source) ? /** @type {Uint8Array} */ (source) : undefined
}

/**
 * @param {Blob} blob
 * @returns {Promise<Body>}
 */
async function blobBody(blob) {
  return blob.size > SMALL ? streamBody([blob], blob.size) : wholeBody(blob)
}

/**
 * @param {(Uint8Array | Blob)[]} parts
 * @param {number} length of all of them
 * @returns {Body}
 */
function streamBody(parts, length) {
  const renew = () => streamOf(contentsOf(parts))
  return { body: renew(), length, renew }
}

/**
 * @param {{ arrayBuffer: () => Promise<ArrayBuffer> }} source
 * @returns {Promise<Body>}
 */
async function wholeBody(source) {
  const body = new Uint8Array(await source.arrayBuffer())
  return { body, length: body.length, renew: null }
}

/** A form with a few bytes in place of each file: the runtime encodes it, and the files are put in when they are sent. */
class MarkedForm {
  form = new FormData()
  /** @type {{ marker: string, blob: Blob }[]} in the form's order */
  #held = []

  /** @param {FormData} form */
  constructor(form) {
    for (const [name, value] of form) {
      if (typeof value === 'string') this.form.append(name, value)
      else this.form.append(name, this.#hold(value), value.name)
    }
  }

  /** @param {Blob} blob */
  #hold(blob) {
    const marker = crypto().randomUUID()
    this.#held.push({ marker, blob })
    return new Blob([marker], { type: blob.type })
  }

  /**
   * @param {Buffer} encoded the marked form's bytes
   * @returns {Body}
   */
  body(encoded) {
    /** @type {(Uint8Array | Blob)[]} */
    const parts = []
    let length = encoded.length
    let from = 0
    for (const { marker, blob } of this.#held) {
      const at = encoded.indexOf(marker, from)
      parts.push(encoded.subarray(from, at), blob)
      from = at + marker.length
      length += blob.size - marker.length
    }
    parts.push(encoded.subarray(from))
    return streamBody(parts, length)
  }
}

/** @param {(Uint8Array | Blob)[]} parts */
async function* contentsOf(parts) {
  for (const part of parts) {
    if (part instanceof Uint8Array) yield part
    else if (part.stream !== blobStream) yield* /** @type {any} */ (part.stream())
    else yield* piecesOf(part)
  }
}

/**
 * Faster than a Blob's own stream, whose many small pieces pile up before they are collected.
 * @param {Blob} blob
 */
async function* piecesOf(blob) {
  for (let at = 0; at < blob.size; at += PIECE) {
    const piece = blob.slice(at, Math.min(at + PIECE, blob.size))
    yield new Uint8Array(await piece.arrayBuffer())
  }
}

/**
 * @param {FormData} form
 * @returns {MarkedForm | null} null: it is small, or has a file that tells no size or another name than it is sent with
 */
function markedForm(form) {
  let bytes = 0
  for (const [, value] of form) {
    if (typeof value === 'string') continue
    // In a form, Bun's own files tell their paths in place of the names that they were given.
    if (isBun && /[/\\]/.test(value.name)) return null
    bytes += value.size
  }
  return bytes > SMALL && Number.isSafeInteger(bytes) ? new MarkedForm(form) : null
}

/**
 * @param {FormData} form of which a Request was made
 * @param {string} type the Request's `content-type`, which tells the boundary
 * @returns {Promise<Body>}
 */
async function formBody(form, type) {
  const marked = markedForm(form)
  const RuntimeResponse = await findResponse()
  const encoder = new RuntimeResponse(marked?.form ?? form)
  const own = boundaryOf(encoder.headers.get('content-type') ?? '')
  const told = boundaryOf(type)
  let encoded = Buffer.from(await encoder.arrayBuffer())
  if (own !== '' && told !== '') encoded = Buffer.from(encoded.toString('latin1').replaceAll(own, told), 'latin1')
  if (marked !== null) return marked.body(encoded)
  return { body: encoded, length: encoded.length, renew: null }
}

/** @param {string} type */
function boundaryOf(type) {
  return /^multipart\/form-data; ?boundary=([\w-]+)$/.exec(type)?.[1] ?? ''
}

/** @param {AsyncIterable<any>} iterable */
function streamOf(iterable) {
  const iterator = iterable[Symbol.asyncIterator]()
  return new ReadableStream(
    {
      async pull(controller) {
        const { done, value } = await iterator.next()
        if (done) controller.close()
        else controller.enqueue(typeof value === 'string' ? Buffer.from(value) : value)
      },
      async cancel(reason) {
        await iterator.return?.(reason)
      },
    },
    { highWaterMark: 0 },
  )
}

module.exports = { blobBody, bytesOf, formBody, MarkedForm, markedForm, streamOf, takeSource, wholeBody }
