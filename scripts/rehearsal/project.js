'use strict'

// A project of somebody else's: a folder with a script that calls a server of its own by axios, twice, over a keepwire agent.

const fs = require('node:fs')
const path = require('node:path')

const { version } = require('../../package.json')

/** What the script prints when all is well. */
const SAYS = `keepwire ${version} carried axios: 2 requests, 1 connection`

const SCRIPT = `'use strict'
const http = require('node:http')
const axios = require('axios')
const { Agent } = require('keepwire')

const httpAgent = new Agent({ keepAlive: true })
const server = http.createServer((request, response) => response.end('works'))
server.listen(0, '127.0.0.1', async () => {
  const url = 'http://127.0.0.1:' + server.address().port + '/'
  for (let i = 0; i < 2; i++) {
    const { data } = await axios.get(url, { httpAgent, proxy: false })
    if (data !== 'works') throw new Error('it answered ' + data)
  }
  const { created, reused } = Object.values(httpAgent.stats().origins)[0]
  const { version } = require('keepwire/package.json')
  console.log('keepwire ' + version + ' carried axios: ' + (created + reused) + ' requests, ' + created + ' connection')
  httpAgent.destroy()
  server.close()
})
`

/**
 * @param {string} folder made
 * @param {object} [fields] of package.json
 */
function makeProject(folder, fields = {}) {
  fs.mkdirSync(folder, { recursive: true })
  fs.writeFileSync(
    path.join(folder, 'package.json'),
    `${JSON.stringify({ name: 'somebodys', private: true, type: 'commonjs', ...fields })}\n`,
  )
  fs.writeFileSync(path.join(folder, 'app.js'), SCRIPT)
}

/** @param {import('../process.js').Outcome} outcome */
const carried = ({ code, output }) => code === 0 && output.split('\n').includes(SAYS)

module.exports = { SAYS, carried, makeProject }
