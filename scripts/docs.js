'use strict'

// `npm run docs`: makes the docs site, of README and the pages of docs/, in target/site, and checks its links.
// `npm run docs:dev`: shows it while it is written.
// In the environment: KEEPWIRE_DOCS_BASE, the path under which the site will be, '/' unless told otherwise; GITHUB_SERVER_URL and
// GITHUB_REPOSITORY, where links to files that are no pages lead.

require('./node-version.js')
const fs = require('node:fs')
const path = require('node:path')

const { lostLinks } = require('./docs/links.js')
const { PAGES } = require('./docs/pages.js')
const { fetchPrograms, homeOf } = require('./programs.js')
const { root, run } = require('./process.js')
const { UserError, runScript, say, secondsSince } = require('./report.js')

const SITE = path.join(root, 'target', 'site')
const VITEPRESS = path.join(homeOf('vitepress'), 'node_modules', 'vitepress', 'bin', 'vitepress.js')

async function build() {
  const startedAt = performance.now()
  fs.rmSync(SITE, { recursive: true, force: true })
  const { code, output } = await run(process.execPath, [VITEPRESS, 'build', 'docs'], { capture: 'both' })
  if (code !== 0) throw new UserError(`VitePress could not make the site:\n${output.trim()}`)
  const { lost, links } = lostLinks(SITE, process.env.KEEPWIRE_DOCS_BASE || '/')
  if (lost.length > 0) throw new UserError(`links of the site lead nowhere:\n${lost.join('\n')}`)
  say(
    `made the site of ${PAGES.length} pages in ${secondsSince(startedAt)}; its ${links} links lead somewhere: ${SITE}`,
  )
}

runScript(async () => {
  await fetchPrograms(['vitepress'])
  if (!process.argv.includes('--dev')) return build()
  const { code } = await run(process.execPath, [VITEPRESS, 'dev', 'docs'])
  process.exitCode = code
})
