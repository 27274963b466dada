'use strict'

// `--compare REV`: another revision of this repository, built, to run beside this one.

const fs = require('node:fs')
const path = require('node:path')

const { root, run } = require('../scripts/process.js')
const { UserError, say } = require('../scripts/report.js')

/** Each has a checkout of its own, which is kept: building one takes minutes. */
const FOLDER = path.join(__dirname, 'revisions')

/**
 * @param {string} revision what `git rev-parse` knows: a hash, a branch, a tag
 * @returns {Promise<string>} the folder of its checkout, built
 */
async function buildRevision(revision) {
  const { code, stdout } = await git(['rev-parse', '--verify', '--quiet', `${revision}^{commit}`])
  if (code !== 0) throw new UserError(`"${revision}" is no revision of this repository`)
  const commit = stdout.trim()
  const checkout = path.join(FOLDER, commit.slice(0, 12))
  if (!fs.existsSync(checkout)) await checkOut(commit, checkout)
  say(`${revision}: its packages and its addon, in ${path.relative(process.cwd(), checkout)}`)
  const setUp = await run(process.execPath, ['scripts/setup.js'], { cwd: checkout })
  if (setUp.code !== 0) throw new UserError(`"${revision}" can't be built`)
  return checkout
}

/** In one step: what was interrupted leaves no folder that looks complete. */
async function checkOut(commit, checkout) {
  const unfinished = `${checkout}.${process.pid}`
  fs.mkdirSync(FOLDER, { recursive: true })
  try {
    for (const args of [
      ['clone', '--quiet', '--shared', '--no-checkout', root, unfinished],
      ['-C', unfinished, 'checkout', '--quiet', '--detach', commit],
    ]) {
      const { code, output } = await git(args)
      if (code !== 0) throw new UserError(`git ${args.join(' ')} failed:\n${output.trim()}`)
    }
    fs.renameSync(unfinished, checkout)
  } finally {
    fs.rmSync(unfinished, { recursive: true, force: true })
  }
}

const git = (/** @type {string[]} */ args) => run('git', args, { capture: 'both' })

module.exports = { buildRevision }
