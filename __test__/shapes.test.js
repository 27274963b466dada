'use strict'

// Objects of a kind have one hidden class: where each had its own, V8 could not know where any property is, and kept the class.

const assert = require('node:assert')
const http = require('node:http')
const https = require('node:https')
const v8 = require('node:v8')

const { makeAuthority } = require('./support/authority')
const { isNode, baseline } = require('./support/runtime')
const { listen, secureServer } = require('./support/secure')
const { test } = require('./support/suite')
const keepwire = require('..')

const V8 = { skip: isNode && !baseline ? false : 'only Node tells of shapes' }

/** Says whether two objects have the same hidden class. */
function shapes() {
  v8.setFlagsFromString('--allow-natives-syntax')
  return new Function('one', 'other', 'return %HaveSameMap(one, other)')
}

/** What a request's listeners see, when its response has ended. */
function seen(request, options) {
  return new Promise((resolve, reject) => {
    const req = request(options, (res) => {
      const { socket } = req
      res.resume().on('end', () => resolve({ request: req, response: res, socket }))
    })
    req.on('error', reject).end()
  })
}

for (const scheme of /** @type {const} */ (['http', 'https'])) {
  const runtimes = scheme === 'http' ? http.request : https.request
  for (const [way, request] of /** @type {[string, any][]} */ ([
    ['http.request', runtimes],
    ['our own request', keepwire[scheme].request],
  ])) {
    test(`requests, responses and sockets by ${way} over ${scheme} have one shape each`, V8, async (scope) => {
      const { root, server } = await makeAuthority()
      const answer = (_, response) => response.end('ok')
      const { port } = await (scheme === 'https'
        ? secureServer(scope, server, {}, answer)
        : listen(scope, http.createServer(answer)))
      const agent = new keepwire[scheme === 'https' ? 'HttpsAgent' : 'Agent']({ keepAlive: true, ca: root.pem })
      scope.defer(() => agent.destroy())
      const options = { agent, host: 'localhost', port }
      const all = []
      // Each has a connection of its own; the first of its kind may come before what it is made of is known.
      for (let round = 0; round < 3; round++) all.push(...(await Promise.all([1, 2].map(() => seen(request, options)))))
      const [one, other] = all.slice(-2)
      const haveSameShape = shapes()
      assert.notStrictEqual(one.socket, other.socket)
      for (const kind of ['request', 'response', 'socket']) {
        assert.ok(haveSameShape(one[kind], other[kind]), `each ${kind} has a shape of its own`)
      }
    })
  }
}
