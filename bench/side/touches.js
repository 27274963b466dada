'use strict'

// What programs do to requests and responses beyond the least: each sends a request, or reads a response to its end.

const { Writable } = require('node:stream')

/** Has the request sent. */
const sends = {
  setHeader(request) {
    request.setHeader('X-Bench', 'yes')
    request.end()
  },
  setTimeout(request) {
    request.setTimeout(60_000, () => request.destroy())
    request.end()
  },
  write(request) {
    request.write('bench')
    request.end()
  },
}

/** Options of a request. */
const options = {
  timeout: () => ({ timeout: 60_000 }),
  signal: () => ({ signal: new AbortController().signal }),
}

/** `done(bytes)` when the response has ended. */
const reads = {
  setEncoding(response, done) {
    let text = ''
    response.setEncoding('latin1')
    response.on('data', (piece) => (text += piece))
    response.on('end', () => done(text.length))
  },
  async iterate(response, done) {
    let bytes = 0
    for await (const chunk of response) bytes += chunk.length
    done(bytes)
  },
  pipe(response, done) {
    let bytes = 0
    const sink = new Writable({
      write(chunk, _encoding, callback) {
        bytes += chunk.length
        callback()
      },
    })
    sink.on('finish', () => done(bytes))
    response.pipe(sink)
  },
}

module.exports = { options, reads, sends }
