'use strict'

// Writes down, in order, what a request and its response tell their user: each event with the fields that users read
// at that moment. Two runs of the same scenario over two agents can then be compared line by line.
//
// The socket has a log of its own: its events may fall before or after a response's within one turn of the loop.

const { isNode } = require('./runtime')

const REQUEST_EVENTS = [
  'abort',
  'close',
  'connect',
  'continue',
  'drain',
  'error',
  'finish',
  'information',
  'response',
  'socket',
  'timeout',
  'upgrade',
]
const RESPONSE_EVENTS = ['aborted', 'close', 'end', 'error', 'timeout', 'pause', 'resume']
const SOCKET_EVENTS = ['agentRemove', 'close', 'connect', 'end', 'error', 'free', 'ready', 'timeout']

const REQUEST_FIELDS = [
  'aborted',
  'destroyed',
  'finished',
  'headersSent',
  'reusedSocket',
  'shouldKeepAlive',
  'writableEnded',
  'writableFinished',
]
const RESPONSE_FIELDS = ['aborted', 'complete', 'destroyed', 'readableEnded', 'readableAborted', 'readableFlowing']
/** Whether the end has arrived when the reader starts is the network's business. */
const FLOW_FIELDS = RESPONSE_FIELDS.filter((name) => name !== 'complete')

class Recorder {
  constructor() {
    this.log = []
    this.socketLog = []
    this.failures = []
  }

  note(text) {
    this.log.push(text)
  }

  request(request) {
    const fields = (...more) => describe(request, REQUEST_FIELDS, more)
    for (const event of REQUEST_EVENTS) {
      if (event === 'response' || event === 'upgrade' || event === 'connect') continue
      request.on(event, (...args) => {
        if (event === 'socket') this.#socket(args[0])
        this.log.push(`req ${event} ${tell(event, args)}${fields()}`)
      })
    }
  }

  /** Listens for the response, which the scenario must want as well: a 'response' listener changes what happens. */
  response(response, request) {
    this.log.push(`req response ${fullHead(response)} ${describe(request, REQUEST_FIELDS)}`)
    for (const event of RESPONSE_EVENTS) {
      response.on(event, (...args) => {
        const trailers = event === 'end' ? ` trailers ${JSON.stringify([response.rawTrailers, response.trailers])}` : ''
        const fields = event === 'resume' || event === 'pause' ? FLOW_FIELDS : RESPONSE_FIELDS
        this.log.push(`res ${event} ${tell(event, args)}${describe(response, fields)}${trailers}`)
      })
    }
  }

  data(chunk) {
    const text = typeof chunk === 'string' ? `'${chunk}'` : `<${Buffer.from(chunk).toString('latin1')}>`
    const last = this.log[this.log.length - 1]
    // How a body is cut into chunks is the network's business.
    if (last.startsWith('res data ')) this.log[this.log.length - 1] = `${last.slice(0, -1)}${text.slice(1)}`
    else this.log.push(`res data ${text}`)
  }

  #socket(socket) {
    if (this.seen === undefined) this.seen = new Set()
    this.socketLog.push(
      `given${this.seen.has(socket) ? ' again' : ''} connecting ${socket.connecting} destroyed ${socket.destroyed}`,
    )
    if (this.seen.has(socket)) return
    this.seen.add(socket)
    for (const event of SOCKET_EVENTS) {
      socket.on(event, (...args) =>
        this.socketLog.push(`${event} ${event === 'error' ? tell(event, args) : ''}`.trim()),
      )
    }
  }
}

function fullHead(response) {
  return JSON.stringify([
    response.statusCode,
    response.statusMessage,
    response.httpVersion,
    response.httpVersionMajor,
    response.httpVersionMinor,
    response.rawHeaders,
    response.headers,
    response.headersDistinct,
    response.url,
    response.method,
    response.upgrade,
  ])
}

function describe(subject, names, more = []) {
  const set = names.filter((name) => subject[name]).concat(more)
  return `[${set.join(' ')}]`
}

function tell(event, args) {
  if (event === 'error') return `${tellError(args[0])} `
  if (event === 'information') {
    const { statusCode, statusMessage, httpVersion, rawHeaders, headers } = args[0]
    return `${JSON.stringify([statusCode, statusMessage, httpVersion, rawHeaders, headers])} `
  }
  return ''
}

/** What identifies an error to its user. */
function tellError(error) {
  const fields = ['code', 'errno', 'syscall', 'address', 'port', 'hostname', 'localAddress', 'localPort', 'reason']
  const set = fields.filter((name) => error[name] !== undefined).map((name) => `${name}=${error[name]}`)
  // Bun and Deno read with other buffers than Node and the engine. Where a packet begins is the network's to decide.
  if (isNode && error.rawPacket !== undefined)
    set.push(`rawPacket=…${JSON.stringify(error.rawPacket.toString('latin1').slice(-4))}`)
  const causes = error.errors ? ` causes(${error.errors.map(tellError).join('; ')})` : ''
  return `${error.name} ${JSON.stringify(error.message)} ${set.join(' ')}${causes}`
}

module.exports = { describe, fullHead, Recorder, REQUEST_FIELDS, RESPONSE_FIELDS, tell, tellError }
