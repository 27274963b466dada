'use strict'

// Which runtime runs the suite, and which agent it looks at. KEEPWIRE_TEST_BASELINE=1 puts the runtime's own agent
// in keepwire's place: what the suite then says is true of the runtime, so a test that fails there is a wrong test.

const http = require('node:http')
const https = require('node:https')

const name = typeof Bun !== 'undefined' ? 'bun' : typeof Deno !== 'undefined' ? 'deno' : 'node'
const baseline = process.env.KEEPWIRE_TEST_BASELINE === '1'

/** @param {'http' | 'https'} [scheme] */
function agentUnderTest(scheme = 'http') {
  if (baseline) return (scheme === 'https' ? https : http).Agent
  const { Agent, HttpsAgent } = require('../..')
  return scheme === 'https' ? HttpsAgent : Agent
}

/**
 * How a script of ours is started in a process of its own.
 * @param {string[]} [flags] the runtime's
 * @param {boolean} [sandboxed] whether Deno grants it no more than the flags say
 */
function commandFor(script, args = [], flags = [], sandboxed = false) {
  const deno = ['run', '--quiet', ...(sandboxed ? [] : ['-A'])]
  return { file: process.execPath, args: [...(name === 'deno' ? deno : []), ...flags, script, ...args] }
}

module.exports = {
  agentUnderTest,
  baseline,
  commandFor,
  isBun: name === 'bun',
  isDeno: name === 'deno',
  isNode: name === 'node',
  major: Number(process.versions.node.split('.')[0]),
  runtimeName: name,
}
