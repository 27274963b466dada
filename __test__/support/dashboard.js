'use strict'

// A dashboard, and a look at it as a program has it: its answers, and its stream.

const http = require('node:http')

/** A connection of its own for each request: none is left open. */
const LONE = { agent: false }

/** A dashboard that is closed when its test is over. */
async function opened(scope, options) {
  const board = await require('../../lib/dashboard').dashboard({ port: 0, ...options })
  scope.defer(() => board.close())
  return board
}

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
  /** Of each sample, in characters. @type {number[]} */
  sizes = []
  error = null
  /** What could be better, as it was told last. */
  advice = []
  /** What was told of each origin: its fields by their numbers. @type {Map<string, number[]>} */
  #origins = new Map()
  /** Origins by their numbers. @type {number[][]} */
  #places = []
  #request
  #rest = ''

  constructor(url, { origin, headers = {}, proxies = false } = {}) {
    const more = origin === undefined ? (proxies ? '?proxies' : '') : `?origin=${encodeURIComponent(origin)}`
    const path = `events${more}`
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
      else {
        this.sizes.push(data.length)
        this.#sample(JSON.parse(data))
      }
    }
  }

  #sample(sample) {
    const { advice, isWhole, names, rows } = sample
    this.samples.push(sample)
    this.advice = advice ?? this.advice
    if (isWhole) {
      this.#places = []
      this.#origins.clear()
    }
    for (const name of names) {
      const numbers = []
      this.#places.push(numbers)
      this.#origins.set(name, numbers)
    }
    for (const [place, ...pairs] of rows) {
      for (let at = 0; at < pairs.length; at += 2) this.#places[place][pairs[at]] = pairs[at + 1]
    }
  }

  get last() {
    return this.samples.at(-1)
  }

  /** All events that were told. */
  get events() {
    return [...(this.hello?.events ?? []), ...this.samples.flatMap(({ events }) => events)]
  }

  /** What was told last of an origin's counter; undefined: it is not known. */
  counter(origin, field) {
    const numbers = this.#origins.get(origin)
    return numbers === undefined ? undefined : (numbers[this.hello.fields.indexOf(field)] ?? 0)
  }

  leave() {
    this.#request.destroy()
  }
}

module.exports = { ask, opened, Viewer }
