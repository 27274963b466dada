'use strict'

// What a program has told the runtime's global agents before install() or the stand-ins is taken over, or left alone with a
// warning.

const assert = require('node:assert')
const http = require('node:http')
const { test } = require('node:test')

const { runBeside, skipped } = require('../support/programs')
const { isNode } = require('../support/runtime')

const WAYS = ['stand-in', 'install', 'install with request']
const WARNING = /KEEPWIRE_WARN_GLOBAL_AGENT/
const noProxy = typeof http.setGlobalProxyFromEnv !== 'function' && 'there is no http.setGlobalProxyFromEnv()'

for (const way of WAYS) {
  test(`${way}: options and limits of global agents are taken over`, async () => {
    const { answer, isOurs, shown, stderr } = await runBeside('state', { args: ['options', way] })
    assert.strictEqual(answer, 'real /a')
    assert.deepStrictEqual(isOurs, [true, true])
    const [plain, secure] = shown
    assert.strictEqual(plain.maxTotalSockets, 4)
    assert.deepStrictEqual([secure.ca, secure.rejectUnauthorized, secure.maxSockets], ['an authority', false, 3])
    assert.doesNotMatch(stderr, WARNING)
  })

  test(`${way}: so is what a new http.Agent in its place was told`, async () => {
    const { answer, isOurs, shown } = await runBeside('state', { args: ['replaced', way] })
    assert.strictEqual(answer, 'real /a')
    assert.deepStrictEqual(isOurs, [true, true])
    assert.deepStrictEqual([shown[0].maxSockets, shown[0].timeout], [5, 1234])
  })

  test(`${way}: http.setGlobalProxyFromEnv() holds`, { skip: noProxy }, async () => {
    const { answer, proxied, requests, stderr } = await runBeside('state', { args: ['proxy', way] })
    assert.match(answer, /^real http:/)
    assert.deepStrictEqual([proxied, requests], [1, []])
    assert.doesNotMatch(stderr, WARNING)
  })

  test(`${way}: an agent with ways of its own is left alone, with a warning`, async () => {
    const { answer, asked, stderr } = await runBeside('state', { args: ['own', way] })
    assert.strictEqual(answer, 'real /a')
    assert.ok(asked)
    assert.match(stderr, WARNING)
  })

  test(`${way}: global-agent's proxy is asked`, { skip: skipped('global-agent') }, async () => {
    const { proxied, requests, stderr } = await runBeside('state', {
      program: 'global-agent',
      args: ['global-agent', way],
    })
    assert.deepStrictEqual([proxied, requests], [1, []])
    assert.match(stderr, WARNING)
  })
}

const TRUSTING = ['agent', ...WAYS, 'fetch', 'fetch with an agent', 'install with fetch']
for (const order of ['first', 'last']) {
  for (const way of TRUSTING) {
    const title = `${way}: authorities that somebody adds by tls.createSecureContext, put there ${order}, are trusted while it is there`
    test(title, { skip: !isNode && 'its own connections do not look at tls.createSecureContext' }, async () => {
      const { answer, later, stderr } = await runBeside('state', { args: ['authorities', way, order] })
      assert.strictEqual(answer, 'real /a')
      assert.match(later, /^failed: (?:UNABLE_TO_VERIFY_LEAF_SIGNATURE|SELF_SIGNED_CERT_IN_CHAIN)/)
      if (!way.includes('fetch')) assert.match(stderr, /tls\.createSecureContext has been replaced/)
    })
  }
}
