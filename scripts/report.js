'use strict'

// How the scripts speak: one line when a step begins, one when it took long enough to wonder, one clear line when it
// cannot be done.

/** A failure that the user can mend: its message is all there is to say, without a stack. */
class UserError extends Error {
  expected = true

  /** @param {string} line */
  constructor(line) {
    super(`keepwire: ${line}`)
  }
}

/** @param {string} line */
function say(line) {
  console.log(`keepwire: ${line}`)
}

/** @param {number} startedAt of performance.now() */
function secondsSince(startedAt) {
  return `${((performance.now() - startedAt) / 1000).toFixed(1)} s`
}

/**
 * Runs the script's `main`, prints what it throws and sets the exit code.
 * @param {() => Promise<void> | void} main
 */
async function runScript(main) {
  try {
    await main()
  } catch (error) {
    console.error(error instanceof UserError ? error.message : error)
    process.exitCode = 1
  }
}

module.exports = { UserError, runScript, say, secondsSince }
