'use strict'

// `require('keepwire/dashboard')`. Assigned by name: that is how `import { … }` finds it.

exports.dashboard = require('./load.js').dashboard.dashboard
