// The docs site: `npm run docs`. Pages and sidebar come from scripts/docs/pages.js.

import fs from 'node:fs'
import { createRequire } from 'node:module'
import path from 'node:path'
import { fileURLToPath } from 'node:url'

// Vite puts what is imported into this file, and CommonJS does not survive that.
const require = createRequire(import.meta.url)
const manifest = require('../../package.json')
const { GROUPS, PAGES, anchorOf, targetOf, titleOf } = require('../../scripts/docs/pages.js')

const root = fileURLToPath(new URL('../..', import.meta.url))
const out = path.join(root, 'target', 'site')

const { GITHUB_SERVER_URL, GITHUB_REPOSITORY, KEEPWIRE_DOCS_BASE } = process.env
const repository = GITHUB_REPOSITORY && `${GITHUB_SERVER_URL}/${GITHUB_REPOSITORY}`

/** Folders that have no pages. */
const others = fs
  .readdirSync(root, { withFileTypes: true })
  .filter((entry) => entry.isDirectory() && !PAGES.some((page) => page.startsWith(`${entry.name}/`)))
  .map(({ name }) => `${name}/**`)

const addressOf = (file) => (file === 'README.md' ? '/' : `/${file.replace(/\.md$/, '')}`)

/** Links to what is no page lead to the repository, if there is one. */
function linksOfPages(markdown) {
  markdown.core.ruler.push('links-of-pages', ({ tokens, env }) => {
    // Lists in ARCHITECTURE.md that tests read are in no language.
    for (const token of tokens) if (token.info.startsWith('floors')) token.info = 'text'
    const page = path.relative(root, env.path).split(path.sep).join('/')
    for (const token of tokens.flatMap(({ children }) => children ?? [])) {
      const href = token.type === 'link_open' ? token.attrGet('href') : null
      if (href === null || href.startsWith('#') || /^[a-z]+:/.test(href)) continue
      const { file, hash, isPage } = targetOf(page, href)
      if (isPage) token.attrSet('href', `${addressOf(file)}${hash}`)
      else if (repository) token.attrSet('href', `${repository}/tree/main/${file}`)
      else token.attrs = null
    }
  })
}

// Tables of options are wider than the columns of a blog.
const STYLE = `
:root { --vp-layout-max-width: 1760px }
.VPDoc.has-aside .content-container { max-width: 1000px !important }
`

const icon = fs.readFileSync(path.join(root, 'lib', 'dashboard', 'page', 'icon.svg')).toString('base64')

export default {
  title: 'keepwire',
  description: manifest.description,
  base: KEEPWIRE_DOCS_BASE || '/',
  srcDir: root,
  srcExclude: others,
  outDir: out,
  cacheDir: path.join(root, 'target', 'site-cache'),
  head: [
    ['link', { rel: 'icon', href: `data:image/svg+xml;base64,${icon}` }],
    ['style', {}, STYLE],
  ],
  cleanUrls: true,
  rewrites: { 'README.md': 'index.md' },
  markdown: {
    anchor: { slugify: anchorOf },
    config: linksOfPages,
  },
  vite: { server: { watch: { ignored: [...others, '.*/**'].map((name) => path.join(root, name)) } } },
  themeConfig: {
    sidebar: GROUPS.map(({ title, files, collapsed }) => ({
      text: title,
      collapsed,
      items: files.map((file) => ({ text: file === 'README.md' ? 'Overview' : titleOf(file), link: addressOf(file) })),
    })),
    nav: [
      { text: 'Getting started', link: addressOf('docs/getting-started.md') },
      { text: 'Options', link: addressOf('docs/options.md') },
      { text: manifest.version, link: addressOf('CHANGELOG.md') },
    ],
    outline: [2, 3],
    search: { provider: 'local' },
    socialLinks: repository ? [{ icon: 'github', link: repository }] : [],
  },
}
