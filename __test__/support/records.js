'use strict'

// Records of TLS 1.3 that no server of a runtime's own would send: the keys are those of a connection that such a server has
// opened, and it says nothing more once this has begun to.

const { createCipheriv, createDecipheriv, createHmac } = require('node:crypto')

const HEADER = 5
const TAG = 16
const HANDSHAKE = 22
const DATA = 23

/** A session for later, of the shortest kind: lifetime, age, no nonce, a ticket of a byte, no extensions. */
const TICKET = Buffer.from([4, 0, 0, 14, 0, 0, 14, 16, 0, 0, 0, 0, 0, 0, 1, 7, 0, 0])
/** New keys from here on; the client need not change its own. */
const KEY_UPDATE = Buffer.from([24, 0, 0, 1, 0])

class Records {
  #raw
  #cable
  #number = 0
  #sent = Buffer.alloc(0)
  #secret = Buffer.alloc(0)
  #key = Buffer.alloc(0)
  #iv = Buffer.alloc(0)

  /**
   * @param {import('node:tls').TLSSocket} stream a server's end
   * @param {import('node:net').Socket} raw
   * @param {import('./listener').Cable} cable between the two
   */
  constructor(stream, raw, cable) {
    this.#raw = raw
    this.#cable = cable
    stream.on('keylog', (line) => {
      const [label, , secret] = line.toString('latin1').trim().split(' ')
      if (label === 'SERVER_TRAFFIC_SECRET_0') this.#useSecret(Buffer.from(secret, 'hex'))
    })
    cable.watch((bytes) => {
      this.#sent = Buffer.concat([this.#sent, bytes])
      if (this.#secret.length > 0) this.#catchUp()
    })
  }

  /** @returns {[string, string]} the digest, and the cipher */
  get #suite() {
    return this.#secret.length === 48 ? ['sha384', 'aes-256-gcm'] : ['sha256', 'aes-128-gcm']
  }

  #useSecret(secret) {
    this.#secret = secret
    this.#key = this.#expand('key', secret.length === 48 ? 32 : 16)
    this.#iv = this.#expand('iv', 12)
    this.#number = 0
  }

  /** HKDF-Expand-Label of RFC 8446, for what one digest holds. */
  #expand(label, length) {
    const name = Buffer.from(`tls13 ${label}`)
    const info = Buffer.concat([Buffer.from([0, length, name.length]), name, Buffer.from([0, 1])])
    return createHmac(this.#suite[0], this.#secret).update(info).digest().subarray(0, length)
  }

  #nonce() {
    const nonce = Buffer.from(this.#iv)
    nonce.writeUInt32BE((nonce.readUInt32BE(8) ^ this.#number) >>> 0, 8)
    return nonce
  }

  /** Counts the records that the server has sent with these keys: after its last ones of the handshake. */
  #catchUp() {
    let at = 0
    while (at + HEADER <= this.#sent.length) {
      const end = at + HEADER + this.#sent.readUInt16BE(at + 3)
      if (end > this.#sent.length) break
      if (this.#sent[at] === DATA && this.#opens(this.#sent.subarray(at, end))) this.#number++
      at = end
    }
    this.#sent = this.#sent.subarray(at)
  }

  #opens(record) {
    const decipher = createDecipheriv(this.#suite[1], this.#key, this.#nonce())
    decipher.setAAD(record.subarray(0, HEADER)).setAuthTag(record.subarray(-TAG))
    decipher.update(record.subarray(HEADER, -TAG))
    try {
      decipher.final()
      return true
    } catch {
      return false
    }
  }

  #record(type, said) {
    const length = said.length + 1 + TAG
    const header = Buffer.from([DATA, 3, 3, length >> 8, length & 0xff])
    const cipher = createCipheriv(this.#suite[1], this.#key, this.#nonce()).setAAD(header)
    const inner = Buffer.concat([cipher.update(said), cipher.update(Buffer.from([type])), cipher.final()])
    this.#number++
    return Buffer.concat([header, inner, cipher.getAuthTag()])
  }

  /**
   * Sends records, all at once.
   * @param {'data' | 'session' | 'keys'} kind
   * @param {(Buffer | string)[] | number} what the data of each, or how many
   * @returns {boolean} whether there is room for more
   */
  send(kind, what) {
    // What the server has still to say, such as a session, would come with numbers of ours.
    this.#cable.cutAfter(0, () => {})
    const said = typeof what === 'number' ? Array.from({ length: what }, () => '') : what
    const records = said.map((text) => {
      if (kind === 'data') return this.#record(DATA, Buffer.from(text))
      const record = this.#record(HANDSHAKE, kind === 'keys' ? KEY_UPDATE : TICKET)
      if (kind === 'keys') this.#useSecret(this.#expand('traffic upd', this.#secret.length))
      return record
    })
    return this.#raw.write(Buffer.concat(records))
  }

  /** Sends the same without end, as fast as it is taken. */
  flood(kind, what) {
    const more = () => {
      // In turns, so that the server has time for others.
      if (!this.#raw.destroyed && this.send(kind, what)) setImmediate(more)
    }
    this.#raw.on('drain', more)
    more()
  }
}

module.exports = { Records }
