'use strict'

// One GET in a process whose environment says whom to trust. Arguments: port, and `ours` or `theirs`.

const https = require('node:https')

const [port, whose] = process.argv.slice(2)
const Agent = whose === 'ours' ? require('../../..').HttpsAgent : https.Agent
const say = (what) => console.log(JSON.stringify(what))

process.on('warning', ({ message }) => say({ warning: message }))
https
  .get({ host: 'localhost', family: 4, port, agent: new Agent() }, (response) => {
    say({ status: response.statusCode, authorized: response.socket.authorized })
    response.resume()
  })
  .on('error', ({ code }) => say({ code }))
