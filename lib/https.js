'use strict'

// `require('keepwire/https')`.

module.exports = require('./load.js').https
