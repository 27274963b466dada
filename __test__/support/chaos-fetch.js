'use strict'

// What chaos asks by fetch, over the same agent: bombs, redirects to where nothing good is, and bodies of its own.

/** A bomb is many times larger. */
const MOST_DECODED = 65_536
const SETTLE_DEADLINE_MS = 60_000
const CREDENTIALS = 'Bearer chaos'

/** As in support/chaos.js; `code`: what it must fail with. `fetched`: no other way. */
const FETCH_KINDS = {
  gzip: { weight: 2, fails: 'never', fetched: true, length: (n) => n },
  bomb: { weight: 2, fails: 'always', fetched: true, code: 'ERR_KEEPWIRE_RESPONSE_TOO_LARGE' },
  // A redirect to another origin, which must not see the credentials.
  astray: { weight: 2, fails: 'never', fetched: true },
  // A redirect whose body never ends.
  endless: { weight: 1, fails: 'never', fetched: true },
  // A redirect to where no fetch goes.
  poisoned: { weight: 2, fails: 'always', fetched: true },
}

/** What fetch is asked as well as the agent. */
const ALSO_FETCHED = new Set([
  'length',
  'chunked',
  'close',
  'trickle',
  'fin-after',
  'reset',
  'fin',
  'drop',
  'handshake',
  'alert',
])

/** Each way to read a body; all at once, or in pieces. */
const readers = [
  (response) => response.text(),
  async (response) => Buffer.from(await response.arrayBuffer()).toString('latin1'),
  async (response) => {
    let text = ''
    for await (const piece of response.body) text += Buffer.from(piece).toString('latin1')
    return text
  },
]

/** Not a failure of the fetch: what it settled with is not its own. */
class Wrong extends Error {}

/**
 * Fetches what was planned.
 * @returns {Promise<{ settled: string, error: any }>} rejects if it settles wrongly
 */
async function fetchOne(agent, remote, plan) {
  const { fetch } = require('../..')
  const { id, name, kind, number, method, sent, expected, abort } = plan
  const wrong = (what) => new Wrong(`fetch ${id} (${method} ${name} ${number}, abort ${abort}): ${what}`)
  const controller = new AbortController()
  const url = `${agent.protocol}//127.0.0.1:${portFor(kind, remote)}/${name}/${number}/${id}`
  const settles = async () => {
    const response = await fetch(url, {
      agent,
      method,
      signal: controller.signal,
      headers: { authorization: CREDENTIALS },
      body: method === 'POST' ? sent : undefined,
      maxResponseSize: name === 'bomb' ? MOST_DECODED : undefined,
    })
    const got = response.headers.get('x-got')
    if (got !== null && Number(got) !== sent.length) throw wrong(`the server got ${got} of ${sent.length} bytes`)
    const trusted = response.headers.get('x-credentials')
    if (name === 'astray' && trusted !== 'none') throw wrong(`another origin was told ${trusted}`)
    return { text: await readers[id % readers.length](response) }
  }
  let timer
  if (abort >= 0) setTimeout(() => controller.abort(), abort)
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(wrong('has not settled')), SETTLE_DEADLINE_MS)
  })
  const settled = settles().catch((error) => ({ error }))
  const { text, error } = await Promise.race([settled, late]).finally(() => clearTimeout(timer))
  if (error === undefined) {
    if (text !== expected)
      throw wrong(`got ${text.length} of ${expected.length} bytes: ${JSON.stringify(text.slice(0, 80))}`)
    return { settled: 'end', error }
  }
  if (error instanceof Wrong) throw error
  return { settled: 'error', error: { code: codeOf(error), message: error.cause?.message ?? error.message } }
}

/** Which of the servers' ports a kind is for. */
function portFor(kind, { port, cutPort, alertPort }) {
  if (kind.isCut) return cutPort
  return kind.isAlerted ? alertPort : port
}

/** What a failed fetch says, or what is behind it. */
const codeOf = (error) => error.code ?? error.cause?.code

module.exports = { ALSO_FETCHED, FETCH_KINDS, fetchOne, portFor }
