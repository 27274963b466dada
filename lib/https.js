'use strict'

// `require('keepwire/https')`.

module.exports = require('./api/https.js')
