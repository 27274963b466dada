#!/usr/bin/env node
'use strict'

// npx keepwire

require('../lib/load.js').command.main(process.argv.slice(2))
