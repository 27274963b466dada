'use strict'

// Run by mocha: keepwire beside sinon's clock, and supertest's requests after install().

const assert = require('node:assert')
const { once } = require('node:events')
const http = require('node:http')
const { createRequire } = require('node:module')
const path = require('node:path')

const keepwire = require('../../..')
const { USED, useOnce } = require('../scripts/use')

/* global describe, it, afterEach */

const requireOf = (program) =>
  createRequire(path.join(process.env.KEEPWIRE_PROGRAM, '..', program, 'package.json'))(program)

describe('keepwire', () => {
  afterEach(() => keepwire.uninstall())

  it('works as ever', async () => {
    assert.deepStrictEqual(await useOnce(keepwire, http), USED)
  })

  it("works under sinon's clock", async () => {
    const clock = requireOf('sinon').useFakeTimers({ toFake: ['setTimeout', 'setImmediate', 'Date', 'performance'] })
    try {
      assert.deepStrictEqual(await useOnce(keepwire, http), USED)
    } finally {
      clock.restore()
    }
  })

  for (const request of [false, true]) {
    it(`carries supertest's requests after install({ request: ${request} })`, async () => {
      keepwire.install({ request })
      const app = (req, res) => req.pipe(res)
      const supertest = requireOf('supertest')
      await supertest(app).post('/').send('body').expect(200, 'body')
      const server = http.createServer(app).listen(0, '127.0.0.1')
      // One that does not listen yet is supertest's to start, and to close after each request.
      await once(server, 'listening')
      for (let i = 0; i < 3; i++) await supertest(server).post('/').send(`body ${i}`).expect(200, `body ${i}`)
      const agent = new keepwire.Agent({ keepAlive: true })
      for (let i = 0; i < 3; i++) await supertest(server).post('/').agent(agent).send('own').expect(200, 'own')
      assert.strictEqual(agent.totalSocketCount, 1)
      agent.destroy()
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
    })
  }
})
