'use strict'

// Content codings of responses that come the runtime's own way; the engine decodes the others (src/fetch/decoding.rs).

const { Transform } = require('node:stream')
const zlib = /** @type {any} */ (require('node:zlib'))

const { fetchFailed } = require('./errors.js')

/** Most codings of one body; more are an attack. */
const MOST_CODINGS = 5
/** Content that breaks off within a complete message: what there is counts, as in the engine. */
const { BROTLI_OPERATION_FLUSH, Z_SYNC_FLUSH, ZSTD_e_flush } = zlib.constants
const LENIENT = Object.freeze({ finishFlush: Z_SYNC_FLUSH })
/** Of the first byte of a `deflate` body that has its header. */
const METHOD_MASK = 0x0f
const METHOD_DEFLATE = 8

/** `deflate`, with its header or, as some servers send it, without. */
class Inflate extends Transform {
  /** @type {any} */
  #inner = null
  /** Whether the content is over; the message may go on. */
  #isOver = false

  /**
   * @param {Buffer} chunk
   * @param {string} _encoding
   * @param {() => void} done
   */
  _transform(chunk, _encoding, done) {
    if (this.#isOver) return done()
    this.#inner ??= this.#begin(chunk[0])
    this.#inner.write(chunk, done)
  }

  /** @param {number} first byte */
  #begin(first) {
    const inner =
      (first & METHOD_MASK) === METHOD_DEFLATE ? zlib.createInflate(LENIENT) : zlib.createInflateRaw(LENIENT)
    inner.on('end', () => {
      this.#isOver = true
    })
    inner.on('data', (/** @type {Buffer} */ bytes) => this.push(bytes))
    return inner.on('error', (/** @type {Error} */ error) => this.destroy(error))
  }

  /** @param {() => void} done */
  _flush(done) {
    if (this.#inner === null || this.#isOver) done()
    else this.#inner.once('end', done).end()
  }

  /**
   * @param {Error | null} error
   * @param {(error: Error | null) => void} done
   */
  _destroy(error, done) {
    this.#inner?.destroy()
    done(error)
  }
}

/** @type {Record<string, () => import('node:stream').Duplex>} */
const DECODERS = {
  __proto__: /** @type {any} */ (null),
  gzip: () => zlib.createGunzip(LENIENT),
  'x-gzip': () => zlib.createGunzip(LENIENT),
  deflate: () => new Inflate(),
  br: () => zlib.createBrotliDecompress({ finishFlush: BROTLI_OPERATION_FLUSH }),
  zstd: () => {
    // Older runtimes have none.
    if (zlib.createZstdDecompress === undefined) throw fetchFailed(new Error("this runtime can't decode zstd"))
    return zlib.createZstdDecompress({ finishFlush: ZSTD_e_flush })
  },
}

/**
 * What takes the codings of a body off, in that order; none if there is one that nobody knows.
 * @param {string[]} lines of a response's head
 */
function decodersOf(lines) {
  const codings = []
  for (let at = 0; at < lines.length; at += 2) {
    if (lines[at].toLowerCase() === 'content-encoding') codings.push(...lines[at + 1].toLowerCase().split(','))
  }
  const makers = codings.reverse().map((coding) => DECODERS[coding.trim()])
  if (makers.includes(/** @type {any} */ (undefined))) return []
  if (makers.length > MOST_CODINGS) throw fetchFailed(new Error('too many content-encodings in the response'))
  return makers.map((make) => make())
}

/**
 * @param {string} codings that the engine can take off
 * @returns {string} those of them that this runtime can as well
 */
function decodable(codings) {
  return zlib.createZstdDecompress === undefined ? codings.replace(', zstd', '') : codings
}

module.exports = { decodable, decodersOf }
