'use strict'

// Programs of the system that tests use where they are installed.

const fs = require('node:fs')
const path = require('node:path')

// Debian keeps servers out of the PATH of ordinary users.
const FOLDERS = [...(process.env.PATH ?? '').split(path.delimiter), '/usr/sbin', '/usr/local/sbin', '/opt/homebrew/bin']

/**
 * @param {string} name
 * @returns {string | undefined} its file
 */
function installed(name) {
  return FOLDERS.map((folder) => path.join(folder, name)).find((file) => fs.existsSync(file))
}

module.exports = { installed }
