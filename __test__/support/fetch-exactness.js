'use strict'

// The exactness workloads of fetch(), shared by the suite's short runs and the long command.

const { inLanes } = require('./client')
const { checkBody, loopPath, shapes: shapesOfAll } = require('./exactness')

const shapes = [...shapesOfAll, { name: 'read as a stream', path: '/split-chunked', stream: true }]

async function textOf(response, stream) {
  if (!stream) return response.text()
  let text = ''
  for await (const chunk of response.body) text += Buffer.from(chunk).toString()
  return text
}

async function sequential(fetch, origin, { path, method, sent, expected, stream = false }, requests) {
  for (let i = 0; i < requests; i++) {
    checkBody(i, await textOf(await fetch(origin + path, { method, body: sent }), stream), expected)
  }
}

/** `width` workers, each fetching again when its last response ended, until `requests` are made. */
function closedLoop(fetch, origin, width, requests) {
  return inLanes(width, requests, async (i) => checkBody(i, await (await fetch(origin + loopPath(i))).text()))
}

module.exports = { closedLoop, sequential, shapes, textOf }
