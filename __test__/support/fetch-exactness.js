'use strict'

// The exactness workloads of fetch(), shared by the suite's short runs and the long command.

const HELLO = 'hello world'

const shapes = [
  { name: 'bodies by length', path: '/length' },
  { name: 'chunked bodies', path: '/chunked' },
  { name: 'head and body in separate packets', path: '/split' },
  { name: 'every chunk in a packet of its own', path: '/split-chunked' },
  { name: 'empty bodies', path: '/empty', expected: '' },
  { name: '204 responses', path: '/none', expected: '' },
  { name: 'HEAD', path: '/head', init: { method: 'HEAD' }, expected: '' },
  { name: 'POST with a body', path: '/echo', init: { method: 'POST', body: HELLO } },
  { name: 'read as a stream', path: '/split-chunked', stream: true },
]

async function textOf(response, stream) {
  if (!stream) return response.text()
  let text = ''
  for await (const chunk of response.body) text += Buffer.from(chunk).toString()
  return text
}

async function sequential(fetch, origin, { path, init, expected = HELLO, stream = false }, requests) {
  for (let i = 0; i < requests; i++) {
    const text = await textOf(await fetch(origin + path, init), stream)
    if (text !== expected) throw new Error(`request ${i}: the body is ${JSON.stringify(text)}`)
  }
}

/** `width` workers, each fetching again when its last response ended, until `requests` are made. */
async function closedLoop(fetch, origin, width, requests) {
  const paths = ['/length', '/chunked', '/split', '/split-chunked']
  let next = 0
  const worker = async () => {
    while (next < requests) {
      const i = next++
      const text = await (await fetch(origin + paths[i % paths.length])).text()
      if (text !== HELLO) throw new Error(`request ${i}: the body is ${JSON.stringify(text)}`)
    }
  }
  await Promise.all(Array.from({ length: width }, worker))
}

module.exports = { closedLoop, sequential, shapes, textOf }
