'use strict'

// What Node's network inspector is told of a fetch of ours, and of one of the runtime's own.

const http = require('node:http')
const { Session } = require('node:inspector')

const { fetch } = require('../../..')

const TOLD = {
  requestWillBeSent: ({ request: { method, url } }) => `${method} ${url}`,
  responseReceived: ({ response }) => response.status,
  loadingFinished: () => null,
  loadingFailed: () => null,
}

const session = new Session()
/** @type {[event: string, told: any][]} */
let heard = []
let isOver = () => {}

async function heardOf(one, url) {
  heard = []
  const over = new Promise((resolve) => {
    isOver = () => resolve(undefined)
  })
  await (await one(url)).text()
  await over
  return heard
}

session.connect()
for (const [event, told] of Object.entries(TOLD)) {
  session.on(`Network.${event}`, ({ params }) => {
    heard.push([event, told(params)])
    if (event.startsWith('loading')) isOver()
  })
}
session.post('Network.enable', () => {
  const server = http
    .createServer((_, response) => response.end('ok'))
    .listen(0, '127.0.0.1', async () => {
      const url = `http://127.0.0.1:${server.address().port}/inspected`
      const ours = await heardOf(fetch, url)
      const own = await heardOf(globalThis.fetch, url)
      console.log(JSON.stringify({ ours, own }))
      process.exit()
    })
})
