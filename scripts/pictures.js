'use strict'

// `node scripts/pictures.js [folder]`: pictures of the dashboard's pages, taken in headless Chromium under the demo's traffic; needs a
// built addon. Those in docs/pictures are some of them, by hand: dashboard-overview-light.png and dashboard-origin-dark.png.

const fs = require('node:fs')
const path = require('node:path')

const { startTraffic } = require('./demo/traffic.js')
const { root } = require('./process.js')
const { UserError, runScript, say } = require('./report.js')

const WARM_UP_MS = 60_000
/** Pages, and when to look at them: some before anything fails. */
const CALM = ['overview', 'origins', 'origin']
const FAILING = ['events', 'advice']

/** @type {[name: string, options: object][]} */
const LOOKS = [
  ['light', { viewport: { width: 1040, height: 600 }, colorScheme: 'light' }],
  ['dark', { viewport: { width: 1040, height: 600 }, colorScheme: 'dark' }],
  ['small', { viewport: { width: 360, height: 780 }, colorScheme: 'light', deviceScaleFactor: 2 }],
]

function findChromium() {
  const folders = (process.env.PATH ?? '').split(path.delimiter)
  const file = folders.map((folder) => path.join(folder, 'chromium')).find((name) => fs.existsSync(name))
  if (file === undefined) throw new UserError('there is no chromium: apt-get install chromium')
  return file
}

runScript(async () => {
  const folder = process.argv[2] ?? path.join(root, 'target', 'pictures')
  fs.mkdirSync(folder, { recursive: true })
  const { chromium } = require('playwright-core')
  const { dashboard } = require('../lib/dashboard.js')
  const traffic = await startTraffic(require('..'))
  const board = await dashboard({ port: 0 })
  const browser = await chromium.launch({
    executablePath: findChromium(),
    args: ['--disable-gpu'],
    chromiumSandbox: false,
  })
  try {
    const pages = []
    for (const [look, options] of LOOKS) {
      const page = await (await browser.newContext(options)).newPage()
      await page.goto(board.url)
      pages.push({ look, page })
    }
    const seconds = Number(process.env.SECONDS_OF_TRAFFIC ?? WARM_UP_MS / 1000)
    say(`${seconds} s of traffic first`)
    await new Promise((resolve) => setTimeout(resolve, seconds * 1000))
    const { host, port } = traffic.targets.search
    const address = { origin: `#/origin/${encodeURIComponent(`http://${host}:${port}`)}` }
    const take = async (/** @type {string} */ name) => {
      for (const { look, page } of pages) {
        await page.goto(`${board.url}${address[name] ?? `#/${name}`}`)
        // Of one origin, heat maps need a few columns.
        await page.waitForTimeout(name === 'origin' ? 12_000 : 2500)
        const file = path.join(folder, `dashboard-${name}-${look}.png`)
        await page.screenshot({ path: file })
        say(`${path.relative(root, file)}: ${Math.round(fs.statSync(file).size / 1000)} kB`)
      }
    }
    for (const name of CALM) await take(name)
    traffic.fail()
    for (const name of FAILING) await take(name)
  } finally {
    await browser.close()
    await board.close()
    traffic.stop()
  }
})
