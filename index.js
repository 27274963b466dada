'use strict'

// Assigned one by one: that is how `import { … } from 'keepwire'` finds the names.

const http = require('./lib/http.js')
const { install, uninstall } = require('./lib/install.js')

exports.http = http
exports.Agent = http.Agent
exports.install = install
exports.uninstall = uninstall
