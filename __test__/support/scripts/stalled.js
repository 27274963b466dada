'use strict'

// A response of which more is unread or paused than anybody takes: the process must end all the same.
//
// Arguments: the server's port; 'unread', 'paused', 'begun' (paused after its first piece) or 'later' (read to its end after a
// while); 'agent', 'own' or 'fetch'.

const http = require('node:http')

const { agentUnderTest } = require('../runtime')

const [port, how, by] = process.argv.slice(2)
const keepwire = process.env.KEEPWIRE_TEST_BASELINE ? null : require('../../../index.js')

const WHILE_MS = 300

process.on('exit', () => console.log(JSON.stringify({ ended: true })))

async function fetched() {
  const response = await (keepwire ?? globalThis).fetch(`http://127.0.0.1:${port}/`)
  globalThis.kept = response
  if (how === 'unread') return
  const reader = response.body.getReader()
  let read = (await reader.read()).value.length
  if (how !== 'later') return
  setTimeout(async () => {
    for (let next = await reader.read(); !next.done; next = await reader.read()) read += next.value.length
    console.log(JSON.stringify({ read }))
  }, WHILE_MS)
}

function requested() {
  const Agent = agentUnderTest()
  const { get } = by === 'own' && keepwire !== null ? keepwire.http : http
  const agent = new Agent({ keepAlive: true })
  get({ host: '127.0.0.1', port, agent }, (response) => {
    globalThis.kept = response
    if (how === 'begun') response.once('data', () => response.pause())
    if (how === 'paused') response.on('data', () => {}).pause()
    if (how === 'later') {
      let read = 0
      response.on('data', (chunk) => (read += chunk.length))
      response.pause()
      response.on('end', () => {
        console.log(JSON.stringify({ read }))
        agent.destroy()
      })
      setTimeout(() => response.resume(), WHILE_MS)
    }
  })
}

if (by === 'fetch') fetched()
else requested()
