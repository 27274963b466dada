'use strict'

// The completion batch: records from the engine, read one at a time and dispatched to the exchange, connection or agent
// that they are about.
//
// The cursor moves past a record, and an external chunk is fetched, before the record is dispatched: whatever a user's
// callback throws, the next call goes on with the record after it. Records about exchanges that are settled already
// (aborted while the record was under way) are skipped.

const { Buffer } = require('node:buffer')

const { setImmediate } = require('../runtime/captured.js')
const { drain, takeChunk } = require('./native.js')

const { Head, SLOT_SHIFT, STATUS_MASK } = require('./response-heads.js')

const {
  ASSIGNED,
  CLOSED,
  SECURED,
  COMPLETION_BYTES,
  CONNECTED,
  DATA,
  ERROR,
  EVICT,
  EXTERNAL,
  INFORMATIONAL,
  LOOKUP,
  MAY_DO,
  PARTED,
  RECORD_HEADER,
  RESPONSE,
  RESPONSE_END,
  STALLED,
  WRITTEN,
} = require('./layout.js')

class Completion {
  #port
  #bytes = Buffer.allocUnsafeSlow(COMPLETION_BYTES)
  #words = new Int32Array(this.#bytes.buffer)
  #doubles = new DataView(this.#bytes.buffer)
  /** Heads by the numbers they were kept under. @type {Head[]} */
  #heads = []
  #at = 0
  #end = 0
  /** Whom the record is about that was dispatched last. @type {import('../exchange/exchange.js').Exchange | null | undefined} */
  subject = undefined

  /** @param {number} port */
  constructor(port) {
    this.#port = port
  }

  /** What the current batch holds. */
  get bytes() {
    return this.#end
  }

  /** Fetches the next batch if the current one is read. Returns whether there is a record. */
  fetch() {
    if (this.#at < this.#end) return true
    this.#at = 0
    // A long head is read, and nobody knows when the next one comes.
    if (this.#bytes.length > COMPLETION_BYTES) this.#resize(COMPLETION_BYTES)
    this.#end = drain(this.#port, this.#bytes)
    if (this.#end < 0) {
      this.#resize(-this.#end)
      this.#end = drain(this.#port, this.#bytes)
    }
    return this.#end > 0
  }

  /**
   * A response head may be larger than the buffer: maxHeaderSize is the user's.
   * @param {number} bytes
   */
  #resize(bytes) {
    this.#bytes = Buffer.allocUnsafeSlow((bytes + 3) & ~3)
    this.#words = new Int32Array(this.#bytes.buffer)
    this.#doubles = new DataView(this.#bytes.buffer)
  }

  /**
   * Dispatches the records of the current batch.
   * @param {import('./port.js').Port} port
   * @returns {boolean} false: the next one has to wait until promises are kept
   */
  dispatch(port) {
    const words = this.#words
    while (this.#at < this.#end) {
      const word = this.#at >> 2
      const first = words[word]
      const kind = first & 0xff
      const flags = (first >>> 8) & 0xff
      const aux = first >>> 16
      const length = words[word + 1]
      const low = words[word + 2]
      const high = words[word + 3]
      // Nearly always a small integer, which is kept one.
      const id = high === 0 && low >= 0 ? low : (low >>> 0) + high * 0x1_0000_0000
      const extra = words[word + 4]
      const at = this.#at + RECORD_HEADER
      let next = at + ((length + 3) & ~3)
      switch (kind) {
        case RESPONSE: {
          const exchange = port.exchange(id)
          this.subject = exchange
          if (exchange?.isBehind(flags)) return false
          const bodyAt = next
          next += (extra + 3) & ~3
          this.#at = next
          // Also for an exchange that is over: its head may be told by number from now on.
          const head = this.#head(at, length, aux >>> SLOT_SHIFT)
          if (exchange === undefined) break
          exchange.toldIn = port.round
          const status = aux & STATUS_MASK
          const isFinal = (flags & INFORMATIONAL) === 0
          if (isFinal && exchange.pass !== null) exchange.pass.noteAnswer(status, head.lines)
          if (!isFinal) exchange.onInformation(status, flags, head)
          else exchange.onHead(status, flags, head, extra > 0 ? this.#copy(bodyAt, extra, exchange) : null)
          break
        }
        case DATA: {
          const exchange = port.exchange(id) ?? port.lingering(id)
          this.subject = exchange
          const external = (flags & EXTERNAL) !== 0
          if (exchange?.isUnseen(external ? extra : length)) return false
          this.#at = next
          const chunk = external ? takeChunk(this.#port, exchange?.ownsChunks === true) : null
          if (exchange === undefined) break
          exchange.onData(flags, chunk ?? this.#copy(at, length, exchange))
          break
        }
        case RESPONSE_END: {
          const exchange = port.exchange(id) ?? port.lingering(id)
          this.subject = exchange
          if (exchange?.isBehind(flags) || exchange?.isUnseen(0)) return false
          this.#at = next
          exchange?.onEnd(flags, length > 0 ? this.#text(at, length) : '')
          break
        }
        case ERROR: {
          const exchange = port.exchange(id)
          this.subject = exchange
          const text = this.#text(at, length)
          if (exchange?.isBehind(flags) || (exchange?.toldIn === port.round && !isOfParser(text))) return false
          this.#at = next
          // Not what the runtime takes over.
          if ((flags & MAY_DO) === 0) exchange?.pass?.noteFailure()
          exchange?.onError(flags, extra, text)
          break
        }
        case WRITTEN: {
          this.#at = next
          const exchange = port.exchange(id)
          this.subject = exchange
          exchange?.onSent(this.#doubles.getFloat64(at, true))
          break
        }
        case ASSIGNED:
          this.#at = next
          port.exchange(id)?.onAssigned(aux, extra >>> 0)
          break
        case LOOKUP: {
          this.#at = next
          const connection = port.connections.get(id)
          this.subject = connection?.exchange
          connection?.onLookup()
          break
        }
        case CONNECTED: {
          this.#at = next
          const connection = port.connections.get(id)
          this.subject = connection?.exchange
          connection?.onConnected(flags, aux, this.#text(at, length))
          break
        }
        case SECURED: {
          this.#at = next
          const connection = port.connections.get(id)
          this.subject = connection?.exchange
          connection?.onSecured(flags, this.#text(at, length))
          break
        }
        case CLOSED: {
          this.#at = next
          const connection = port.connections.get(id)
          this.subject = connection?.exchange
          connection?.onClosed(aux)
          break
        }
        case PARTED:
          this.#at = next
          // A user who reads the response has come to its end by then, and the exchange is over.
          setImmediate(part, port, id)
          break
        case STALLED:
          this.#at = next
          port.exchange(id)?.onStalled()
          break
        case EVICT:
          this.#at = next
          port.agent(extra >>> 0)?.onEvict(id)
          break
        default:
          this.#at = next
          throw new Error(`keepwire: unknown record ${kind} from the engine`)
      }
    }
    return true
  }

  /**
   * @param {number} at
   * @param {number} length 0: the head is the one kept under the number
   * @param {number} slot 0: it is not to be kept
   */
  #head(at, length, slot) {
    if (length === 0 && slot > 0) return this.#heads[slot]
    const head = new Head(this.#text(at, length), slot > 0)
    if (slot > 0) this.#heads[slot] = head
    return head
  }

  /**
   * @param {number} at
   * @param {number} length
   */
  #text(at, length) {
    return this.#bytes.latin1Slice(at, at + length)
  }

  /**
   * @param {number} at
   * @param {number} length
   * @param {import('../exchange/exchange.js').Exchange} exchange whose it is: its user may send the memory elsewhere, unless that is a copy anyway
   */
  #copy(at, length, exchange) {
    const chunk = exchange.copiesChunks ? Buffer.allocUnsafe(length) : Buffer.allocUnsafeSlow(length)
    this.#bytes.copy(chunk, 0, at, at + length)
    return chunk
  }
}

/**
 * Whether an ERROR is the parser's: the runtime's tells it in the turn of a response in front of it. All else that comes of a
 * connection does in a turn of its own, and who has just been told of the response may not listen yet: `await once(req, 'response')`.
 * @param {string} fields
 */
function isOfParser(fields) {
  return fields.startsWith('HPE_')
}

/**
 * @param {import('./port.js').Port} port
 * @param {number} id
 */
function part(port, id) {
  port.exchange(id)?.onParted()
}

module.exports = { Completion }
