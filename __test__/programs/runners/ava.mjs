// Run by ava, which fails a process that does not end by itself.

import http from 'node:http'
import { createRequire } from 'node:module'
import path from 'node:path'

const require = createRequire(import.meta.url)
const { default: test } = await import(path.join(process.env.KEEPWIRE_PROGRAM, 'node_modules/ava/entrypoints/main.mjs'))
const { USED, useOnce } = require('../scripts/use')

for (const times of ['once', 'again']) {
  test.serial(`works as ever, ${times}`, async (t) => {
    t.deepEqual(await useOnce(require('../../..'), http), USED)
  })
}
