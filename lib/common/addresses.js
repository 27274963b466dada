'use strict'

// Which addresses may be connected to: the agent option `allowAddress`, and a ready answer to it. docs/dns.md has the user's side.

const { isIP } = require('node:net')

const { lazy } = require('../runtime/lazy.js')
const { coded, isPromise, notA } = require('./errors.js')

/** @typedef {(ip: string, family: 4 | 6, host: string) => unknown} AllowAddress */

/**
 * Of the registries of special-purpose addresses (IANA, RFC 6890), what is not reachable from everywhere: first address and
 * how many leading bits count.
 */
const specialV4 = lazy(() =>
  [
    ['0.0.0.0', 8],
    ['10.0.0.0', 8],
    ['100.64.0.0', 10],
    ['127.0.0.0', 8],
    ['169.254.0.0', 16],
    ['172.16.0.0', 12],
    ['192.0.0.0', 24],
    ['192.0.2.0', 24],
    ['192.31.196.0', 24],
    ['192.52.193.0', 24],
    ['192.88.99.0', 24],
    ['192.168.0.0', 16],
    ['192.175.48.0', 24],
    ['198.18.0.0', 15],
    ['198.51.100.0', 24],
    ['203.0.113.0', 24],
    // Multicast, reserved, broadcast.
    ['224.0.0.0', 3],
  ].map(([first, bits]) => ({ first: bitsOfV4(String(first)), bits: Number(bits) })),
)

/** Within 2000::/3, which is all that is given out of IPv6. */
const specialV6 = lazy(() =>
  [
    // Teredo, benchmarks, ORCHID and other protocols.
    ['2001::', 23],
    ['2001:db8::', 32],
    // 6to4 stands for an address of IPv4, by relays that are nobody's.
    ['2002::', 16],
    ['2620:4f:8000::', 48],
    ['3fff::', 20],
  ].map(([first, bits]) => ({ first: groupsOfV6(String(first)), bits: Number(bits) })),
)

const globalV6 = lazy(() => ({ first: groupsOfV6('2000::'), bits: 3 }))
/** What stands for an address of IPv4, which its last 32 bits are: mapped, and translated by NAT64. */
const v4InV6 = lazy(() => [
  { first: groupsOfV6('::ffff:0:0'), bits: 96 },
  { first: groupsOfV6('64:ff9b::'), bits: 96 },
])

/** @param {string} ip */
function bitsOfV4(ip) {
  return ip.split('.').reduce((bits, part) => bits * 256 + Number(part), 0)
}

/**
 * @param {string} ip a valid one, of IPv6 and without a zone
 * @returns {number[]} eight numbers of 16 bits
 */
function groupsOfV6(ip) {
  let text = ip
  const dotted = ip.lastIndexOf('.') === -1 ? -1 : ip.lastIndexOf(':') + 1
  if (dotted > 0) {
    const v4 = bitsOfV4(ip.slice(dotted))
    text = `${ip.slice(0, dotted)}${(v4 >>> 16).toString(16)}:${(v4 & 0xffff).toString(16)}`
  }
  const [head, tail] = text.split('::').map((half) => (half === '' ? [] : half.split(':')))
  const last = tail ?? []
  const gap = tail === undefined ? 0 : 8 - head.length - last.length
  return [...head, ...new Array(gap).fill('0'), ...last].map((group) => Number.parseInt(group, 16))
}

/**
 * @param {number} ip
 * @param {{ first: number, bits: number }} range
 */
function isInV4(ip, { first, bits }) {
  const shift = 32 - bits
  return ip >>> shift === first >>> shift
}

/**
 * @param {number[]} groups
 * @param {{ first: number[], bits: number }} range
 */
function isInV6(groups, { first, bits }) {
  for (let at = 0, left = bits; left > 0; at += 1, left -= 16) {
    const shift = Math.max(0, 16 - left)
    if (groups[at] >>> shift !== first[at] >>> shift) return false
  }
  return true
}

/**
 * Allows addresses that are reachable from everywhere, and no others: not this machine's, private networks', link-local ones
 * (where clouds tell credentials), multicast, or those for documents and tests.
 * @param {string} ip
 * @returns {boolean}
 */
function publicAddressesOnly(ip) {
  const [address] = String(ip).split('%')
  const family = isIP(address)
  if (family === 0) return false
  if (family === 4) return isPublicV4(bitsOfV4(address))
  const groups = groupsOfV6(address)
  if (v4InV6().some((range) => isInV6(groups, range))) return isPublicV4(groups[6] * 0x10000 + groups[7])
  return isInV6(groups, globalV6()) && !specialV6().some((range) => isInV6(groups, range))
}

/** @param {number} ip */
function isPublicV4(ip) {
  return !specialV4().some((range) => isInV4(ip, range))
}

/**
 * Those of `addresses` that may be connected to, and why the first of the others may not.
 * @param {AllowAddress | undefined} allow
 * @param {string[]} addresses
 * @param {string} host what stands for them
 */
function judged(allow, addresses, host) {
  /** @type {Error | undefined} */
  let refusal
  const allowed = addresses.filter((ip) => {
    const why = refusalOf(allow, ip, host)
    refusal ??= why
    return why === undefined
  })
  return { allowed, refusal }
}

/** What look-ups that judge were made of. @type {WeakMap<Function, { allow: AllowAddress, lookup: any }>} */
const judging = new WeakMap()

/** @param {any} lookup one that may judge */
function unjudged(lookup) {
  return judging.get(lookup)?.lookup ?? lookup
}

/**
 * A look-up for sockets of the runtime's, which tells nothing that may not be connected to.
 * @param {AllowAddress} allow
 * @param {any} given
 */
function judgedLookup(allow, given) {
  if (judging.get(given)?.allow === allow) return given
  const lookup = unjudged(given)
  const judged = judgedBy(allow, lookup)
  judging.set(judged, { allow, lookup })
  return judged
}

/**
 * @param {AllowAddress} allow
 * @param {any} lookup
 */
function judgedBy(allow, lookup) {
  return (/** @type {string} */ host, /** @type {any} */ options, /** @type {any} */ callback) =>
    lookup(host, options, (/** @type {any} */ error, /** @type {any} */ found, /** @type {any} */ family) => {
      if (error) {
        callback(error, found, family)
        return
      }
      const isList = Array.isArray(found)
      const list = isList ? found : [{ address: found, family }]
      const { allowed, refusal } = judged(
        allow,
        list.map(({ address }) => String(address)),
        host,
      )
      if (allowed.length === 0) callback(refusal)
      else if (isList)
        callback(
          null,
          list.filter(({ address }) => allowed.includes(String(address))),
        )
      else callback(null, found, family)
    })
}

/**
 * Why an address may not be connected to; undefined: it may.
 * @param {AllowAddress | undefined} allow
 * @param {string} ip
 * @param {string} host what stands for it, or the same
 * @returns {Error | undefined}
 */
function refusalOf(allow, ip, host) {
  if (allow === undefined) return undefined
  const [address] = ip.split('%')
  const family = isIP(address) === 6 ? 6 : 4
  try {
    const said = allow(ip, family, host)
    // It is true, whatever it is a promise of.
    if (isPromise(said)) return notA('boolean', 'allowAddress()', said)
    if (said) return undefined
  } catch (error) {
    return /** @type {Error} */ (error)
  }
  const told = ip === host ? ip : `${ip}, which "${host}" stands for`
  return refused(`allowAddress refuses ${told}`, { address: ip, host })
}

/** @param {string} socketPath */
function refusalOfPath(socketPath) {
  return refused(`allowAddress refuses ${socketPath}, which is no address`, { address: socketPath })
}

/**
 * @param {string} message
 * @param {Record<string, unknown>} facts
 */
function refused(message, facts) {
  return Object.assign(coded('ERR_KEEPWIRE_ADDRESS_REFUSED', message), facts)
}

module.exports = { judged, judgedLookup, publicAddressesOnly, refusalOf, refusalOfPath, unjudged }
