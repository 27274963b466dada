'use strict'

// A program that takes the file system and `require` away once keepwire is loaded, as mocks of them do, before its first request
// of each way. Arguments: the folder of the package, the URLs of servers over http and over https.

const fs = require('node:fs')
const http = require('node:http')
const https = require('node:https')
const Module = require('node:module')

const [, , folder, url, secureUrl] = process.argv

const keepwire = require(folder)

const modulesOfPackage = Object.keys(require.cache).filter((file) => file.startsWith(folder) && file.endsWith('.js'))

function refuse() {
  throw new Error('there are no files')
}

for (const name of [
  'readFileSync',
  'existsSync',
  'statSync',
  'lstatSync',
  'openSync',
  'readFile',
  'stat',
  'realpathSync',
])
  fs[name] = refuse
Module._resolveFilename = refuse
for (const file of Object.keys(require.cache)) delete require.cache[file]

function text(get, target, options) {
  return new Promise((resolve, reject) => {
    const request = get(target, options, (response) => {
      let body = ''
      response.on('data', (chunk) => (body += chunk)).on('end', () => resolve(body))
    })
    request.on('error', reject)
  })
}

async function main() {
  const agent = new keepwire.Agent({ keepAlive: true })
  const secureAgent = new keepwire.HttpsAgent({ keepAlive: true, rejectUnauthorized: false })
  const told = [
    await text(http.get, url, { agent }),
    await text(https.get, secureUrl, { agent: secureAgent }),
    await text(keepwire.http.get, url, {}),
    await text(keepwire.https.get, secureUrl, { rejectUnauthorized: false }),
    await (await keepwire.fetch(url)).text(),
    await (await keepwire.fetch(url, { method: 'POST', body: new Blob(['x']) })).clone().text(),
    await (await keepwire.fetch(secureUrl, { agent: secureAgent })).text(),
  ]
  keepwire.install()
  told.push(await text(http.get, url, {}))
  keepwire.uninstall()
  for (const used of [agent, secureAgent, keepwire.http.globalAgent, keepwire.https.globalAgent]) used.destroy()
  return { modules: modulesOfPackage.length, told }
}

main().then((told) => console.log(JSON.stringify(told)))
