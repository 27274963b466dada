'use strict'

// Whom the agent trusts: for each kind of certificate, and each way to ask for trust, the outcome is that of the runtime's
// own agent: error or success, what the socket says of the peer, and the peer's certificate.

const assert = require('node:assert')
const fs = require('node:fs')
const https = require('node:https')
const os = require('node:os')
const path = require('node:path')

const { Certificate, makeAuthority, x509 } = require('../support/authority')
const { runScript } = require('../support/child')
const { outcome, SecureAgent, secureServer, tellError } = require('../support/secure')
const { runtimeName } = require('../support/runtime')
const { test } = require('../support/suite')

const authorities = (async () => {
  const { root, server } = await makeAuthority()
  const other = await Certificate.make({ name: 'Other', ca: true })
  const namesake = await Certificate.make({ name: 'Root', ca: true })
  const middle = await root.issue({ name: 'Middle', ca: true })
  const staleMiddle = await root.issue({ name: 'Stale middle', ca: true, until: -1 })
  const staleRoot = await Certificate.make({ name: 'Stale root', ca: true, until: -1 })
  const local = { name: 'localhost', dns: ['localhost'] }
  const chained = (leaf, ...links) => ({ key: leaf.key, pem: [leaf, ...links].map(({ pem }) => pem).join('') })
  const byMiddle = await middle.issue(local)
  const permitted = new x509.Extension('2.5.29.30', true, Buffer.from('3010a00e300c820a6578616d706c652e6f72', 'hex'))
  return {
    root,
    other,
    namesake,
    middle,
    staleRoot,
    server,
    selfSigned: await Certificate.make(local),
    selfSignedAuthority: await Certificate.make({ ...local, ca: true, keyUse: 0 }),
    signer: await root.issue({ ...local, keyUse: x509.KeyUsageFlags.keyCertSign }),
    staleSelfSigned: await Certificate.make({ ...local, until: -1 }),
    withRoot: chained(server, root),
    byMiddle,
    withMiddle: chained(byMiddle, middle),
    byStaleMiddle: chained(await staleMiddle.issue(local), staleMiddle),
    byStaleRoot: await staleRoot.issue(local),
    expired: await root.issue({ ...local, until: -1 }),
    early: await root.issue({ ...local, from: 1 }),
    elsewhere: await root.issue({ name: 'example.org', dns: ['example.org', 'www.example.org'] }),
    wildcard: await root.issue({ name: 'x', dns: ['*.example.org'] }),
    commonName: await root.issue({ name: 'localhost' }),
    otherCommonName: await root.issue({ name: 'example.org' }),
    addressOnly: await root.issue({ name: 'x', ip: ['127.0.0.1'] }),
    client: await root.issue({ ...local, use: 'client' }),
    serverUse: await root.issue({ ...local, use: 'server' }),
    revoked: await root.issue(local),
    subordinate: await root.issue({ ...local, ca: true, keyUse: 0 }),
    ...(await byUnusual(local)),
    limited: await (await root.issue({ name: 'Limited', ca: true, extensions: [permitted] })).issue(local),
  }
})()

/** Authorities with kinds of keys that the engine does not know, and what they have issued. */
async function byUnusual(wanted) {
  const known = {}
  for (const kind of ['P-521', 'RSA 1024']) {
    const authority = await Certificate.make({ name: kind, ca: true, kind })
    Object.assign(known, { [kind]: authority, [`by ${kind}`]: await authority.issue(wanted) })
  }
  return known
}

/** `serve` and `ca` name certificates; `host` and `options` are the request's, `own` the agent's; `doubtful`: the runtime has the last word. */
const cases = {
  'a self-signed certificate': { serve: 'selfSigned' },
  'a self-signed certificate that is in ca': { serve: 'selfSigned', ca: ['selfSigned'] },
  'a self-signed authority as a server, in ca': {
    serve: 'selfSignedAuthority',
    ca: ['selfSignedAuthority'],
    doubtful: runtimeName === 'deno',
  },
  'a self-signed certificate that has expired': { serve: 'staleSelfSigned' },
  'a self-signed certificate that has expired and is in ca': { serve: 'staleSelfSigned', ca: ['staleSelfSigned'] },
  'a known authority': { serve: 'server', ca: ['root'] },
  'a known authority among others': { serve: 'server', ca: ['other', 'root', 'middle'] },
  'an unknown authority': { serve: 'server', ca: ['other'] },
  'an authority that the runtime does not know': { serve: 'server' },
  'an authority of the same name with another key': {
    serve: 'server',
    ca: ['namesake'],
    doubtful: runtimeName !== 'node',
  },
  'an unknown authority that is sent along': { serve: 'withRoot', ca: ['other'] },
  'a known authority that is sent along': { serve: 'withRoot', ca: ['root'] },
  'an intermediate authority': { serve: 'withMiddle', ca: ['root'] },
  'an intermediate authority of an unknown one': { serve: 'withMiddle', ca: ['other'] },
  'an intermediate authority that is missing': { serve: 'byMiddle', ca: ['root'] },
  'an intermediate authority that is in ca': { serve: 'byMiddle', ca: ['root', 'middle'] },
  'an intermediate authority alone in ca': { serve: 'byMiddle', ca: ['middle'] },
  'an intermediate authority alone in ca, sent along': { serve: 'withMiddle', ca: ['middle'] },
  'an intermediate authority that has expired': { serve: 'byStaleMiddle', ca: ['root'] },
  'an authority that has expired': { serve: 'byStaleRoot', ca: ['staleRoot'] },
  'a certificate that has expired': { serve: 'expired', ca: ['root'] },
  'a certificate that has expired, of an unknown authority': { serve: 'expired', ca: ['other'] },
  'a certificate that is not yet valid': { serve: 'early', ca: ['root'] },
  'a certificate for other names': { serve: 'elsewhere', ca: ['root'] },
  'a certificate for the servername': { serve: 'elsewhere', ca: ['root'], options: { servername: 'www.example.org' } },
  'a certificate for a wildcard': { serve: 'wildcard', ca: ['root'], options: { servername: 'a.example.org' } },
  'a certificate for a wildcard of another depth': {
    serve: 'wildcard',
    ca: ['root'],
    options: { servername: 'a.b.example.org' },
  },
  'a certificate with a common name only': { serve: 'commonName', ca: ['root'] },
  'a certificate with another common name only': { serve: 'otherCommonName', ca: ['root'] },
  'a certificate for the address': { serve: 'server', ca: ['root'], host: '127.0.0.1' },
  'a certificate for the address, asked for by name': { serve: 'addressOnly', ca: ['root'] },
  'a certificate for a name, asked for by address': { serve: 'elsewhere', ca: ['root'], host: '127.0.0.1' },
  'no servername': { serve: 'server', ca: ['root'], options: { servername: '' } },
  'a Host header that names the server': {
    serve: 'elsewhere',
    ca: ['root'],
    options: { headers: { Host: 'example.org:8443' } },
  },
  "a client's certificate": { serve: 'client', ca: ['root'] },
  'a key that may sign certificates only': { serve: 'signer', ca: ['root'], not: ['bun'] },
  'names that the authority may not certify': { serve: 'limited', ca: ['root'] },
  'an authority as a server, issued by another one': {
    serve: 'subordinate',
    ca: ['root'],
    doubtful: runtimeName === 'deno',
  },
  'an authority with a key of P-521': { serve: 'by P-521', ca: ['P-521'], doubtful: true },
  'an authority with a short key': { serve: 'by RSA 1024', ca: ['RSA 1024'], doubtful: true },
  'a certificate that is revoked': { serve: 'revoked', ca: ['root'], crl: ['revoked'] },
  'a revocation list without the certificate': { serve: 'serverUse', ca: ['root'], crl: ['revoked'] },
  'an identity check that agrees': {
    serve: 'elsewhere',
    ca: ['root'],
    own: { checkServerIdentity: () => undefined },
  },
  'an identity check that does not agree': {
    serve: 'server',
    ca: ['root'],
    own: { checkServerIdentity: (host) => Object.assign(new Error(`not ${host}`), { code: 'ENOTME' }) },
  },
}

/**
 * Ours where the peer is not to be trusted and the runtime does not notice, or does not say why.
 * @param {string} code
 * @param {string} message
 */
const refused = (code, message) => (theirs, rejects) =>
  rejects
    ? { certificate: undefined, error: { ...NO_ERROR, code, message } }
    : { ...theirs, socket: { ...theirs.socket, authorized: false, authorizationError: code } }

const NO_ERROR = tellError({ message: '' })

const expired = refused('CERT_HAS_EXPIRED', 'certificate has expired')
const unsuitable = refused('INVALID_PURPOSE', 'unsuitable certificate purpose')

/** Where another outcome than the runtime's is right; docs/https.md says why. */
const differences = {
  node: {},
  bun: {},
  deno: {
    'a self-signed certificate that has expired': expired,
    'a self-signed certificate that has expired and is in ca': expired,
    'an intermediate authority that has expired': expired,
    'an authority that has expired': expired,
    'a certificate that has expired': expired,
    'a certificate that has expired, of an unknown authority': expired,
    'a certificate that is not yet valid': refused('CERT_NOT_YET_VALID', 'certificate is not yet valid'),
    "a client's certificate": unsuitable,
    'a key that may sign certificates only': unsuitable,
    'a certificate that is revoked': refused('CERT_REVOKED', 'certificate revoked'),
    'no servername': (theirs) => ({ ...theirs, socket: { ...theirs.socket, servername: '' } }),
  },
}

/** Fields of a certificate, without the functions and key material that runtimes add. */
function tellCertificate(certificate, depth = 0) {
  if (!certificate?.raw) return undefined
  const { subject, issuer, subjectaltname, valid_from, valid_to, fingerprint256, serialNumber, ext_key_usage, ca } =
    certificate
  const { issuerCertificate } = certificate
  const last = !issuerCertificate || issuerCertificate === certificate || depth > 5
  return {
    subject: { ...subject },
    issuer: { ...issuer },
    subjectaltname,
    valid_from,
    valid_to,
    fingerprint256,
    serialNumber,
    ext_key_usage,
    ca,
    raw: Buffer.from(certificate.raw).toString('base64'),
    issuedItself: issuerCertificate === certificate,
    issuerCertificate: last ? undefined : tellCertificate(issuerCertificate, depth + 1),
  }
}

async function run(Agent, { serve, ca, crl, host = 'localhost', options = {}, own, doubtful }, extra, scope) {
  const known = await authorities
  const server = await secureServer(scope, known[serve])
  const agent = scope.adopt(
    new Agent({
      ...(ca ? { ca: ca.map((name) => known[name].pem) } : {}),
      ...(crl ? { crl: await known.root.revoke(...crl.map((name) => known[name])) } : {}),
      ...own,
      ...extra,
    }),
  )
  const { certificate, ...rest } = await outcome({ host, port: server.port, agent, ...options })
  if (agent instanceof SecureAgent && Agent === SecureAgent) {
    const [origin] = Object.values(agent.stats().origins)
    assert.deepStrictEqual(origin.foreign, doubtful ? { 'tls-legacy-server': 1 } : {})
  }
  return { ...rest, certificate: tellCertificate(certificate) }
}

for (const [name, scenario] of Object.entries(cases)) {
  for (const rejectUnauthorized of [true, false]) {
    const how = rejectUnauthorized ? 'the outcome' : 'with rejectUnauthorized: false, what the socket says'
    const sentence = `${name}: ${how} is the runtime's own`
    const skip = scenario.not?.includes(runtimeName) && "the runtime's own refuses to serve the certificate"
    test(sentence, { skip }, async (scope) => {
      const extra = rejectUnauthorized ? {} : { rejectUnauthorized }
      const theirs = await run(https.Agent, scenario, extra, scope)
      const ours = await run(SecureAgent, scenario, extra, scope)
      const difference = differences[runtimeName][name]
      assert.deepStrictEqual(ours, difference ? difference(theirs, rejectUnauthorized) : theirs)
    })
  }
}

for (const [form, make] of [
  ['a Buffer', (pem) => Buffer.from(pem)],
  ['one text of several', (pem, other) => other + pem],
  ['an array of Buffers', (pem, other) => [Buffer.from(other), Buffer.from(pem)]],
]) {
  test(`ca may be ${form}`, async (scope) => {
    const { root, other, server } = await authorities
    const { port } = await secureServer(scope, server)
    const agent = scope.adopt(new SecureAgent({ ca: make(root.pem, other.pem) }))
    assert.strictEqual((await outcome({ port, agent })).status, 200)
  })
}

test('a replaced tls.checkServerIdentity is asked by every way of requesting', async (scope) => {
  const { root, server } = await authorities
  const { port } = await secureServer(scope, server)
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'keepwire-'))
  scope.defer(() => fs.rmSync(folder, { recursive: true }))
  const file = path.join(folder, 'ca.pem')
  fs.writeFileSync(file, root.pem)
  const { lines, stderr } = await runScript('identity', [port], { env: { NODE_EXTRA_CA_CERTS: file } })
  const told = { before: 'authorized', refused: 'ENOTPINNED not pinned', taken: 'authorized' }
  const asked = ['localhost localhost', 'localhost localhost']
  const expected = ['agent', 'own', 'fetch with an agent', 'fetch without an agent'].map((way) => ({
    way,
    ...told,
    asked,
  }))
  assert.deepStrictEqual(lines, expected, stderr)
})

for (const label of ['CERTIFICATE', 'X509 CERTIFICATE', 'TRUSTED CERTIFICATE']) {
  for (const [form, change] of [
    ['', (pem) => pem],
    [', with a byte order mark', (pem) => `\ufeff${pem}`],
    [', with tabs at the ends of lines', (pem) => pem.replaceAll('\n', '\t\n')],
  ]) {
    test(`NODE_EXTRA_CA_CERTS is read as the runtime reads it: ${label}${form}`, async (scope) => {
      const { root, server } = await authorities
      const { port } = await secureServer(scope, server)
      const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'keepwire-'))
      scope.defer(() => fs.rmSync(folder, { recursive: true }))
      const file = path.join(folder, 'ca.pem')
      fs.writeFileSync(file, change(root.pem.replaceAll('CERTIFICATE', label)))
      const { lines, stderr } = await runScript('extra', [port], { env: { NODE_EXTRA_CA_CERTS: file } })
      const { runtime, ...ours } = lines[0] ?? {}
      assert.deepStrictEqual(ours, { agent: runtime, fetch: runtime }, stderr)
    })
  }
}
