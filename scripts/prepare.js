'use strict'

// What npm runs as `prepare` when it installs keepwire from a repository or a folder (`npm install git+https://…`,
// `npm install ./keepwire`): builds the addon. Packages from a registry and tarballs have no such step: no npm runs `prepare`
// for them.

require('./node-version.js')
const fs = require('node:fs')
const path = require('node:path')

const { root } = require('./process.js')
const { runScript } = require('./report.js')

/** A checkout in which somebody works builds what it needs when it needs it, and what is packed has no addon. */
function isNobodys() {
  const { INIT_CWD = root, npm_command: command = '', _PACOTE_NO_PREPARE_: ofGit } = process.env
  if (command === 'pack' || command === 'publish') return false
  const isInside = !path.relative(fs.realpathSync(root), fs.realpathSync(INIT_CWD)).startsWith('..')
  return !isInside || ofGit !== undefined || !fs.existsSync(path.join(root, '.git'))
}

runScript(async () => {
  if (!isNobodys()) return
  const { ensureReady } = require('./setup.js')
  await ensureReady({ dev: false })
})
