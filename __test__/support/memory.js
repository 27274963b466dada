'use strict'

// What a process holds, after everything that can be collected is.

const fs = require('node:fs')
const v8 = require('node:v8')
const vm = require('node:vm')

function collect() {
  if (process.versions.bun !== undefined) {
    globalThis.Bun.gc(true)
    return
  }
  v8.setFlagsFromString('--expose-gc')
  const gc = vm.runInNewContext('gc')
  gc()
  gc()
}

function held() {
  collect()
  const { heapUsed, rss } = process.memoryUsage()
  return {
    rss,
    heap: heapUsed,
    descriptors: fs.existsSync('/proc/self/fd') ? fs.readdirSync('/proc/self/fd').length : 0,
    handles: process.getActiveResourcesInfo?.().length ?? 0,
  }
}

const megabytes = (bytes) => `${(bytes / 1e6).toFixed(1)} MB`

module.exports = { held, megabytes }
