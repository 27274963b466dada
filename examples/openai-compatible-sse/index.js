'use strict'

const { Agent, HttpsAgent, fetch } = require('keepwire')
const { events } = require('./events.js')

async function main() {
  const { MODEL: model, OPENAI_API_KEY: key, OPENAI_BASE_URL: baseUrl } = process.env
  const isSecure = baseUrl.startsWith('https:')
  const agent = new (isSecure ? HttpsAgent : Agent)({ keepAlive: true, headersTimeout: 60_000, bodyTimeout: 60_000 })
  const ask = fetch.withDefaults({ baseUrl, agent, headers: { authorization: `Bearer ${key}` } })

  const messages = [{ role: 'user', content: process.argv[2] ?? 'Say hello' }]
  const response = await ask('chat/completions', {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ model, messages, stream: true }),
  })
  for await (const data of events(response)) {
    if (data === '[DONE]') break
    process.stdout.write(JSON.parse(data).choices[0]?.delta?.content ?? '')
  }
  process.stdout.write('\n')
  agent.destroy()
}

main()
