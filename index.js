'use strict'

// Assigned one by one: that is how `import { … } from 'keepwire'` finds the names.

const rooms = load()

exports.Agent = rooms.Agent
exports.connections = rooms.connections
exports.explain = rooms.explain
exports.fetch = rooms.fetch
exports.install = rooms.install
exports.publicAddressesOnly = rooms.publicAddressesOnly
exports.stats = rooms.stats
exports.totals = rooms.totals
exports.uninstall = rooms.uninstall

// What needs node:https, which takes longer to load than all of this package, and our own request: when somebody asks for them.
exports.http = undefined
exports.https = undefined
exports.HttpsAgent = undefined
rooms.show(() => rooms.http, exports, 'http')
rooms.show(() => rooms.https, exports, 'https')
rooms.show(() => rooms.HttpsAgent, exports, 'HttpsAgent')

function load() {
  try {
    // A package has it, a checkout none (lib/load.js). Another error comes again.
    // @ts-ignore
    return require('./lib/bundle.js')
  } catch {
    return require('./lib/load.js')
  }
}
