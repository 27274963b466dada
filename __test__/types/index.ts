// Compiled, never run: `npm run types` fails if a line here does not check, or if one marked as an error does.

import * as nodeHttp from 'node:http'
import * as nodeHttps from 'node:https'
import type * as net from 'node:net'

import type * as keepwire from 'keepwire'
import {
  Agent,
  type AgentOptions,
  type ConnectionState,
  connections,
  fetch,
  type Histogram,
  HttpsAgent,
  type HttpsAgentOptions,
  http,
  https,
  publicAddressesOnly,
  type Totals,
  totals as keepwireTotals,
} from 'keepwire'
import { type Dashboard, dashboard } from 'keepwire/dashboard'
import { metricProducer } from 'keepwire/otel'
import { contentType, metrics, register } from 'keepwire/prometheus'
import { Registry } from 'prom-client'

/** Both directions: neither type may have something that the other lacks. */
type Same<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false
const holds = <_T extends true>(): void => {}

// Our agent is an http.Agent wherever one is asked for.
const agent = new Agent({ keepAlive: true, maxSockets: 50 })
const asRuntimeAgent: nodeHttp.Agent = agent
const asRuntimeClass: typeof nodeHttp.Agent = Agent
nodeHttp.request({ host: 'localhost', agent })
nodeHttp.get('http://localhost/', { agent }, (response) => response.resume())
http.get('http://localhost/', { agent }, (response) => response.resume())
http.request('http://localhost/', { agent: http.globalAgent }).end()

// Every option of the runtime's agent is one of ours, and ours take what they say.
const runtimeOptions: nodeHttp.AgentOptions = { scheduling: 'fifo', localAddress: '127.0.0.1', timeout: 1 }
new Agent(runtimeOptions)
const options: AgentOptions = {
  freeSocketTimeout: 0,
  maxRequestsPerSocket: 100,
  maxPending: Number.POSITIVE_INFINITY,
  connectTimeout: 1_000,
  maxTotalSockets: 10,
  autoSelectFamily: true,
  noDelay: undefined,
}
new http.Agent(options)

// @ts-expect-error a duration is a number of milliseconds
new Agent({ freeSocketTimeout: '90s' })
// @ts-expect-error there is no such scheduling
new Agent({ scheduling: 'random' })
// @ts-expect-error a limit is a number
new Agent({ maxPending: true })
// @ts-expect-error there is no such option
new Agent({ maxSocketz: 1 })
// @ts-expect-error options are an object
new Agent(50)

// What the agent shows.
const total: number = agent.totalSocketCount
const sockets: net.Socket[] | undefined = agent.sockets['localhost:80:']
const waiting: nodeHttp.ClientRequest[] | undefined = agent.requests['localhost:80:']
const name: string = agent.getName({ host: 'localhost', port: 80 })
agent.maxSockets = 10
agent.on('free', () => {})
agent.destroy()
holds<Same<typeof agent.scheduling, 'fifo' | 'lifo'>>()
holds<Same<typeof agent.options, AgentOptions>>()
// @ts-expect-error counted, not set
agent.totalSocketCount = 0

// Subclasses.
class Counting extends Agent {
  override createConnection(...args: Parameters<Agent['createConnection']>): ReturnType<Agent['createConnection']> {
    return super.createConnection(...args)
  }
}
const counting: nodeHttp.Agent = new Counting({ maxPending: 5 })

// keepwire.http is node:http with our agents.
holds<Same<typeof http.Agent, typeof Agent>>()
holds<Same<http.Agent, Agent>>()
holds<Same<typeof http.globalAgent, Agent>>()
holds<Same<http.IncomingMessage, nodeHttp.IncomingMessage>>()
holds<Same<typeof http.createServer, typeof nodeHttp.createServer>>()
holds<Same<Exclude<keyof typeof nodeHttp, keyof typeof http>, never>>()
holds<Same<typeof keepwire.http, typeof http>>()
// @ts-expect-error there is no such export
http.nothing

// The same over TLS.
const secureAgent = new HttpsAgent({ keepAlive: true, ca: ['pem'], rejectUnauthorized: false, maxCachedSessions: 0 })
const asRuntimeSecureAgent: nodeHttps.Agent = secureAgent
const asRuntimeSecureClass: typeof nodeHttps.Agent = HttpsAgent
nodeHttps.get('https://localhost/', { agent: secureAgent }, (response) => response.resume())
https.request('https://localhost/', { agent: https.globalAgent }).end()
const runtimeSecureOptions: nodeHttps.AgentOptions = { servername: 'localhost', minVersion: 'TLSv1.3' }
new HttpsAgent(runtimeSecureOptions)
const secureOptions: HttpsAgentOptions = { ...options, cert: 'pem', key: 'pem', checkServerIdentity: () => undefined }
new https.Agent(secureOptions)
// @ts-expect-error certificates are PEM
new HttpsAgent({ ca: 1 })
// @ts-expect-error there is no such option
new HttpsAgent({ freeSocketTimeouts: 1 })
holds<Same<typeof https.Agent, typeof HttpsAgent>>()
holds<Same<HttpsAgent['preconnect'], Agent['preconnect']>>()
holds<Same<ReturnType<HttpsAgent['stats']>, ReturnType<Agent['stats']>>>()
holds<Same<typeof https.globalAgent, HttpsAgent>>()
holds<Same<Exclude<keyof typeof nodeHttps, keyof typeof https>, never>>()

const remembering = new Agent({
  dns: { ttl: 5_000, negativeTtl: 0, maxStale: Infinity, maxEntries: 10, maxThreads: 8, rotate: true },
  addresses: 'spread',
})
new Agent({ allowAddress: publicAddressesOnly })
new Agent({ allowAddress: (ip, family: 4 | 6, host) => family === 4 && ip !== host })
// @ts-expect-error
new Agent({ allowAddress: true })
const remembered: number | undefined = new HttpsAgent({ dns: true }).stats().dns?.entries
new Agent({ policy: (host) => (host === 'a' ? undefined : { concurrency: 2, rps: 0.5, burst: 3, retryAfter: true }) })
new HttpsAgent({ policy: () => ({ retryAfter: 1_000 }), breaker: { failures: 3, cooldown: 1_000 } })
// @ts-expect-error
new Agent({ policy: () => ({ rps: '5' }) })
const circuit: 'closed' | 'open' | 'half-open' | undefined = new Agent({ breaker: true }).stats().hosts?.a?.circuit
export { circuit }
// @ts-expect-error: a number of milliseconds
new Agent({ dns: { ttl: '5s' } })
export { remembered, remembering }
http.get({ host: '127.0.0.1', agent, maxResponseSize: 1 }, (response) => response.resume())
https.request('https://127.0.0.1/', { maxResponseSize: 2 ** 20 }).end()
// @ts-expect-error a number of bytes
http.request('http://127.0.0.1/', { maxResponseSize: '1 MB' })

export { asRuntimeSecureAgent, asRuntimeSecureClass }
export { asRuntimeAgent, asRuntimeClass, counting, name, sockets, total, waiting }

const users = fetch.withDefaults({
  baseUrl: 'http://127.0.0.1/',
  headers: { a: 'b' },
  retry: { attempts: 2, on: [503] },
})
async function fetches(): Promise<void> {
  const response: Response = await fetch('http://127.0.0.1/', { agent, timeout: 100, method: 'POST', body: 'x' })
  const again: Response = await users(response.url, { retry: false })
  await again.text().catch((error: unknown) => error instanceof fetch.HttpError && error.status)
  await fetch('https://127.0.0.1/', { agent: (url) => (url.protocol === 'http:' ? agent : new HttpsAgent()) })
  // @ts-expect-error: a number of milliseconds
  await fetch('http://127.0.0.1/', { timeout: 'soon' })
}
void fetches

// What the process did.
const all = keepwireTotals({ origin: (name: string) => name.toLowerCase() })
holds<Same<typeof all, Record<string, Totals>>>()
holds<Same<(typeof all)[string]['durationMs'], Record<string, Record<string, Histogram>>>>()
holds<Same<ReturnType<typeof connections>, ConnectionState[]>>()
const text: string = metrics({ accept: contentType(), origin: (name) => name })
register(new Registry(), {})
void [connections(new Agent()), text]

async function looks(): Promise<Dashboard> {
  dashboard.handler({ token: 'at least 16 characters', hosts: ['board.example'] })
  // @ts-expect-error a port is a number
  await dashboard({ port: '9230' })
  return dashboard({ port: 0, host: '127.0.0.1' })
}
looks().then(({ close, port, url }) => close().then(() => url + port.toFixed()))
metricProducer({ exclude: ['http.client.request.duration'], origin: (name) => name })
  .collect()
  .then(() => {})
