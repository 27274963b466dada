'use strict'

// The submission batch: commands to the engine, written into one buffer and handed over once per tick.
//
// Order is kept: whatever bypasses the buffer (large chunks) goes after what is already in it. The engine is done with
// the buffer when submit() returns.

const { Buffer, constants } = require('node:buffer')

const { queueMicrotask } = require('../runtime/captured.js')
const { submit, submitBody } = require('./native.js')

const {
  ABORT,
  ACK,
  APPROVE,
  BEGIN,
  BEGIN_IN_LOOP,
  CLOSE,
  COMMAND_HEADER,
  END,
  FETCH,
  FETCH_ABORT,
  FETCH_READ,
  LARGE_CHUNK,
  TIMEOUTS,
  READ_WHOLE,
  RESOLVED,
  SOCKOPT,
  SOCKOPT_KEEP_ALIVE,
  SOCKOPT_NO_DELAY,
  SUBMISSION_BYTES,
  WRITE,
  WRITE_END,
} = require('./layout.js')

const NO_WRITE = -1
/** Of what travels in 32 bits, options of users among them. */
const LARGEST = 0xffff_ffff
/** A head becomes a string, which no runtime makes longer. */
const LARGEST_HEAD = Math.min(constants.MAX_STRING_LENGTH, 2 ** 29 - 24)

class Submission {
  #port
  #bytes = Buffer.allocUnsafeSlow(SUBMISSION_BYTES)
  #words = new Int32Array(this.#bytes.buffer)
  #length = 0
  #scheduled = false
  #flushLater
  /** Where the batch's last command is, if that is a WRITE: END and flags can still join it. */
  #lastWrite = NO_WRITE
  /** Whether the batch closes connections. */
  hasClosed = false
  /** Whether this thread may carry some of the batch out. */
  #inLoop = false

  #onRecords

  /**
   * @param {number} port
   * @param {() => void} onRecords what was handed over just now has made records
   */
  constructor(port, onRecords) {
    this.#port = port
    this.#onRecords = onRecords
    this.#flushLater = () => {
      this.#scheduled = false
      this.flush()
    }
  }

  flush() {
    const inLoop = this.#inLoop
    const length = this.#take()
    if (length > 0) submit(this.#port, this.#bytes, length, inLoop)
  }

  /** The commands so far are about to be handed over. Returns how many bytes they are. */
  #take() {
    const length = this.#length
    this.#length = 0
    this.#lastWrite = NO_WRITE
    this.hasClosed = false
    this.#inLoop = false
    return length
  }

  /**
   * @param {number} exchange
   * @param {number} flags
   * @param {number} maxHeaderSize bytes
   * @param {number} connection
   */
  begin(exchange, flags, maxHeaderSize, connection) {
    const at = this.#command(BEGIN, flags, 0, exchange, 8)
    if ((flags & BEGIN_IN_LOOP) !== 0) this.#inLoop = true
    this.#words[at >> 2] = Math.min(maxHeaderSize, LARGEST_HEAD)
    this.#words[(at >> 2) + 1] = connection
  }

  /**
   * How long an exchange that has begun waits for its peer, in ms; 0: for ever.
   * @param {number} exchange
   * @param {number} headersMs
   * @param {number} bodyMs
   */
  timeouts(exchange, headersMs, bodyMs) {
    const at = this.#command(TIMEOUTS, 0, 0, exchange, 8)
    this.#words[at >> 2] = Math.min(headersMs, LARGEST)
    this.#words[(at >> 2) + 1] = Math.min(bodyMs, LARGEST)
  }

  /**
   * @param {number} exchange
   * @param {string | Uint8Array} data
   * @param {BufferEncoding | null | undefined} encoding
   * @param {number} flags
   * @returns {number} bytes written
   */
  write(exchange, data, encoding, flags) {
    if (typeof data !== 'string') return this.#writeBytes(exchange, data, flags)
    const latin1 = encoding === 'latin1' || encoding === 'binary' || encoding === 'ascii'
    const utf8 = !encoding || encoding === 'utf8' || encoding === 'utf-8'
    const most = latin1 ? data.length : data.length * 3
    if (!(latin1 || utf8) || most >= LARGE_CHUNK) {
      return this.#writeBytes(exchange, Buffer.from(data, encoding ?? 'utf8'), flags)
    }
    const at = this.#command(WRITE, flags, 0, exchange, most)
    const length = latin1 ? this.#bytes.latin1Write(data, at, most) : this.#bytes.utf8Write(data, at, most)
    this.#length = at + ((length + 3) & ~3)
    this.#lastWrite = at - COMMAND_HEADER
    this.#words[(this.#lastWrite >> 2) + 1] = length
    return length
  }

  /**
   * @param {number} exchange
   * @param {Uint8Array} chunk
   * @param {number} flags
   */
  #writeBytes(exchange, chunk, flags) {
    const length = chunk.byteLength
    if (length >= LARGE_CHUNK) {
      const inLoop = this.#inLoop
      const hasRecords = submitBody(this.#port, exchange, chunk, flags, this.#bytes, this.#take(), inLoop)
      if (hasRecords) this.#onRecords()
      return length
    }
    const at = this.#command(WRITE, flags, 0, exchange, length)
    this.#bytes.set(chunk, at)
    this.#lastWrite = at - COMMAND_HEADER
    return length
  }

  /**
   * Adds flags to the exchange's last WRITE if nothing came after it.
   * @param {number} exchange
   * @param {number} flags
   */
  mark(exchange, flags) {
    const at = this.#lastWrite
    if (at === NO_WRITE) return false
    const word = at >> 2
    if (this.#words[word + 2] !== (exchange | 0) || this.#words[word + 3] !== upper(exchange)) return false
    this.#bytes[at + 1] |= flags
    return true
  }

  /**
   * The request is complete.
   * @param {number} exchange
   * @param {number} flags
   */
  end(exchange, flags) {
    if (this.mark(exchange, flags | WRITE_END)) return
    if (flags === 0) this.#command(END, 0, 0, exchange, 0)
    else this.#command(WRITE, flags | WRITE_END, 0, exchange, 0)
  }

  /**
   * @param {number} exchange
   * @param {number} connection
   */
  abort(exchange, connection) {
    const at = this.#command(ABORT, 0, 0, exchange, 4)
    this.#words[at >> 2] = connection
  }

  /**
   * @param {number} exchange
   * @param {number} bytes
   */
  acknowledge(exchange, bytes) {
    const at = this.#command(ACK, 0, 0, exchange, 4)
    this.#words[at >> 2] = Math.min(bytes, LARGEST)
  }

  /**
   * @param {number} connection
   * @param {boolean} on
   */
  noDelay(connection, on) {
    this.#command(SOCKOPT, on ? 1 : 0, SOCKOPT_NO_DELAY, connection, 0)
  }

  /**
   * @param {number} connection
   * @param {import('../exchange/connection.js').KeepAlive} probes
   */
  keepAlive(connection, { enable, delayS, intervalS, count }) {
    const at = this.#command(SOCKOPT, enable ? 1 : 0, SOCKOPT_KEEP_ALIVE, connection, 12)
    this.#words[at >> 2] = delayS
    this.#words[(at >> 2) + 1] = intervalS
    this.#words[(at >> 2) + 2] = count
  }

  /** @param {number} connection */
  approve(connection) {
    this.#command(APPROVE, 0, 0, connection, 0)
  }

  /**
   * What a connection's name stands for.
   * @param {number} connection
   * @param {string[]} addresses the first choice first
   */
  resolved(connection, addresses) {
    const text = addresses.join('\0')
    const at = this.#command(RESOLVED, 0, 0, connection, text.length)
    this.#bytes.latin1Write(text, at, text.length)
  }

  /** @param {number} connection */
  close(connection) {
    this.hasClosed = true
    this.#command(CLOSE, 0, 0, connection, 0)
  }

  /**
   * A request for the engine's client.
   * @param {number} exchange
   * @param {number} flags
   * @param {number} client
   * @param {string} text latin1
   */
  fetch(exchange, flags, client, text) {
    const { length } = text
    if (length + COMMAND_HEADER + 3 > SUBMISSION_BYTES) throw new RangeError('the head of the request is too large')
    const at = this.#command(FETCH, flags, client, exchange, length)
    this.#bytes.latin1Write(text, at, length)
  }

  /**
   * The body of a fetch's response is read.
   * @param {number} exchange
   * @param {number} most bytes, at once; 0: piece by piece
   */
  readFetch(exchange, most) {
    const at = this.#command(FETCH_READ, most > 0 ? READ_WHOLE : 0, 0, exchange, 4)
    this.#words[at >> 2] = Math.min(most, LARGEST)
  }

  /** @param {number} exchange */
  abortFetch(exchange) {
    this.#command(FETCH_ABORT, 0, 0, exchange, 0)
  }

  /**
   * @param {number} op
   * @param {number} flags
   * @param {number} aux
   * @param {number} id
   * @param {number} length payload bytes
   * @returns {number} where the payload goes
   */
  #command(op, flags, aux, id, length) {
    const size = COMMAND_HEADER + ((length + 3) & ~3)
    if (this.#length + size > SUBMISSION_BYTES) this.flush()
    const at = this.#length
    const word = at >> 2
    this.#words[word] = op | (flags << 8) | (aux << 16)
    this.#words[word + 1] = length
    this.#words[word + 2] = id
    this.#words[word + 3] = upper(id)
    this.#length = at + size
    this.#lastWrite = NO_WRITE
    if (!this.#scheduled) {
      this.#scheduled = true
      // A microtask runs after all callbacks of the current tick queue: one batch for all of them.
      queueMicrotask(this.#flushLater)
    }
    return at + COMMAND_HEADER
  }
}

/**
 * The bits of an id beyond the lower 32, which storing it in a word leaves out.
 * @param {number} id
 */
function upper(id) {
  return id <= 0x7fff_ffff ? 0 : Math.floor(id / 0x1_0000_0000)
}

module.exports = { Submission }
