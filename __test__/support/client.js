'use strict'

// Sending requests the way users do, as promises.

const http = require('node:http')
const https = require('node:https')

const { isDeno } = require('./runtime')

/** The runtime's own module for what an agent speaks. */
const moduleFor = (agent) => (agent?.protocol === 'https:' ? https : http)

/** The runtime's own `request`, to loopback unless told otherwise. */
function request(options, callback) {
  return moduleFor(options.agent).request({ host: '127.0.0.1', ...options }, callback)
}

/** The runtime's own `get`, likewise. */
function get(options, callback) {
  return moduleFor(options.agent).get({ host: '127.0.0.1', ...options }, callback)
}

/**
 * Sends one request and reads its whole response. Rejects with the request's or response's first error.
 *
 * @param {http.RequestOptions} options
 * @param {string | Buffer} [body]
 */
function send(options, body) {
  const sent = request(options)
  const answer = read(sent)
  sent.end(body)
  return answer
}

/**
 * A request that no runtime sends twice by itself. Deno's own agent sends one again, also a POST and also when its error
 * was told already, if a reused connection ends; ours sends what is not safe once (invariant I5). What remains to be
 * compared is how a request fails.
 */
function sentOnce(request) {
  if (isDeno) request._retrying = true
  return request
}

/** Reads the response of a request that the caller ends. */
function read(request) {
  return new Promise((resolve, reject) => {
    request.on('error', reject)
    request.on('response', (response) => {
      const chunks = []
      response.on('data', (chunk) => chunks.push(chunk))
      response.on('error', reject)
      response.on('end', () => {
        resolve({
          request,
          response,
          status: response.statusCode,
          headers: response.headers,
          body:
            chunks.length > 0 && typeof chunks[0] === 'string'
              ? chunks.join('')
              : Buffer.concat(chunks).toString('latin1'),
          reused: request.reusedSocket,
          socket: request.socket,
        })
      })
    })
  })
}

/** Runs `n` requests one after another; `make(i)` gives options. */
async function sequential(n, make) {
  const answers = []
  for (let i = 0; i < n; i++) answers.push(await send(make(i)))
  return answers
}

/** Starts `n` requests at once. */
function parallel(n, make) {
  return Promise.all(Array.from({ length: n }, (_, i) => send(make(i))))
}

/** Does `work(i)` for each of `n` numbers, `width` of them at a time: the next one as soon as one is done. */
async function inLanes(width, n, work) {
  let next = 0
  const lane = async () => {
    while (next < n) await work(next++)
  }
  await Promise.all(Array.from({ length: width }, lane))
}

/** Resolves with the error of a request that must fail. */
async function failure(promise) {
  let answer
  try {
    answer = await promise
  } catch (error) {
    return error
  }
  throw new Error(`expected a failure, got status ${answer?.status}`)
}

/** A small seeded generator (mulberry32): the same numbers on every runtime. */
function random(seed) {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let t = Math.imul(state ^ (state >>> 15), state | 1)
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61)
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296
  }
}

module.exports = { failure, get, inLanes, parallel, random, read, request, send, sentOnce, sequential }
