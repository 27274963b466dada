'use strict'

// What `agent.sockets`, `agent.freeSockets` and `agent.requests` show. It is made from the origins when somebody looks: a
// request costs nothing here. The shown objects stay the same ones, and the runtime's createSocket() may push real sockets
// into them.

const { EngineSocket } = require('../socket/socket.js')

/** @typedef {import('./origin.js').Origin} Origin */
/** @typedef {import('./origins.js').Origins} Origins */

/**
 * Real sockets that the runtime's createSocket() has just pushed: it looks at them before it delivers them.
 * @param {any[] | undefined} shown
 * @param {any[]} known
 */
function unknownSockets(shown, known) {
  return (shown ?? []).filter((socket) => !(socket instanceof EngineSocket) && !known.includes(socket))
}

/**
 * @param {Record<string, any[]>} shown
 * @param {string} name
 * @param {any[]} sockets
 * @param {boolean} keepEmpty whether createSocket() is about to push into it
 */
function show(shown, name, sockets, keepEmpty) {
  if (sockets.length === 0 && !(keepEmpty && shown[name] !== undefined)) {
    delete shown[name]
    return
  }
  shown[name] ??= []
  // Not as arguments: there may be too many of them.
  const list = shown[name]
  for (let at = 0; at < sockets.length; at += 1) list[at] = sockets[at]
  list.length = sockets.length
}

class ShownSockets {
  /** @type {Record<string, any[]>} */
  #sockets = Object.create(null)
  /** @type {Record<string, any[]>} */
  #freeSockets = Object.create(null)
  #origins
  /** Whose queues have changed since somebody looked at `agent.requests`. @type {Set<Origin>} */
  staleQueues = new Set()

  /** @param {Origins} origins */
  constructor(origins) {
    this.#origins = origins
  }

  get sockets() {
    this.#update()
    return this.#sockets
  }

  get freeSockets() {
    this.#update()
    return this.#freeSockets
  }

  /**
   * Brings what an agent shows of the requests that wait up to date.
   * @param {Record<string, any[]>} requests
   */
  waiting(requests) {
    for (const { name, queue } of this.staleQueues) {
      show(
        requests,
        name,
        Array.from(queue, ({ req }) => req),
        false,
      )
    }
    this.staleQueues.clear()
    return requests
  }

  /** @param {Origin} origin one that is empty */
  forget({ name }) {
    delete this.#sockets[name]
    delete this.#freeSockets[name]
  }

  #update() {
    this.#origins.noteClosed()
    for (const origin of this.#origins.values()) {
      if (!origin.stale) continue
      origin.stale = false
      const busy = []
      const idle = []
      for (const connection of origin.connections) {
        if (connection.isIdle) idle.push(connection)
        else if (!connection.isGone) busy.push(connection.socket)
      }
      idle.sort((one, other) => one.idleSince - other.idleSince)
      const free = idle.map((connection) => connection.socket)
      const sockets = [...origin.busySockets, ...busy]
      if (origin.creating > 0) sockets.push(...unknownSockets(this.#sockets[origin.name], sockets))
      show(this.#sockets, origin.name, sockets, origin.creating > 0)
      show(this.#freeSockets, origin.name, [...origin.idleSockets, ...free], false)
    }
  }
}

module.exports = { ShownSockets }
