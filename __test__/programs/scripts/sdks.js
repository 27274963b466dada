'use strict'

// `sdks.js <way>`: what SDKs and clients that call the global fetch get of a server that answers as theirs would, and what
// that server was asked.

const diagnostics = require('node:diagnostics_channel')
const http = require('node:http')
const { pathToFileURL } = require('node:url')

const { outcome, requireProgram } = require('./program')

const [way] = process.argv.slice(2)

const CHUNKS = ['one', 'two', 'three']

/** Events of a stream, each in a write of its own. */
async function stream(res, events) {
  res.writeHead(200, { 'content-type': 'text/event-stream' })
  for (const [event, data] of events) {
    res.write(`${event === null ? '' : `event: ${event}\n`}data: ${JSON.stringify(data)}\n\n`)
    await new Promise((resolve) => setImmediate(resolve))
  }
}

const text = (content) => ({ content: [{ type: 'text', text: content }], role: 'assistant', type: 'message' })

/** By path. `said`: the request's body, parsed. */
const ANSWERS = {
  async '/openai/chat/completions'(res, said) {
    if (said.stream !== true) return json(res, { choices: [{ message: { content: said.messages[0].content } }] })
    await stream(
      res,
      CHUNKS.map((content) => [null, { choices: [{ delta: { content } }] }]),
    )
    res.end('data: [DONE]\n\n')
  },
  async '/anthropic/v1/messages'(res, said) {
    if (said.stream !== true) return json(res, text(said.messages[0].content))
    const events = CHUNKS.map((part) => ({
      type: 'content_block_delta',
      index: 0,
      delta: { type: 'text_delta', text: part },
    }))
    await stream(
      res,
      [
        { type: 'message_start', message: { ...text(''), content: [], usage: {} } },
        { type: 'content_block_start', index: 0, content_block: { type: 'text', text: '' } },
        ...events,
        { type: 'content_block_stop', index: 0 },
        { type: 'message_delta', delta: {}, usage: {} },
        { type: 'message_stop' },
      ].map((event) => [event.type, event]),
    )
    res.end()
  },
  '/v1/customers': (res) => json(res, { object: 'list', data: [{ id: 'cus_1' }], has_more: false }),
  '/json': (res, said) => json(res, { said: said ?? null }),
  '/missing': (res) => json(res, { error: { message: 'no such thing' } }, 404),
}

function json(res, value, status = 200) {
  res.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(value))
}

const requests = []
const seen = new Set()

async function answer(req, res) {
  let body = ''
  for await (const chunk of req.setEncoding('utf8')) body += chunk
  requests.push([req.method, req.url, req.headers['content-type'], req.headers.authorization, body])
  // Each path fails once first: whoever tries again is answered.
  const isFirst = !seen.has(req.url)
  seen.add(req.url)
  if (isFirst && req.url.endsWith('again')) return json(res, { error: { message: 'again' } }, 503)
  const said = req.headers['content-type']?.includes('json') ? JSON.parse(body) : undefined
  const path = req.url.replace(/\?.*/, '')
  await ANSWERS[path](res, said)
}

async function main() {
  const server = http.createServer({ keepAliveTimeout: 0 }, answer).listen(0, '127.0.0.1')
  await new Promise((resolve) => server.once('listening', resolve))
  const { port } = server.address()
  const base = `http://127.0.0.1:${port}`
  let dials = 0
  diagnostics.subscribe('keepwire.connection.open', () => (dials += 1))
  if (way === 'install') require('../../..').install({ fetch: true })

  const load = async (name) => {
    const module = await import(pathToFileURL(requireProgram.resolve(name)).href)
    return module.default ?? module
  }
  const told = {}
  const tell = async (name, make) => (told[name] = await outcome(make()))

  const OpenAI = await load('openai')
  const openai = new OpenAI({ apiKey: 'key', baseURL: `${base}/openai` })
  const messages = [{ role: 'user', content: 'hello' }]
  await tell('openai', async () => {
    const answered = await openai.chat.completions.create({ model: 'm', messages })
    return answered.choices[0].message.content
  })
  await tell('openai, streamed', async () => {
    const parts = []
    const streamed = await openai.chat.completions.create({ model: 'm', messages, stream: true })
    for await (const part of streamed) parts.push(part.choices[0].delta.content)
    return parts
  })
  await tell('openai, given up', async () => {
    for await (const part of await openai.chat.completions.create({ model: 'm', messages, stream: true })) {
      return part.choices[0].delta.content
    }
  })
  await tell('openai, raw', async () => {
    const response = await openai.chat.completions.create({ model: 'm', messages }).asResponse()
    return [response instanceof Response, response.status, response.headers instanceof Headers]
  })

  const Anthropic = await load('@anthropic-ai/sdk')
  const anthropic = new Anthropic({ apiKey: 'key', baseURL: `${base}/anthropic` })
  const asked = { model: 'm', max_tokens: 5, messages }
  await tell('anthropic', async () => (await anthropic.messages.create(asked)).content[0].text)
  await tell('anthropic, streamed', async () => (await anthropic.messages.stream(asked).finalMessage()).content[0].text)

  const Stripe = await load('stripe')
  const stripe = new Stripe('sk_test_1', {
    host: '127.0.0.1',
    port,
    protocol: 'http',
    telemetry: false,
    httpClient: Stripe.createFetchHttpClient(),
  })
  await tell('stripe', async () => (await stripe.customers.list({ limit: 1 })).data[0].id)

  const ky = await load('ky')
  await tell('ky', async () => ky.post(`${base}/json`, { json: { a: 1 } }).json())
  await tell('ky, tried again', async () => ky.get(`${base}/json?again`, { retry: { delay: () => 1 } }).json())
  await tell('ky, an error', async () =>
    ky.get(`${base}/missing`).catch((error) => [error.name, error.response.status]),
  )
  await tell('ky, a deadline', async () => ky.get(`${base}/json`, { timeout: 60_000, retry: 0 }).json())

  const { ofetch } = await import(pathToFileURL(requireProgram.resolve('ofetch')).href)
  await tell('ofetch', async () => ofetch(`${base}/json`, { method: 'POST', body: { a: 1 } }))
  await tell('ofetch, tried again', async () => ofetch(`${base}/json?ofetch&again`, { retryDelay: 1 }))
  await tell('ofetch, raw', async () => {
    const response = await ofetch.raw(`${base}/json`)
    return [response instanceof Response, response._data]
  })
  await tell('ofetch, an error', async () => ofetch(`${base}/missing`).catch((error) => [error.name, error.status]))

  console.log(JSON.stringify({ told, requests, dials }))
  process.exit()
}

main()
