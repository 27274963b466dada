'use strict'

// `npm run demo -- --dashboard`, as README has it: traffic of many kinds, and the page that shows it.

const assert = require('node:assert')
const { spawn } = require('node:child_process')
const { once } = require('node:events')
const path = require('node:path')

const { ask, Viewer } = require('../support/dashboard')
const { isNode } = require('../support/runtime')
const { test } = require('../support/suite')
const { until } = require('../support/wait')

const DEMO = path.join(__dirname, '../../scripts/demo.js')

test('the demo shows the dashboard under load, and ends when it is told to', {
  skip: (!isNode && 'the scripts run on Node') || (process.platform === 'win32' && 'there are no signals'),
  ours: 'has no dashboard',
  timeout: 120_000,
}, async (scope) => {
  // Any build that is there will do.
  const env = { ...process.env, KEEPWIRE_BUILD: 'quick' }
  const child = spawn(process.execPath, [DEMO, '--dashboard'], { env, stdio: ['ignore', 'pipe', 'inherit'] })
  scope.defer(() => child.kill('SIGKILL'))
  const ended = once(child, 'exit')
  let said = ''
  child.stdout.setEncoding('utf8').on('data', (text) => (said += text))
  const url = await until(
    () => /under load of many kinds: (http:\S+)/.exec(said)?.[1],
    'it says where the dashboard is',
  )
  assert.match((await ask(url)).text, /<title>keepwire/)
  const viewer = new Viewer(url)
  scope.defer(() => viewer.leave())
  const last = () => viewer.last?.point ?? []
  await until(() => last()[1] > 0, 'requests are answered')
  const { rows, names } = viewer.samples[0]
  assert.ok(names.length > 3 && rows.length > 3, `${names.length} origins`)
  await until(() => viewer.samples.some(({ health }) => health.level === 'bad'), 'one of them fails')
  viewer.leave()
  child.kill('SIGINT')
  // As of any command that Ctrl+C ends.
  assert.deepStrictEqual(await ended, [130, null])
})
