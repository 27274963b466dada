'use strict'

// A few kilobytes of gzip upon gzip that stand for 10 GB of zeros.

const zlib = require('node:zlib')

const MEMBER = 16 * 1024 * 1024
const MEMBERS = 640

/** @type {Buffer | undefined} */
let made

function bomb() {
  if (made === undefined) {
    const member = zlib.gzipSync(Buffer.alloc(MEMBER), { level: 9 })
    made = zlib.gzipSync(Buffer.concat(Array.from({ length: MEMBERS }, () => member)), { level: 9 })
  }
  return made
}

const BOMB_CODINGS = 'gzip, gzip'

module.exports = { bomb, BOMB_CODINGS }
