'use strict'

// What requests of fetches that the engine carries have in common: how it gives them their response's body.

const native = require('../bridge/native.js')
const { Exchange } = require('../exchange/exchange.js')

class BaseHandler extends Exchange {
  /** Lent to the engine for the response's body. @type {Buffer | null} */
  #room = null

  /**
   * @param {any} agent
   * @param {Record<string, any>} options what to connect to
   */
  constructor(agent, options) {
    super(agent, options)
    this.copiesChunks = true
  }

  /**
   * @param {number} most bytes of the body, which is read at once; 0: it is read piece by piece
   * @param {boolean} owned whether it is to come in memory of the runtime's own, each piece by itself
   * @param {Buffer | null} room for all of it
   */
  read(most, owned, room) {
    if (this.isSettled) return
    this.copiesChunks = !owned
    this.ownsChunks = owned
    this.#room = room
    if (room !== null) native.lendBuffer(this.port.id, this.id, room)
    this.port.submission.readFetch(this.id, most)
  }

  /** @param {Buffer} chunk that came: it may be the room that was made */
  noteReturned(chunk) {
    if (chunk === this.#room) this.#room = null
  }

  settle() {
    if (this.#room !== null && !this.isSettled) native.reclaimBuffer(this.port.id, this.id)
    super.settle()
  }
}

module.exports = { BaseHandler }
