'use strict'

// Requests while the process has no descriptor left, at the engine's first use and later, and when it has some again.

const fs = require('node:fs')

const { Agent, http } = require('../../..')

const port = Number(process.argv[2])
/** @type {number[]} */
let taken = []

function fill() {
  try {
    for (;;) taken.push(fs.openSync('/dev/null', 'r'))
  } catch (error) {
    if (/** @type {any} */ (error).code !== 'EMFILE') throw error
  }
}

function free() {
  for (const fd of taken) fs.closeSync(fd)
  taken = []
}

/** @param {any} used @param {string} host */
function get(used, host) {
  return new Promise((resolve) => {
    const request = http.get({ host, port, path: '/length', agent: used, family: 4 }, (response) => {
      response.resume().on('end', () => resolve(String(response.statusCode)))
    })
    request.on('error', (/** @type {any} */ error) => resolve(error.code))
  })
}

async function main() {
  const told = []
  for (let round = 0; round < 2; round++) {
    const agent = new Agent({ keepAlive: true, maxSockets: 1 })
    const named = new Agent({ keepAlive: true, maxSockets: 1 })
    fill()
    for (const used of [agent, agent, named]) told.push(get(used, used === named ? 'localhost' : '127.0.0.1'))
    const failed = await Promise.all(told.splice(0))
    free()
    const served = [await get(agent, '127.0.0.1'), await get(named, 'localhost')]
    console.log(JSON.stringify({ failed, served, left: agent.totalSocketCount + named.totalSocketCount }))
  }
}

main()
