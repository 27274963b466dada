'use strict'

// Reuse through real proxies, at full length: `npm run proxies [-- requests [width]]`. Through each proxy that is installed, sequential
// https requests on 1 tunnel, a closed loop of 50 on 50, and http to 20 origins in turn over 1 connection, all counted by the
// proxy's own log. Ends with code 1 at any exception. Those that can be had are Debian's packages squid, tinyproxy, microsocks,
// dante-server and stunnel4.

const { readArguments } = require('../support/arguments')
const { realProxies } = require('../support/real-proxies')
const { Scope } = require('../support/suite')
const { forwarded, tunnelled } = require('../support/through-proxies')

const { numbers } = readArguments()
const [requests = 1_000, width = 50] = numbers
const ORIGINS = 20

/**
 * @param {string} what
 * @param {number[]} counts
 * @param {number} expected
 */
function report(what, counts, expected) {
  const holds = counts.every((count) => count === expected)
  if (!holds) process.exitCode = 1
  console.log(`${holds ? 'exact' : 'WRONG'}  ${what}: ${counts.join(', ')} of ${expected}`)
}

/** @param {(scope: Scope) => Promise<void>} work */
async function within(work) {
  const scope = new Scope()
  try {
    await work(scope)
  } finally {
    await scope.end(true)
  }
}

async function main() {
  console.log('tunnels in the proxy’s log, connections that the target has accepted')
  for (const { isForwarding, isInstalled, name, start } of realProxies) {
    if (!isInstalled) {
      console.log(`left out: ${name} is not installed`)
      continue
    }
    for (const [what, expected] of /** @type {const} */ ([
      [`${requests} requests, one after another`, 1],
      [`${requests} requests, ${width} at a time`, width],
    ])) {
      await within(async (scope) => {
        const { asked, connections } = await tunnelled(scope, await start(scope), { requests, width: expected })
        report(`${name}: ${what}`, [asked, connections], expected)
      })
    }
    if (!isForwarding) continue
    await within(async (scope) => {
      const rounds = Math.ceil(requests / ORIGINS)
      const { connections } = await forwarded(scope, await start(scope), { origins: ORIGINS, rounds })
      report(`${name}: http, ${rounds * ORIGINS} requests to ${ORIGINS} origins in turn, connections`, [connections], 1)
    })
  }
}

main().catch((error) => {
  console.error(error)
  process.exitCode = 1
})
