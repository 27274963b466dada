'use strict'

// A server process of support/remote.js with as many servers as it is told, each on a port of its own: as many origins.

const http = require('node:http')

const { serve } = require('./server-process')

const count = Number(process.argv[2])
const answer = (_, response) => response.end('ok')
const names = Array.from({ length: count }, (_, at) => `server${at}`)
const servers = names.map(() => http.createServer({ keepAliveTimeout: 3_600_000 }, answer))

// A server is told of its connections one by one; what is open matters to nobody.
serve(Object.fromEntries(names.map((name, at) => [name, servers[at]])), () => ({ open: 0 }))
