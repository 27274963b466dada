'use strict'

// Run by jest, in many files: each has a registry of modules, a context and a copy of keepwire of its own, and makes requests in
// every way.

const http = require('node:http')

const { read } = require('../scripts/program')
const keepwire = require('../../..')

/* global test, expect */

const port = Number(process.env.KEEPWIRE_PORT)
const url = `http://127.0.0.1:${port}/a`

test('requests in every way', async () => {
  const agent = new keepwire.Agent({ keepAlive: true })
  const target = { host: '127.0.0.1', port, path: '/a', agent }
  keepwire.install({ request: true })
  const answers = [
    await read((done) => http.request(target, done)),
    await read((done) => http.get(url, done)),
    await read((done) => keepwire.http.request(target, done)),
    await read((done) => keepwire.http.get(url, done)),
    await (await keepwire.fetch(url)).text(),
    await (await keepwire.fetch(url, { agent })).text(),
    await (await keepwire.fetch(url, { method: 'POST', body: 'body' })).text(),
  ]
  keepwire.uninstall()
  expect(answers).toEqual(answers.map(() => 'real /a'))
})
