'use strict'

// The dashboard's page in headless Chromium, on live traffic: each view shows what the counters say.

const assert = require('node:assert')
const fs = require('node:fs')
const http = require('node:http')
const path = require('node:path')
const { after, before } = require('node:test')

const { send } = require('../support/client')
const { reply } = require('../support/peer')
const { opened } = require('../support/dashboard')
const { LOGIN, targetThrough } = require('../support/behind-proxy')
const { scriptedProxy } = require('../support/proxy')
const { baseline, isNode, major } = require('../support/runtime')
const { hasSquid, startSquid } = require('../support/squid')
const { test } = require('../support/suite')
const { repeatedly } = require('../support/wait')

const { connections, stats, totals } = baseline ? {} : require('../..')

/** As often as it looks in these tests, and as it does by itself. */
const QUICK_MS = 250
const USUAL_MS = 1000
const { pace } = baseline ? {} : require('../../lib/dashboard/sampler')
if (!baseline) pace.everyMs = QUICK_MS

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
  assert.strictEqual(
    await page.locator('.badge').isVisible(),
    await page.locator('.badge').evaluate((one) => one.textContent !== '0'),
  )

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

test('page: one origin shows who waits, first the one whose turn is next', { skip }, async (scope) => {
  const board = await opened(scope)
  const held = []
  const peer = await scope.peer((_, connection) => held.push(connection))
  const agent = scope.agent({ keepAlive: true, maxSockets: 1 })
  const name = `http://127.0.0.1:${peer.port}`
  const asked = [0, 1, 2].map(() => send({ port: peer.port, agent }))
  const { complaints, page } = await looking(scope, { url: `${board.url}#/origin/${encodeURIComponent(name)}` })
  await page.waitForFunction(() => document.querySelectorAll('.waiters li').length === 2)
  await says(page, '[data-fact=queued]', '2')
  const shown = await page
    .locator('.waiters li')
    .evaluateAll((items) => items.map((item) => parseFloat(item.textContent)))
  assert.ok(shown[0] >= shown[1] && shown[1] > 0, shown.join())
  for (const one of asked) {
    while (held.length === 0) await new Promise((resolve) => setTimeout(resolve, 5))
    held.shift().write(reply('ok'))
    await one
  }
  await page.waitForFunction(() => document.querySelectorAll('.waiters li').length === 0)
  await page.getByText('Nobody does.').waitFor()
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
  await page.keyboard.press('4')
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

/** The table of proxies, cell by cell, of those that a test has. */
async function shownProxies(page, names) {
  const rows = await page
    .locator('tbody tr[data-proxy]')
    .evaluateAll((all) =>
      all.map((row) => [
        row.dataset.proxy,
        ...[...row.cells].slice(1).map((cell) => cell.innerText.replace(/\s+/g, ' ')),
      ]),
    )
  return rows.filter(([name]) => names.includes(name))
}

/** What it must show of a proxy, by what stats() says. */
function expectedOf(name, { errors, idle, leased, opened, refused, reused }) {
  const sum = (counts) => Object.values(counts).reduce((total, count) => total + count, 0)
  const most = (counts) => Object.entries(counts).map(([code, count]) => ` ${code} ${count}`)[0] ?? ''
  const share = Math.round((1000 * reused) / Math.max(1, opened + reused)) / 10
  return [
    name,
    `${leased} busy, ${idle} idle`,
    `${opened + reused === 0 ? '–' : `${share.toFixed(share > 0 && share < 100 ? 1 : 0)} %`} ${opened} opened`,
    `${sum(refused)}${most(refused)}`,
    `${sum(errors)}${most(errors)}`,
  ]
}

const seenOf = ([name, connections, reused, , refused, failed]) => [name, connections.trim(), reused, refused, failed]

test("page: proxies are as stats() says, sorted, filtered and unfolded by keys, and nobody's credentials are shown", {
  skip,
}, async (scope) => {
  const board = await opened(scope)
  const many = await scriptedProxy(scope)
  const refusing = await scriptedProxy(scope, {
    onHead(_, socket) {
      socket.end('HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic realm="all"\r\n\r\n')
      return true
    },
  })
  const through = await targetThrough(scope, many)
  // Three at a time, then three more: three tunnels, of which one has a request.
  for (let round = 0; round < 2; round += 1) await Promise.all([1, 2, 3].map(() => through.ask('/')))
  const held = through.ask('/held')
  await through.target.held()
  const refused = await targetThrough(scope, refusing)
  for (const _ of [1, 2]) assert.match((await refused.ask('/')).error.message, /407 Proxy Authentication Required/)

  const { asked, complaints, page } = await looking(scope, board, { colorScheme: 'dark' })
  await page.keyboard.press('3')
  assert.strictEqual(await page.locator('nav a[aria-current=page]').textContent(), 'Proxies')
  const ours = [many.url, refusing.url]
  await says(page, `tr[data-proxy="${many.url}"] .bars`, '1 busy, 2 idle')
  const told = stats().proxies
  const shown = await shownProxies(page, ours)
  assert.deepStrictEqual(
    shown.map(seenOf),
    ours.map((name) => expectedOf(name, told[name])),
    'sorted by how many connections are open',
  )
  assert.deepStrictEqual(told[many.url].targets, { [through.origin]: 3 })
  assert.match(shown[0][3], /^[\d.]+ ms p99 [\d.]+ m?s$/, 'CONNECT took a while')
  assert.strictEqual(shown[1][3], '–')
  const { lastError } = told[refusing.url]
  assert.ok(shown[1][6].startsWith(`${lastError.message} ERR_PROXY_TUNNEL at `), shown[1][6])
  assert.match(shown[1][6], /407 Proxy Authentication Required/)
  assert.strictEqual(shown[0][6], '–')
  assert.strictEqual(shown[0][7].trim(), '1 origin')

  await page.locator(`tr[data-proxy="${many.url}"] summary`).focus()
  await page.keyboard.press('Enter')
  const link = page.locator(`tr[data-proxy="${many.url}"] .targets li`)
  assert.strictEqual(await link.innerText(), `${through.origin} 3`)

  const sorter = page.locator('th[data-column=refused] button')
  const order = async () => (await shownProxies(page, ours)).map(([name]) => name)
  await sorter.focus()
  await page.keyboard.press('Enter')
  assert.deepStrictEqual(await order(), [refusing.url, many.url])
  assert.strictEqual(await page.locator('th[data-column=refused]').getAttribute('aria-sort'), 'descending')
  await page.keyboard.press('Enter')
  assert.deepStrictEqual(await order(), [many.url, refusing.url])
  assert.strictEqual(await link.isVisible(), true, 'what was unfolded stays so')
  await page.keyboard.press('/')
  await page.keyboard.type(String(refusing.port))
  assert.deepStrictEqual(await order(), [refusing.url])
  await page.locator('#filter').fill('')

  await page.setViewportSize({ width: 360, height: 740 })
  assert.ok(
    await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth),
    'it is as wide as the screen',
  )
  assert.strictEqual(
    await page.evaluate(
      () => [...document.querySelectorAll('.scroll')].filter((box) => box.scrollWidth > box.clientWidth).length,
    ),
    0,
  )
  const refusedAt = (where) => getComputedStyle(document.querySelector(where)).color
  const where = `tr[data-proxy="${refusing.url}"] td[data-label=Refused] .failed`
  const dark = await page.evaluate(refusedAt, where)
  await page.locator('h1').click()
  await page.keyboard.press('t')
  assert.notStrictEqual(await page.evaluate(refusedAt, where), dark)

  // Live: what ends and what begins is seen.
  await through.target.release()
  assert.strictEqual((await held).status, 200)
  await says(page, `tr[data-proxy="${many.url}"] .bars`, '0 busy, 3 idle')
  many.cut()
  await says(page, `tr[data-proxy="${many.url}"] .bars`, '0 busy, 0 idle')
  await link.waitFor({ state: 'hidden' })
  const content = await page.content()
  for (const secret of [LOGIN.user, LOGIN.password, LOGIN.digest]) assert.ok(!content.includes(secret), secret)
  assert.deepStrictEqual(complaints, [])
  assert.deepStrictEqual([...asked], [new URL(board.url).origin])
})

test('page: one origin says which of its connections go through a proxy, and how long that took', {
  skip,
}, async (scope) => {
  const board = await opened(scope)
  const proxy = await scriptedProxy(scope)
  const { ask, origin } = await targetThrough(scope, proxy)
  assert.strictEqual((await ask('/')).status, 200)
  const { complaints, page } = await looking(scope, { url: `${board.url}#/origin/${encodeURIComponent(origin)}` })
  await page.waitForSelector('tr[data-connection]')
  assert.strictEqual(await page.locator('tr[data-connection] td').last().textContent(), proxy.url)
  const steps = (await page.locator('[data-fact=setup]').textContent()).split(' · ')
  assert.strictEqual(steps.length, 4)
  assert.ok(totals()[origin].proxyMs.count === 1 && steps[2] !== '–', steps.join())
  assert.deepStrictEqual(complaints, [])
})

test('page: tunnels through squid, and what it refuses', {
  skip: skip || (!hasSquid && 'squid is not installed'),
}, async (scope) => {
  const board = await opened(scope)
  const squid = await startSquid(scope, { user: LOGIN.user, password: LOGIN.password })
  const url = `http://127.0.0.1:${squid.port}`
  const through = await targetThrough(scope, { url })
  for (let round = 0; round < 3; round += 1) await Promise.all([1, 2].map(() => through.ask('/')))
  const stranger = await targetThrough(scope, { url }, 'stranger:nothing-of-worth')
  assert.strictEqual((await stranger.ask('/')).error.statusCode, 407)
  const { complaints, page } = await looking(scope, { url: `${board.url}#/proxies` })
  await says(page, `tr[data-proxy="${url}"] .bars`, '0 busy, 2 idle')
  assert.deepStrictEqual((await shownProxies(page, [url])).map(seenOf), [expectedOf(url, stats().proxies[url])])
  assert.deepStrictEqual(stats().proxies[url].refused, { 407: 1 })
  const content = await page.content()
  for (const secret of [LOGIN.password, 'nothing-of-worth']) assert.ok(!content.includes(secret), secret)
  assert.deepStrictEqual(complaints, [])
})

test('page: looked at once a second, the health line says within 3 s that a server was killed, and why', {
  skip,
  timeout: 180_000,
}, async (scope) => {
  assert.strictEqual(pace.everyMs, QUICK_MS)
  pace.everyMs = USUAL_MS
  scope.defer(() => (pace.everyMs = QUICK_MS))
  const board = await opened(scope)
  // A machine that is busy with other things is late.
  await repeatedly(async () => {
    const [origin] = await traffic(scope, [1])
    const timer = setInterval(() => send({ port: origin.peer.port, agent: origin.agent }).catch(() => {}), 50)
    try {
      const { complaints, page } = await looking(scope, board)
      await says(page, '#health', 'All is well')
      const killed = performance.now()
      await origin.peer.close()
      await says(page, '#health', `to ${origin.name} failed`)
      const tookMs = performance.now() - killed
      assert.match(
        await page.locator('#health').textContent(),
        /with (ECONNREFUSED: nobody listens there|ECONNRESET: )/,
      )
      assert.deepStrictEqual(complaints, [])
      assert.ok(tookMs < 3000, `${Math.round(tookMs)} ms`)
      await page.close()
    } finally {
      clearInterval(timer)
    }
  })
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
  for (const key of ['1', '2', '3', '4', '5']) {
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
