'use strict'

// What chaos puts in the place of dns.lookup: a name says what comes of looking it up, as `twice-3.chaos.test`.

const dns = require('node:dns')

const { isDeno } = require('./runtime')

const DOMAIN = '.chaos.test'
/** Few, so that requests find connections of those before them. */
const NAMES_A_WAY = 3
const HERE = { address: '127.0.0.1', family: 4 }
/** Nobody listens there. */
const NOWHERE = { address: '127.0.0.2', family: 4 }

const notFound = () => Object.assign(new Error('getaddrinfo ENOTFOUND'), { code: 'ENOTFOUND', syscall: 'getaddrinfo' })
const failed = (callback) => callback(notFound())

/** `fails`: whatever the server does; `aborted`: or nothing would ever come of it. */
const WAYS = {
  now: { answer: (give) => give([HERE]) },
  soon: { answer: (give) => setImmediate(give, [HERE]) },
  late: { answer: (give) => setTimeout(give, 3, [HERE]) },
  twice: {
    answer(give, callback) {
      setImmediate(() => {
        give([HERE])
        give([NOWHERE])
        failed(callback)
      })
    },
  },
  several: { answer: (give) => setImmediate(give, [NOWHERE, HERE]) },
  nowhere: { fails: true, answer: (give) => setImmediate(give, [NOWHERE]) },
  unknown: { fails: true, answer: (_, callback) => setImmediate(failed, callback) },
  'unknown-now': { fails: true, answer: (_, callback) => failed(callback) },
  nonsense: { fails: true, answer: (give) => setImmediate(give, [{ address: 'nonsense', family: 4 }]) },
  never: { fails: true, aborted: true, answer() {} },
}

const names = Object.keys(WAYS)

/**
 * @param {() => number} next
 * @returns {{ host: string, fails?: boolean, aborted?: boolean }}
 */
function chosenName(next) {
  const way = names[Math.floor(next() * names.length)]
  const { fails, aborted } = WAYS[way]
  return { host: `${way}-${Math.floor(next() * NAMES_A_WAY)}${DOMAIN}`, fails, aborted }
}

/** @param {string} host */
function isChosen(host) {
  return host.endsWith(DOMAIN)
}

/**
 * Puts it there.
 * @returns {() => void} takes it away again
 */
function replaceLookup() {
  const { lookup } = dns
  dns.lookup = (host, options, callback) => {
    if (!isChosen(host)) return lookup(host, options, callback)
    const { answer } = WAYS[host.slice(0, host.lastIndexOf('-'))]
    answer((addresses) => {
      // Whoever asks for one gets one where somebody is, if there is one.
      const { address, family } = addresses.at(-1)
      if (options.all) callback(null, addresses)
      else callback(null, address, family)
    }, callback)
  }
  return () => {
    dns.lookup = lookup
  }
}

module.exports = {
  chosenName,
  isChosen,
  /** Deno's sockets do not look at dns.lookup. */
  looksUp: !isDeno,
  replaceLookup,
}
