'use strict'

// Asks many shops for prices. README.md says how to call it.

const { Agent, HttpsAgent, explain, http, https } = require('keepwire')
const { parseArgs } = require('node:util')

const { chart, table } = require('./report.js')
const { openShops } = require('./shops.js')

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    articles: { type: 'string', default: '20' },
    rps: { type: 'string', default: '5' },
    concurrency: { type: 'string', default: '2' },
    proxy: { type: 'string' },
  },
})
const [articles, rps, concurrency] = [values.articles, values.rps, values.concurrency].map(Number)

const options = {
  keepAlive: true,
  connectTimeout: 5_000,
  headersTimeout: 10_000,
  policy: () => ({ concurrency, rps, burst: concurrency }),
  breaker: { failures: 5, cooldown: 30_000 },
  // Through a proxy, it is the proxy that looks names up.
  ...(values.proxy ? { proxy: values.proxy } : { dns: true }),
}
const agents = { 'http:': new Agent(options), 'https:': new HttpsAgent(options) }

/**
 * One price.
 * @param {string} shop
 * @param {number} article
 * @returns {Promise<{ shop: string, outcome: string, ms: number, queuedMs: number, isReused: boolean }>}
 */
function ask(shop, article) {
  const url = new URL(`/articles/${article}`, shop)
  const { get } = url.protocol === 'https:' ? https : http
  const began = performance.now()
  return new Promise((resolve) => {
    const request = get(url, { agent: agents[url.protocol] }, (response) => {
      response.resume()
      response.on('end', () => settle(String(response.statusCode)))
      response.on('error', (error) => settle(error.code))
    })
    request.on('error', (error) => settle(error.code))
    function settle(outcome) {
      const { queuedMs = 0, reused } = explain(request) ?? {}
      // What it waited for by its policy is nothing that the shop has taken.
      resolve({ shop, outcome, ms: performance.now() - began - queuedMs, queuedMs, isReused: reused === true })
    }
  })
}

async function main() {
  const local = positionals.length > 0 ? null : await openShops()
  const shops = local?.urls ?? positionals
  const began = performance.now()
  const asked = shops.flatMap((shop) => Array.from({ length: articles }, (_, article) => ask(shop, article)))
  const answers = await Promise.all(asked)
  console.log(table(shops, answers, (performance.now() - began) / 1000))
  console.log(chart(answers))
  for (const agent of Object.values(agents)) await agent.close()
  await local?.close()
}

main()
