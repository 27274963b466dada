'use strict'

// `require('keepwire/otel')`. Assigned by name: that is how `import { … }` finds it.

exports.metricProducer = require('./load.js').otel.metricProducer
