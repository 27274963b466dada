import axios from 'axios'
import got from 'got'
import { Agent, HttpsAgent } from 'keepwire'

const httpAgent = new Agent({ keepAlive: true, maxSockets: 20 })
const httpsAgent = new HttpsAgent({ keepAlive: true, maxSockets: 20 })

const byAxios = axios.create({ httpAgent, httpsAgent, proxy: false, timeout: 10_000 })
const byGot = got.extend({ agent: { http: httpAgent, https: httpsAgent }, timeout: { request: 10_000 } })

const { URL: url } = process.env
for (let i = 0; i < 3; i++) {
  console.log('axios', (await byAxios.get(url)).status)
  console.log('got', (await byGot(url)).statusCode)
}
for (const agent of [httpAgent, httpsAgent]) {
  for (const { created, reused } of Object.values(agent.stats().origins))
    console.log('connections', created, 'reused', reused)
  agent.destroy()
}
