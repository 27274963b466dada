'use strict'

// A look at a dashboard as a program has it: its answers, and its stream.

const http = require('node:http')

/** A connection of its own for each request: none is left open. */
const LONE = { agent: false }

/** What a dashboard answers. */
function ask(url, { headers = {}, method = 'GET', path = '' } = {}) {
  return new Promise((resolve, reject) => {
    const request = http.request(new URL(path, url), { ...LONE, headers, method }, (response) => {
      let text = ''
      response.setEncoding('utf8')
      response.on('data', (chunk) => (text += chunk))
      response.on('end', () => resolve({ status: response.statusCode, headers: response.headers, text }))
    })
    request.on('error', reject)
    request.end()
  })
}

/** Reads a dashboard's stream: what it says by event, and how often. */
class Viewer {
  hello = null
  samples = []
  error = null
  #request
  #rest = ''

  constructor(url, { origin, headers = {} } = {}) {
    const path = origin === undefined ? 'events' : `events?origin=${encodeURIComponent(origin)}`
    this.opened = new Promise((resolve) => {
      this.#request = http.get(new URL(path, url), { ...LONE, headers }, (response) => {
        resolve(response)
        response.setEncoding('utf8')
        response.on('data', (chunk) => this.#read(chunk))
        response.on('error', (error) => (this.error = error))
      })
      this.#request.on('error', (error) => (this.error = error))
    })
  }

  #read(chunk) {
    const messages = (this.#rest + chunk).split('\n\n')
    this.#rest = messages.pop()
    for (const message of messages) {
      const [, event, data] = /^event: (\w+)\ndata: (.*)$/.exec(message)
      if (event === 'hello') this.hello = JSON.parse(data)
      else this.samples.push(JSON.parse(data))
    }
  }

  get last() {
    return this.samples.at(-1)
  }

  /** All events that were told. */
  get events() {
    return [...(this.hello?.events ?? []), ...this.samples.flatMap(({ events }) => events)]
  }

  /** What was told last of an origin's counter. */
  counter(origin, field) {
    const at = this.hello.fields.indexOf(field)
    return this.samples
      .map(({ rows }) => rows[origin]?.n[at])
      .filter((value) => value !== undefined)
      .at(-1)
  }

  leave() {
    this.#request.destroy()
  }
}

module.exports = { ask, Viewer }
