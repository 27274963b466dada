'use strict'

const { DynamoDBClient, ListTablesCommand } = require('@aws-sdk/client-dynamodb')
const { NodeHttpHandler } = require('@smithy/node-http-handler')
const { Agent, HttpsAgent } = require('keepwire')

async function main() {
  const httpAgent = new Agent({ keepAlive: true, maxSockets: 50 })
  const httpsAgent = new HttpsAgent({ keepAlive: true, maxSockets: 50 })
  const client = new DynamoDBClient({
    endpoint: process.env.DYNAMODB_URL,
    requestHandler: new NodeHttpHandler({ httpAgent, httpsAgent, connectionTimeout: 2_000, requestTimeout: 10_000 }),
  })
  for (let i = 0; i < 3; i++) {
    const { TableNames } = await client.send(new ListTablesCommand({}))
    console.log('tables', TableNames.join())
  }
  for (const agent of [httpAgent, httpsAgent]) {
    for (const { created, reused } of Object.values(agent.stats().origins))
      console.log('connections', created, 'reused', reused)
  }
  client.destroy()
}

main()
