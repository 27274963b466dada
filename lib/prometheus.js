'use strict'

// `require('keepwire/prometheus')`. Assigned one by one: that is how `import { … }` finds the names.

const { contentType, metrics, register } = require('./load.js').prometheus

exports.contentType = contentType
exports.metrics = metrics
exports.register = register
