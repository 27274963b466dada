'use strict'

// Where the runtime runs a program in a sandbox, and whether the network is forbidden to it: Node's `--permission` without
// `--allow-net`, Deno without `--allow-net` or with a list of hosts. A native addon is outside of the sandbox, so whoever opens a
// connection by the engine asks here first. What is not allowed for certain falls back to the runtime's sockets, where the
// runtime judges it, prompts, or fails with its own error.

const net = require('node:net')
const { isDeno, isNode } = require('./probes.js')

/**
 * @typedef {object} DenoStatus kept up to date by Deno
 * @property {'granted' | 'prompt' | 'denied'} state
 * @property {boolean} partial whether some hosts are denied
 */

const allowed = () => false

/**
 * Whether the runtime might not let the program connect to a host (a name or an address) and port, or to a path in their place.
 * @type {(host: unknown, port: unknown, socketPath?: unknown) => boolean}
 */
let mayBeForbidden = allowed

/** @param {object} descriptor as Deno.permissions takes it */
function isGranted(descriptor) {
  return /** @type {any} */ (globalThis).Deno.permissions.querySync(descriptor).state === 'granted'
}

if (isDeno) {
  /** @type {DenoStatus} */
  const whole = /** @type {any} */ (globalThis).Deno.permissions.querySync({ name: 'net' })
  mayBeForbidden = (host, port, socketPath) => {
    if (socketPath) return !['read', 'write'].every((name) => isGranted({ name, path: socketPath }))
    if (whole.state === 'granted' && !whole.partial) return false
    // Deno judges the addresses of a name as well, when it knows them.
    const family = net.isIP(String(host))
    if (family === 0) return true
    return !isGranted({ name: 'net', host: `${family === 6 ? `[${host}]` : host}:${port}` })
  }
} else if (isNode) {
  const { permission } = /** @type {{ permission?: { has(scope: string): boolean } }} */ (process)
  // The set of flags is made when somebody asks for it.
  if (permission !== undefined && process.allowedNodeEnvironmentFlags.has('--allow-net')) {
    mayBeForbidden = () => !permission.has('net')
  }
}

module.exports = {
  /** Whether there is anything to ask: nearly never, and every request would. */
  isSandboxed: mayBeForbidden !== allowed,
  mayBeForbidden,
}
