'use strict'

// `require('keepwire/http')`.

module.exports = require('./load.js').http
