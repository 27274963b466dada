'use strict'

// `require('keepwire/otel')`. Assigned by name: that is how `import { … }` finds it.

const { otel } = require('./load.js')

exports.metricProducer = otel.metricProducer
exports.recordSpans = otel.recordSpans
