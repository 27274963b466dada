// Run by vitest, with its globals: what it fakes by default and what more it can, before keepwire is loaded and after.

import http from 'node:http'
import { createRequire } from 'node:module'

const require = createRequire(import.meta.url)
const { USED, useOnce } = require('../scripts/use')

/* global vi, test, expect, afterEach */

const TO_FAKE = ['setTimeout', 'clearTimeout', 'setInterval', 'clearInterval', 'setImmediate', 'clearImmediate']

afterEach(() => vi.useRealTimers())

test('with timers faked before keepwire is loaded', async () => {
  vi.useFakeTimers()
  expect(await useOnce(require('../../..'), http)).toEqual(USED)
})

test('with all faked that is not the code of the runtime', async () => {
  const keepwire = require('../../..')
  vi.useFakeTimers({ toFake: [...TO_FAKE, 'Date', 'performance', 'queueMicrotask'] })
  expect(await useOnce(keepwire, http)).toEqual(USED)
})

test('with the clock as it is', async () => {
  expect(await useOnce(require('../../..'), http)).toEqual(USED)
})
