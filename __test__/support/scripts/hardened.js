'use strict'

// A program that hardens its globals before it loads keepwire, and then uses it in every way.

const [how, port] = process.argv.slice(2)

/** @type {Record<string, () => void>} */
const hardenings = {
  intrinsics() {},
  frozen() {
    for (const Kind of [Error, TypeError, RangeError, Object, Array, Function, Promise]) {
      Object.freeze(Kind)
      Object.freeze(Kind.prototype)
    }
  },
  modules() {
    for (const name of ['http', 'https', 'net', 'tls', 'dns', 'events', 'stream', 'url'])
      Object.freeze(require(`node:${name}`))
  },
  prototypes() {
    const [http, https, net, tls] = ['http', 'https', 'net', 'tls'].map((name) => require(`node:${name}`))
    // Made when somebody looks, by assignment to what is to be frozen.
    void [process.stdout, process.stderr]
    const { ClientRequest, IncomingMessage, OutgoingMessage } = http
    // Bun itself assigns to the others what is on their prototypes.
    const others = process.versions.bun
      ? []
      : [ClientRequest, IncomingMessage, OutgoingMessage, net.Socket, tls.TLSSocket]
    for (const Kind of [http.Agent, https.Agent, ...others]) {
      Object.freeze(Kind)
      Object.freeze(Kind.prototype)
    }
  },
  stacks() {
    Error.prepareStackTrace = () => {
      throw new Error("the program's own way with stacks")
    }
  },
}
hardenings[how]()

const http = require('node:http')
const keepwire = require('../../../index.js')

const agent = new keepwire.http.Agent({ keepAlive: true })

function asked(request, path, body) {
  return new Promise((resolve) => {
    const req = request(
      { host: '127.0.0.1', port, path, agent, method: body === undefined ? 'GET' : 'POST' },
      (res) => {
        res.setEncoding('utf8')
        res.resume().on('end', () => resolve(res.statusCode))
      },
    )
    req.on('error', ({ code }) => resolve(code))
    req.end(body)
  })
}

function fetched(path) {
  return keepwire.fetch(`http://127.0.0.1:${port}${path}`).then(
    (response) => response.text().then(() => response.status),
    ({ cause }) => `${cause.name} ${cause.code}`,
  )
}

function optionError() {
  try {
    new keepwire.http.Agent({ freeSocketTimeout: '1' })
  } catch ({ code }) {
    return code
  }
  return undefined
}

async function main() {
  const seen = []
  for (const request of [http.request, keepwire.http.request])
    seen.push(await asked(request, '/'), await asked(request, '/', 'x'))
  seen.push(await fetched('/'), await fetched('/ended'), optionError())
  if (how !== 'stacks') seen.push(await asked(keepwire.http.request, '/garbage'), await fetched('/garbage'))
  try {
    keepwire.install()
  } catch ({ name }) {
    seen.push(name)
  }
  seen.push(await asked(http.request, '/'))
  keepwire.uninstall()
  console.log(JSON.stringify(seen))
  agent.destroy()
}

main()
