'use strict'

// Whom a process trusts, as its environment and its command line say: as for the runtime's own agent.

const assert = require('node:assert')
const { mkdirSync, mkdtempSync, rmSync, writeFileSync } = require('node:fs')
const os = require('node:os')
const path = require('node:path')
const tls = require('node:tls')

const { makeAuthority } = require('../support/authority')
const { runScript } = require('../support/child')
const { isBun, isDeno, isNode } = require('../support/runtime')
const { secureServer } = require('../support/secure')
const { test } = require('../support/suite')

const authorities = makeAuthority()

const TRUSTED = { status: 200, authorized: true }
const UNKNOWN = { code: 'UNABLE_TO_VERIFY_LEAF_SIGNATURE' }

/** Where the system keeps its authorities, if those who look for them ask there. */
const system = ({ file, empty }) => ({ SSL_CERT_FILE: file, SSL_CERT_DIR: empty })
const systemFolder = ({ folder, missing }) => ({ SSL_CERT_FILE: missing, SSL_CERT_DIR: folder })

const isLinux = process.platform === 'linux'
const knowsFlag = (flag) => isNode && process.allowedNodeEnvironmentFlags.has(flag)
const readsSystem = isLinux && (isBun || knowsFlag('--use-system-ca'))

/** `env`: the environment, `flags`: the runtime's. */
const cases = {
  'NODE_EXTRA_CA_CERTS is trusted': { env: ({ file }) => ({ NODE_EXTRA_CA_CERTS: file }), expected: TRUSTED },
  'an unknown authority is not trusted': { expected: UNKNOWN },
  // Bun trusts it.
  'an authority of the system, unasked': { env: system, expected: isBun ? TRUSTED : UNKNOWN },
  'NODE_TLS_REJECT_UNAUTHORIZED=0 takes any peer': {
    env: () => ({ NODE_TLS_REJECT_UNAUTHORIZED: '0' }),
    expected: { status: 200 },
  },
  '--use-system-ca, a file': { env: system, flags: ['--use-system-ca'], expected: TRUSTED, has: readsSystem },
  '--use-system-ca, a folder': { env: systemFolder, flags: ['--use-system-ca'], has: readsSystem },
  '--use-system-ca, another authority': {
    env: ({ empty, missing }) => ({ SSL_CERT_FILE: missing, SSL_CERT_DIR: empty }),
    flags: ['--use-system-ca'],
    expected: UNKNOWN,
    has: readsSystem,
  },
  'NODE_USE_SYSTEM_CA=1': { env: (files) => ({ ...system(files), NODE_USE_SYSTEM_CA: '1' }), has: readsSystem },
  'DENO_TLS_CA_STORE=system': {
    env: (files) => ({ ...system(files), DENO_TLS_CA_STORE: 'system' }),
    expected: TRUSTED,
    has: isLinux && isDeno,
  },
  '--use-openssl-ca': { env: system, flags: ['--use-openssl-ca'], expected: TRUSTED, has: isLinux && isNode },
}

for (const [name, { env = () => ({}), flags = [], expected, has = true }] of Object.entries(cases)) {
  const skip = !has && 'not on this runtime or system'
  test(`in a process: ${name}, as for the runtime's own agent`, { skip }, async (scope) => {
    const { root, server } = await authorities
    const place = mkdtempSync(path.join(os.tmpdir(), 'keepwire-'))
    scope.defer(() => rmSync(place, { recursive: true }))
    const folder = path.join(place, 'authorities')
    const empty = path.join(place, 'empty')
    const file = path.join(folder, 'ca.pem')
    for (const made of [folder, empty]) mkdirSync(made)
    writeFileSync(file, root.pem)
    const { port } = await secureServer(scope, server)
    const environment = env({ file, folder, empty, missing: path.join(empty, 'ca.pem') })
    const run = (whose) => runScript('https-trust', [port, whose], { env: environment, flags })
    const [ours, theirs] = [await run('ours'), await run('theirs')]
    const told = ({ lines }) => lines.filter((line) => !line.warning)
    const warned = ({ lines }) => lines.some(({ warning }) => warning?.includes('NODE_TLS_REJECT_UNAUTHORIZED'))
    assert.deepStrictEqual(told(ours), told(theirs), ours.stderr)
    assert.strictEqual(warned(ours), warned(theirs))
    for (const [key, value] of Object.entries(expected ?? {})) assert.strictEqual(told(ours)[0][key], value)
  })
}

const settable = typeof tls.setDefaultCACertificates === 'function'

test("tls.setDefaultCACertificates() counts from the next connection, as for the runtime's own agent", {
  skip: !settable && 'the runtime has none',
}, async (scope) => {
  const { root, server } = await authorities
  const { port } = await secureServer(scope, server)
  const run = (whose) => runScript('https-replaced-trust', [port, root.pem, whose])
  const [ours, theirs] = [await run('ours'), await run('theirs')]
  assert.deepStrictEqual(ours.lines, theirs.lines, ours.stderr)
  assert.deepStrictEqual(ours.lines, [UNKNOWN, { status: 200 }, { status: 200 }, UNKNOWN, { status: 200 }])
})

// The test runner of Node 24 and newer starts each test file so.
test("a flag that names the runtime's own ciphers changes nothing, another list does", {
  ours: 'has no engine',
  skip: !isNode && 'it is a flag of Node',
}, async () => {
  const { defaultCoreCipherList } = require('node:crypto').constants
  for (const [list, foreign] of [
    [defaultCoreCipherList, {}],
    ['HIGH', { 'tls-ciphers': 1 }],
  ]) {
    const { lines, stderr } = await runScript('cipher-list', [], { flags: [`--tls-cipher-list=${list}`] })
    assert.deepStrictEqual(lines, [foreign], stderr)
  }
})
