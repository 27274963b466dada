'use strict'

// `require('keepwire/http')`.

module.exports = require('./api/http.js')
