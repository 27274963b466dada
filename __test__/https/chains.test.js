'use strict'

// Chains of certificates, right and wrong in each way: the verdict and its code are those of the runtime's own agent, by
// every way of requesting. Where they are not, we are the stricter ones, and the case says why.

const assert = require('node:assert')
const fs = require('node:fs')
const os = require('node:os')
const path = require('node:path')
const tls = require('node:tls')

const { runScript } = require('../support/child')
const { groups, unmade } = require('../support/chains')
const { judgements } = require('../support/judging')
const { baseline, isDeno, isNode, runtimeName } = require('../support/runtime')
const { test } = require('../support/suite')

/** Handshakes at once. */
const AT_ONCE = 8

/**
 * Deno looks at no times of anchors, uses of keys, purposes of anchors and lists of revoked certificates, and has one code
 * for most that it refuses. Ours look, as docs/https.md says.
 */
const STRICTER_THAN_DENO = /\b(?:CERT_HAS_EXPIRED|CERT_NOT_YET_VALID|CERT_REVOKED|INVALID_PURPOSE)\b/

/** Of which Deno itself dies, uncaught. */
const DEADLY_TO_DENO =
  /without a zone|without seconds|an offset|a fraction|a day that is none|carriage returns|broken|cut off/

/**
 * @param {string} ours
 * @param {string} theirs
 */
function isRight(ours, theirs) {
  // A fetch over an agent whose options are wrong says that the agent is.
  const areRefused = theirs.startsWith('threw ') && ours.startsWith('ERR_INVALID_ARG_VALUE ')
  return ours === theirs || areRefused || (isDeno && STRICTER_THAN_DENO.test(ours))
}

/**
 * Quickly, each of Node's versions judges a third of the chains, and not all of them the same one: the full run, on one of
 * them, judges all. Bun's and Deno's own judges are others.
 */
const THIRD =
  process.env.KEEPWIRE_TEST_QUICK === '1' && isNode ? (Number.parseInt(process.versions.node, 10) / 2) % 3 : -1

/** @param {import('../support/chains').Chain} chain */
async function differences(chain) {
  const told = await judgements(chain)
  if (told === null) return []
  const { runtime, runtimeUnverified, ...ours } = told
  return (
    Object.entries(ours)
      .map(([way, verdict]) => ({ way, verdict, expected: way === 'agentUnverified' ? runtimeUnverified : runtime }))
      // Deno serves some peers and calls them unauthorized, for which a fetch has no word.
      .filter(
        ({ way, verdict, expected }) => way !== 'fetch' || verdict !== 'authorized' || !/^unauthorized/.test(expected),
      )
      .filter(({ verdict, expected }) => !isRight(verdict, expected))
      .map(({ way, verdict, expected }) => `${chain.title}, ${way}: ${verdict}; the runtime: ${expected}`)
  )
}

for (const [group, chains] of Object.entries(groups)) {
  const judged = chains
    .filter(({ title }) => !(isDeno && DEADLY_TO_DENO.test(title)))
    .filter((_, at) => THIRD === -1 || at % 3 === THIRD)
  test(`chains (${group}): every verdict is the runtime's own`, {
    ours: 'it is the referee',
    timeout: 90_000,
  }, async () => {
    const wrong = []
    const left = [...judged]
    const work = async () => {
      for (let chain = left.shift(); chain !== undefined; chain = left.shift())
        wrong.push(...(await differences(chain)))
    }
    await Promise.all(Array.from({ length: AT_ONCE }, work))
    assert.deepStrictEqual(wrong, [])
  })
}

/** Bun takes no file of which it can't read all. */
function isReadable(ca) {
  try {
    tls.createSecureContext({ ca })
    return true
  } catch {
    return false
  }
}

/** Whether its anchors can be trusted beside others, in one file. */
function isUsual({ ca, options, title }) {
  const isPlain = (pem) => typeof pem === 'string' && pem.startsWith('-----BEGIN CERTIFICATE-----\n')
  const arePlain = Array.isArray(ca) && ca.every(isPlain) && Object.keys(options).length === 0
  return (
    arePlain &&
    isReadable(ca) &&
    !DEADLY_TO_DENO.test(title) &&
    !/cut off|bytes behind|blank line|spaces before/.test(title)
  )
}

const byTheClient = {
  ours: 'it is the referee',
  timeout: 120_000,
  skip: isDeno && "Deno's servers take up one another's sessions, so that what one has shown counts for all of them",
}

test("fetch without an agent gives the runtime's own verdicts", byTheClient, async (scope) => {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'keepwire-'))
  scope.defer(() => fs.rmSync(folder, { recursive: true }))
  const chains = Object.values(groups).flat().filter(isUsual)
  assert.ok(chains.length > 400, String(chains.length))
  const judged = chains.filter((_, at) => THIRD === -1 || at % 3 === THIRD)
  fs.writeFileSync(path.join(folder, 'chains.json'), JSON.stringify(judged))
  fs.writeFileSync(path.join(folder, 'ca.pem'), [...new Set(chains.flatMap(({ ca }) => ca))].join(''))
  const { lines, stderr } = await runScript('chains', [path.join(folder, 'chains.json')], {
    env: { NODE_EXTRA_CA_CERTS: path.join(folder, 'ca.pem') },
    deadlineMs: 110_000,
  })
  assert.strictEqual(lines.at(-1)?.done, true, stderr)
  const wrong = lines.slice(0, -1).filter(({ fetch, runtime }) => !isRight(fetch, runtime))
  assert.deepStrictEqual(wrong, [])
})

test('there are chains of every kind', async () => {
  const count = Object.values(groups).flat().length
  assert.ok(count > 500, String(count))
  if (!baseline && runtimeName !== 'deno') assert.deepStrictEqual(unmade, [])
})
