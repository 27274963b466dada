'use strict'

// Why connections were closed, and why requests found none to reuse, in words; numbered as in src/pool/types.rs.

/** By the number of the reason. */
const CLOSE_REASONS = Object.freeze([
  'unknown',
  'closed-by-peer',
  'reset-by-peer',
  'unsolicited-bytes',
  'idle-timeout',
  'evicted',
  'agent-destroyed',
  'aborted',
  'not-reusable',
  'max-requests',
  'error',
  'keep-alive-off',
  'limits',
  'socket-active-ttl',
  'timed-out',
  'lent',
  'address-gone',
])

const IDLE_TOO_LONG = 254
const ALL_BUSY = 255

/** @param {number} reason */
function closeReason(reason) {
  return CLOSE_REASONS[reason] ?? CLOSE_REASONS[0]
}

/** @param {number} miss as lease() says */
function missReason(miss) {
  if (miss === 0) return 'none-idle'
  if (miss === IDLE_TOO_LONG) return 'idle-too-long'
  return miss === ALL_BUSY ? 'all-busy' : closeReason(miss)
}

module.exports = { CLOSE_REASONS, closeReason, missReason }
