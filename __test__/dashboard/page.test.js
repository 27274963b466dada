'use strict'

// The dashboard's page in headless Chromium, on live traffic: each view shows what the counters say.

const assert = require('node:assert')
const fs = require('node:fs')
const http = require('node:http')
const path = require('node:path')
const { after, before } = require('node:test')

const { send } = require('../support/client')
const { reply } = require('../support/peer')
const { baseline, isNode, major } = require('../support/runtime')
const { test } = require('../support/suite')

const { dashboard } = baseline ? {} : require('../../lib/dashboard')
const { connections, totals } = baseline ? {} : require('../..')
if (!baseline) require('../../lib/dashboard/sampler').pace.everyMs = 250

const OK = (_, connection) => connection.write(reply('ok'))
/** Under load a browser takes its time. */
const PATIENCE_MS = 60_000

const executablePath = (process.env.PATH ?? '')
  .split(path.delimiter)
  .map((folder) => path.join(folder, 'chromium'))
  .find((file) => fs.existsSync(file))

const skip =
  (baseline && 'shows nothing') ||
  (!isNode && "the page is the same, and the browser's driver is made for Node") ||
  (major < 20 && "the browser's driver needs Node 20") ||
  (executablePath === undefined && 'there is no chromium: apt-get install chromium')

const FLAGS = [
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
]

let browser

before(async () => {
  if (skip) return
  const { chromium } = require('playwright-core')
  browser = await chromium.launch({ executablePath, args: FLAGS, chromiumSandbox: false, timeout: PATIENCE_MS })
})

after(() => browser?.close())

/** A page on a dashboard of its own, and all that it asked for and complained of. */
async function looking(scope, { url }, options = {}) {
  const context = await browser.newContext({ viewport: { width: 1280, height: 900 }, ...options })
  scope.defer(() => context.close())
  const page = await context.newPage()
  page.setDefaultTimeout(PATIENCE_MS)
  const asked = new Set()
  const complaints = []
  context.on('request', (request) => asked.add(new URL(request.url()).origin))
  page.on('pageerror', (error) => complaints.push(error.message))
  page.on('console', (message) => message.type() === 'error' && complaints.push(message.text()))
  await page.goto(url)
  return { asked, complaints, page }
}

/** Waits until a part of the page says this. */
async function says(page, selector, text) {
  const part = page.locator(selector)
  await page
    .waitForFunction(
      ([where, wanted]) => document.querySelector(where)?.textContent.includes(wanted),
      [selector, text],
      { timeout: PATIENCE_MS },
    )
    .catch(async () => assert.fail(`${selector} says '${await part.allTextContents()}', not '${text}'`))
}

async function opened(scope) {
  const board = await dashboard({ port: 0 })
  scope.defer(() => board.close())
  return board
}

/** Requests to a number of origins: as many to each as it has connections. */
async function traffic(scope, counts) {
  const origins = []
  for (const count of counts) {
    const peer = await scope.peer(OK)
    const agent = scope.agent({ keepAlive: true, maxSockets: count })
    for (let round = 0; round < 2; round += 1) {
      await Promise.all(Array.from({ length: count }, () => send({ port: peer.port, agent, path: '/?secret' })))
    }
    origins.push({ agent, count, peer, name: `http://127.0.0.1:${peer.port}` })
  }
  return origins
}

const names = (page) => page.locator('tbody tr').evaluateAll((rows) => rows.map((row) => row.dataset.origin))

test('page: the overview and the origins show what totals() says, sorted and filtered', { skip }, async (scope) => {
  const board = await opened(scope)
  const origins = await traffic(scope, [1, 3, 2])
  const { asked, complaints, page } = await looking(scope, board)
  const all = Object.values(totals())
  const answered = all.flatMap(({ durationMs }) => Object.values(durationMs).flatMap((by) => Object.values(by)))
  const sum = (values) => values.reduce((total, value) => total + value, 0)
  await says(page, '[data-note=requests]', `${sum(answered.map(({ count }) => count))} answered`)
  await says(page, '[data-note=reused]', `${sum(all.map(({ reused }) => reused))} handshakes saved`)
  await says(page, '[data-figure=connections]', String(sum(all.map(({ open }) => open))))
  await says(page, '#health', 'open.')

  await page.keyboard.press('2')
  const row = (name) => `tr[data-origin="${name}"]`
  for (const { count, name } of origins) {
    const told = totals()[name]
    await says(page, `${row(name)} .bars`, `0 busy, ${count} idle`)
    await says(page, `${row(name)} td[data-label="Used / limit"]`, `0 / ${told.limit}`)
    await says(page, `${row(name)} td[data-label="Reused"]`, `${told.created} opened`)
    await says(page, `${row(name)} td[data-label="Failed"]`, '0')
  }
  const sorter = page.locator('th[data-column=connections] button')
  const byCount = (sign) => [...origins].sort((one, other) => sign * (one.count - other.count)).map(({ name }) => name)
  const ours = async () => (await names(page)).filter((name) => origins.some((origin) => origin.name === name))
  await sorter.click()
  assert.deepStrictEqual(await ours(), byCount(-1))
  assert.strictEqual(await page.locator('th[data-column=connections]').getAttribute('aria-sort'), 'descending')
  await sorter.click()
  assert.deepStrictEqual(await ours(), byCount(1))

  await page.keyboard.press('/')
  await page.keyboard.type(String(origins[1].peer.port))
  assert.deepStrictEqual(await names(page), [origins[1].name])
  await page.keyboard.type('nobody is called so')
  assert.deepStrictEqual(await names(page), [])

  assert.deepStrictEqual(complaints, [])
  assert.deepStrictEqual([...asked], [new URL(board.url).origin], 'nobody else is asked for anything')
})

test('page: one origin shows its connections, and why others were closed', { skip }, async (scope) => {
  const board = await opened(scope)
  const [origin] = await traffic(scope, [3])
  const { complaints, page } = await looking(scope, { url: `${board.url}#/origin/${encodeURIComponent(origin.name)}` })
  await page.waitForSelector('tr[data-connection]')
  const shown = await page
    .locator('tr[data-connection]')
    .evaluateAll((rows) => rows.map((row) => [...row.cells].map((cell) => cell.textContent)))
  const held = connections(origin.agent)
  assert.deepStrictEqual(
    shown.map(([id, state, , , uses, peer, tls]) => [id, state, uses, peer, tls]),
    held
      .sort((one, other) => one.id - other.id)
      .map(({ id, remotePort, state, uses }) => [`#${id}`, state, String(uses), `127.0.0.1:${remotePort}`, 'none']),
  )
  await says(page, '[data-fact=reused]', '50.0 %')
  origin.agent.destroy()
  await says(page, '.reasons', 'agent-destroyed3')
  await says(page, '[data-fact=open]', '0')
  assert.ok(!(await page.content()).includes('secret'))
  assert.deepStrictEqual(complaints, [])
})

test('page: a server that is gone turns the health line, which names the reason; events can be filtered', {
  skip,
}, async (scope) => {
  const board = await opened(scope)
  const [origin] = await traffic(scope, [1])
  const { complaints, page } = await looking(scope, board)
  await says(page, '#health', 'open.')
  await origin.peer.close()
  const timer = setInterval(() => send({ port: origin.peer.port, agent: origin.agent }).catch(() => {}), 100)
  await says(page, '#health', `to ${origin.name} failed`).finally(() => clearInterval(timer))
  await says(page, '#health', 'ECONNREFUSED: nobody listens there')
  assert.strictEqual(await page.locator('#health').getAttribute('data-level'), 'bad')
  await page.keyboard.press('3')
  await page.waitForSelector('.events li[data-kind=failed]')
  const count = (kind) => page.locator(`.events li[data-kind=${kind}]`).count()
  assert.ok((await count('closed')) > 0)
  await page.locator('button[data-kind=failed]').click()
  assert.strictEqual(await count('failed'), 0)
  assert.ok((await count('closed')) > 0)
  await page.locator('button[data-kind=failed]').click()
  await page.locator('#filter').fill('ECONNREFUSED')
  assert.strictEqual(await count('closed'), 0)
  assert.ok((await count('failed')) > 0)
  assert.deepStrictEqual(complaints, [])
})

test('page: small, dark and with keys alone; it says when the process has gone', { skip }, async (scope) => {
  const board = await opened(scope)
  const origins = await traffic(scope, [2, 1])
  const { complaints, page } = await looking(scope, board, {
    viewport: { width: 360, height: 740 },
    colorScheme: 'dark',
    reducedMotion: 'reduce',
  })
  const theme = () => page.evaluate(() => document.documentElement.dataset.theme)
  assert.strictEqual(await theme(), 'dark')
  await page.keyboard.press('t')
  assert.strictEqual(await theme(), 'light')
  for (const key of ['1', '2', '3', '4']) {
    await page.keyboard.press(key)
    const [wide, room] = await page.evaluate(() => [document.documentElement.scrollWidth, innerWidth])
    assert.ok(wide <= room, `page ${key} is ${wide} px wide`)
    const cut = await page.evaluate(
      () => [...document.querySelectorAll('.scroll')].filter((box) => box.scrollWidth > box.clientWidth).length,
    )
    assert.strictEqual(cut, 0, `nothing of page ${key} is out of sight`)
  }
  await page.keyboard.press('2')
  await page.locator(`a:text-is("${origins[0].name}")`).focus()
  await page.keyboard.press('Enter')
  await page.waitForSelector('tr[data-connection]')
  assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth))
  assert.deepStrictEqual(complaints, [])
  await board.close()
  await says(page, '#health', 'The process does not answer')
})

test('page: a viewer that leaves stops the sampling', { skip }, async (scope) => {
  const board = await opened(scope)
  const { page } = await looking(scope, board)
  await page.waitForSelector('#health[data-level=good]')
  const state = () =>
    new Promise((resolve, reject) => {
      http
        .get(new URL('healthz', board.url), { agent: false }, (response) => {
          let text = ''
          response.on('data', (chunk) => (text += chunk)).on('end', () => resolve(JSON.parse(text)))
        })
        .on('error', reject)
    })
  assert.strictEqual((await state()).sampling, true)
  await page.close()
  const deadline = Date.now() + PATIENCE_MS
  while ((await state()).sampling) assert.ok(Date.now() < deadline, 'it goes on')
})
