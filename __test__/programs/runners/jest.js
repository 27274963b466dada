'use strict'

// Run by jest: all that it fakes, with its own globals, in its own context, before keepwire is loaded and after.

const http = require('node:http')

const { USED, useOnce } = require('../scripts/use')

/* global jest, test, expect, afterEach */

afterEach(() => {
  jest.useRealTimers()
  jest.resetModules()
})

test('with timers faked before keepwire is loaded', async () => {
  jest.useFakeTimers()
  expect(await useOnce(require('../../..'), http)).toEqual(USED)
})

test('with timers faked after keepwire was loaded', async () => {
  const keepwire = require('../../..')
  jest.useFakeTimers()
  expect(await useOnce(keepwire, http)).toEqual(USED)
})

test('with the clock as it is', async () => {
  expect(await useOnce(require('../../..'), http)).toEqual(USED)
})
