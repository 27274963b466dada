import { once } from 'node:events'
import http, { type IncomingMessage } from 'node:http'
import process from 'node:process'

import { Agent, fetch } from 'keepwire'

const url = process.env.URL as string
const agent = new Agent({ keepAlive: true, maxSockets: 10 })

for (let i = 0; i < 3; i++) {
  const [response] = (await once(http.get(url, { agent }), 'response')) as [IncomingMessage]
  await once(response.resume(), 'end')
  console.log('http', response.statusCode)
  const fetched = await fetch(url, { agent })
  await fetched.text()
  console.log('fetch', fetched.status)
}
for (const { created, reused } of Object.values(agent.stats().origins))
  console.log('connections', created, 'reused', reused)
agent.destroy()
