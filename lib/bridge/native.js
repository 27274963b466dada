'use strict'

// Loads the addon: lib/native/keepwire.<target>.node of a checkout, else the platform package keepwire-<target> that
// npm installed beside this one. `npm run build` in a checkout makes the former.

const { existsSync } = require('node:fs')
const path = require('node:path')

const { name, version } = require('../../package.json')
const { libc, nativeTargets } = require('./target.js')

/** Where `npm run build` puts the addon. */
const BUILT = path.join(__dirname, '../native')

/**
 * @typedef {object} NativeNames
 * @property {number} ttl
 * @property {number} negativeTtl
 * @property {number} maxStale
 * @property {number} maxEntries
 * @property {number} maxThreads
 * @property {boolean} rotate
 */

/**
 * @typedef {object} NativeLimits
 * @property {boolean} keepAlive
 * @property {number} maxSockets
 * @property {number} maxTotalSockets
 * @property {number} maxFreeSockets
 * @property {boolean} fifo
 * @property {number} freeSocketTimeoutMs
 * @property {number} socketActiveTtlMs
 * @property {number} maxRequestsPerSocket
 * @property {number} maxPending
 * @property {boolean} shared
 */

/**
 * @typedef {object} NativeProfile
 * @property {string} host
 * @property {number} port
 * @property {string | undefined} [socketPath]
 * @property {number} family
 * @property {string | undefined} [localAddress]
 * @property {number} localPort
 * @property {boolean} keepAlive
 * @property {number} keepAliveInitialDelayMs
 * @property {boolean} noDelay
 * @property {boolean} autoSelectFamily
 * @property {number} firstFamily
 * @property {number} attemptTimeoutMs
 * @property {number} connectTimeoutMs
 * @property {number} tcpUserTimeoutMs
 * @property {number} asks when the program says what to connect to: 0 while dns.lookup is replaced, 1 for a name, 2 always
 * @property {number | undefined} [tls]
 * @property {string | undefined} [servername]
 * @property {boolean | undefined} [keylog]
 * @property {{ host: string, port: number, way: number, resolves: boolean, fields: string, name: string, user?: string, password?: string, tls?: number, servername?: string } | undefined} [proxy]
 * @property {number | undefined} [maxStreams] how many exchanges at a time a connection may carry that speaks HTTP/2; undefined: none
 * @property {number | undefined} [pingAfterMs] after how long a silence such a server is asked whether it is there; 0: never
 */

/**
 * @typedef {object} NativeTls
 * @property {number} roots
 * @property {string[]} certs
 * @property {string[]} keys
 * @property {string[]} crls
 * @property {boolean} rejectUnauthorized
 * @property {boolean} askIdentity
 * @property {boolean} tls12
 * @property {boolean} tls13
 * @property {string[]} ciphers
 * @property {string[]} alpn
 * @property {number} sessions
 */

/**
 * @typedef {object} NativeTally
 * @property {string} name
 * @property {number} count
 */

/**
 * An origin's counters; src/bridge/stats.rs.
 * @typedef {object} NativeOrigin
 * @property {string} name
 * @property {number[]} counts
 * @property {number[]} totals
 * @property {number[]} closed
 * @property {NativeTally[]} errors
 * @property {NativeTally[]} fallback
 * @property {number[]} wait
 * @property {number[]} connect
 * @property {number[]} firstByte
 */

/**
 * What the process did at a place; src/bridge/stats.rs.
 * @typedef {object} NativePlace
 * @property {string} name
 * @property {number[]} counts
 * @property {number} limit
 * @property {number[]} totals
 * @property {number[]} closed
 * @property {NativeTally[]} errors
 * @property {NativeTally[]} fallback
 * @property {number[][]} times
 * @property {{ method: string, class: number, times: number[] }[]} durations
 */

/**
 * @typedef {object} NativeConnection
 * @property {number} id
 * @property {string} place
 * @property {number} state
 * @property {number} ageMs
 * @property {number} idleMs
 * @property {number} uses
 * @property {string} [address]
 * @property {number} [port]
 * @property {string} [protocol]
 * @property {string} [cipher]
 * @property {string} [alpn]
 * @property {string} [proxy]
 */

/**
 * What a proxy did, and what is open through it; src/bridge/stats.rs.
 * @typedef {object} NativeProxyStats
 * @property {string} name
 * @property {number[]} counts
 * @property {number[]} totals
 * @property {NativeTally[]} refused
 * @property {NativeTally[]} errors
 * @property {number[]} passed
 * @property {string[]} last
 * @property {number} lastAt
 * @property {NativeTally[]} targets
 * @property {number} targetCount
 */

/**
 * All places in few numbers; src/bridge/overview.rs.
 * @typedef {object} NativeOverview
 * @property {string[]} names
 * @property {Float64Array} numbers
 * @property {{ place: number, fallback: boolean, name: string, count: number }[]} tallies
 */

/**
 * What runs in the addon's own realm; src/bridge/contexts.js.
 * @typedef {object} NativeContexts
 * @property {(port: number) => void} wake
 * @property {(port: number, wake: () => void) => void} watch
 * @property {(port: number, isActive: boolean) => void} hold
 */

/**
 * What decoding came to; src/bridge/content.rs.
 * @typedef {object} NativeDecoded
 * @property {Buffer} bytes
 * @property {number} state 0: there is more, 1: it needs more encoded bytes, 2: the content is over, 3: it failed
 * @property {string} code of a failure
 * @property {string} message
 */

/**
 * The engine's functions; docs/internals/protocol.md says what each answers, and how the batches of a port are laid out.
 * @typedef {object} NativeBinding
 * @property {(agent?: number) => NativeOrigin[]} stats
 * @property {(agent: number | undefined, targets: number) => NativeProxyStats[]} proxies
 * @property {() => NativePlace[]} totals
 * @property {(agent?: number, place?: string, most?: number) => NativeConnection[]} connections
 * @property {() => NativeOverview} overview
 * @property {(place: string, waiters: number) => number[][]} placeTimes
 * @property {() => { keys: number, profiles: number, trusts: number, settings: number, lent: number }} held
 * @property {NativeContexts} contexts
 * @property {(wake: (port: number) => void) => number} openPort
 * @property {(port: number, wake: (port: number) => void, looks: boolean) => boolean} openLoop
 * @property {(port: number, microseconds: number) => number} look
 * @property {(port: number) => void} closePort
 * @property {(port: number, active: boolean) => void} setActive
 * @property {(port: number, on: boolean) => void} setLooksUp
 * @property {(port: number, limits: NativeLimits) => number} createAgent
 * @property {(agent: number, limits: NativeLimits) => void} setLimits
 * @property {(agent: number, key: number, on: boolean, waitedMs: number) => void} holdBack
 * @property {(agent: number) => void} spreadAddresses
 * @property {(agent: number, names: NativeNames) => void} cacheNames
 * @property {(agent: number) => number[] | null} cachedNames
 * @property {(agent: number) => void} dropAgent
 * @property {(agent: number) => void} closeIdle
 * @property {(agent: number, identity: string, name: string, place: string, route: string) => number} openOrigin
 * @property {(agent: number, key: number) => void} closeOrigin
 * @property {(agent: number, key: number, profile: NativeProfile) => number} internProfile
 * @property {(agent: number, key: number, fallback: boolean, name: string) => void} note
 * @property {(pem: string, partialChains: boolean, isDefault: boolean, dialect: number) => number} internTrust
 * @property {(settings: NativeTls) => number | null} internTls
 * @property {(agent: number, key: number, settings: number) => void} holdTls
 * @property {(connection: number) => void} bind
 * @property {(connection: number, tos: number) => number | null} typeOfService
 * @property {(port: number, exchange: number) => boolean} cancel
 * @property {(agent: number, key: number) => void} releaseFallback
 * @property {(agent: number, key: number, idle: boolean) => boolean} fallbackIdle
 * @property {(port: number) => Uint32Array | null} closedIdle
 * @property {(port: number, agent: number, key: number, profile: number, exchange: number, purpose: number) => number} lease
 * @property {(connection: number, idleLimitMs: number) => number} checkIn
 * @property {(port: number, batch: Uint8Array, length: number, inLoop: boolean) => void} submit
 * @property {(port: number, into: Uint8Array) => number} drain
 * @property {(port: number, isOwned: boolean) => Buffer} takeChunk
 * @property {(port: number, exchange: number, buffer: Buffer) => void} lendBuffer
 * @property {(port: number, exchange: number) => void} reclaimBuffer
 * @property {(port: number, exchange: number, chunk: Uint8Array, flags: number, batch: Uint8Array, length: number, inLoop: boolean) => boolean} submitBody
 * @property {(tls: number) => number} fetchClient
 * @property {(port: number, encodings: string[]) => number} openContent
 * @property {(port: number, content: number) => void} closeContent
 * @property {(port: number, content: number, chunk: Uint8Array | null) => Promise<NativeDecoded>} decodeContent
 * @property {(url: string) => boolean} canCarry
 */

function runtimeName() {
  const { bun, deno, node } = process.versions
  if (bun !== undefined) return `Bun ${bun}`
  if (deno !== undefined) return `Deno ${deno}`
  return `Node ${node}`
}

/** @param {string} file */
function loadFile(file) {
  if (!existsSync(file)) throw new Error('no such file')
  return require(file)
}

/**
 * Both sides of the bridge lay out their batches alike only within one release.
 * @param {{ version: string }} manifest
 */
function checkVersion(manifest) {
  if (manifest.version !== version) throw new Error(`version ${manifest.version} does not belong to ${name} ${version}`)
}

/**
 * Named literally, in the block of a `try` itself: bundlers and tracers of files find the package that is installed so, and take it that
 * the others are not.
 * @param {string} target
 */
function loadPackage(target) {
  try {
    switch (target) {
      case 'darwin-arm64':
        checkVersion(require('keepwire-darwin-arm64/package.json'))
        return require('keepwire-darwin-arm64')
      case 'darwin-x64':
        checkVersion(require('keepwire-darwin-x64/package.json'))
        return require('keepwire-darwin-x64')
      case 'linux-arm64-gnu':
        checkVersion(require('keepwire-linux-arm64-gnu/package.json'))
        return require('keepwire-linux-arm64-gnu')
      case 'linux-arm64-musl':
        checkVersion(require('keepwire-linux-arm64-musl/package.json'))
        return require('keepwire-linux-arm64-musl')
      case 'linux-x64-gnu':
        checkVersion(require('keepwire-linux-x64-gnu/package.json'))
        return require('keepwire-linux-x64-gnu')
      case 'linux-x64-musl':
        checkVersion(require('keepwire-linux-x64-musl/package.json'))
        return require('keepwire-linux-x64-musl')
      case 'win32-arm64-msvc':
        checkVersion(require('keepwire-win32-arm64-msvc/package.json'))
        return require('keepwire-win32-arm64-msvc')
      case 'win32-x64-msvc':
        checkVersion(require('keepwire-win32-x64-msvc/package.json'))
        return require('keepwire-win32-x64-msvc')
      default:
        throw new Error('there is none')
    }
  } catch (error) {
    // Bun's is no Error, and some runtimes spell the code ERR_MODULE_NOT_FOUND.
    const { code } = /** @type {{ code?: string }} */ (error)
    throw code?.endsWith('MODULE_NOT_FOUND') ? new Error('not installed', { cause: error }) : error
  }
}

/**
 * @param {{ looked: string, error: unknown }[]} attempts
 * @returns {Error}
 */
function cannotLoad(attempts) {
  const library = libc()
  const place = `${process.platform} ${process.arch}${library === null ? '' : ` (${library})`}, ${runtimeName()}`
  const reason = (/** @type {unknown} */ error) => (error instanceof Error ? error.message : String(error))
  const message = [
    `keepwire's native addon could not be loaded for ${place}. Looked for:`,
    ...attempts.map(({ looked, error }) => `  - ${looked}: ${reason(error).trim()}`),
    'What to do: reinstall without leaving out optional dependencies (npm install keepwire --include=optional),',
    'or, in a checkout, build the addon from source with `npm run build` (needs Rust).',
    'In what a bundler has made: mark keepwire as external, and install it beside (docs/bundlers-and-platforms.md).',
  ].join('\n')
  const cause = new AggregateError(attempts.map(({ error }) => error))
  return Object.assign(new Error(message, { cause }), { code: 'ERR_KEEPWIRE_ADDON' })
}

/** @returns {NativeBinding} */
function load() {
  const attempts = []
  const targets = nativeTargets()
  const candidates = [
    ...targets.map((target) => {
      const file = path.join(BUILT, `${name}.${target}.node`)
      return { looked: `file ${file}`, load: () => loadFile(file) }
    }),
    ...targets.map((target) => ({ looked: `package ${name}-${target}`, load: () => loadPackage(target) })),
  ]
  for (const { load, looked } of candidates) {
    try {
      return load()
    } catch (error) {
      attempts.push({ looked, error })
    }
  }
  throw cannotLoad(attempts)
}

module.exports = load()
