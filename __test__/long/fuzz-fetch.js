'use strict'

// `npm run fuzz:fetch [-- CASES|SECONDSs [SEED [FIRST]]]`: calls of fetch() from a seeded generator, each made of the runtime's own
// fetch and of ours (support/fuzz-fetch.js). What differs and has no name is printed, with the number of its call; FIRST begins
// with that one. On Node alone: the other runtimes' fetches are other clients.

const { spawn } = require('node:child_process')
const fs = require('node:fs')
const os = require('node:os')
const path = require('node:path')

const { ca } = require('../support/fetch-tls')

const [amount = '60s', seed = String(Date.now() % 1_000_000), first = '0'] = process.argv.slice(2)
if (!/^\d+s?$/.test(amount)) throw new Error(`not a number of calls, nor of seconds (60s): ${amount}`)

const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'keepwire-'))
const file = path.join(folder, 'ca.pem')
fs.writeFileSync(file, ca)
const script = path.join(__dirname, '..', 'support', 'scripts', 'fuzz-fetch.js')
const child = spawn(process.execPath, ['--no-warnings', script, amount, seed, first], {
  stdio: 'inherit',
  env: { ...process.env, NODE_EXTRA_CA_CERTS: file },
})
child.on('close', (code) => {
  fs.rmSync(folder, { recursive: true })
  process.exitCode = code ?? 1
})
