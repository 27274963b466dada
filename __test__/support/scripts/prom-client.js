'use strict'

// As many requests as it is told, and what a registry of prom-client's hands from a worker to its cluster.

const http = require('node:http')

const { Registry } = require('prom-client')

const { Agent } = require('../../..')
const { register } = require('../../../lib/prometheus')

const [port, requests] = process.argv.slice(2).map(Number)
const agent = new Agent({ keepAlive: true })

function ask() {
  return new Promise((resolve, reject) => {
    const request = http.get({ host: '127.0.0.1', port, agent }, (response) => response.resume().on('end', resolve))
    request.on('error', reject)
  })
}

async function main() {
  const registry = new Registry()
  register(registry)
  for (let at = 0; at < requests; at++) await ask()
  console.log(JSON.stringify({ metrics: await registry.getMetricsAsJSON() }))
  agent.destroy()
}

main()
