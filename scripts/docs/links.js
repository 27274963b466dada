'use strict'

// Links of the built site: each leads to a file of the site, and each anchor to something on that page. Addresses elsewhere are not
// asked for.

const fs = require('node:fs')
const path = require('node:path')

const ENTITIES = /** @type {Record<string, string>} */ ({
  '&amp;': '&',
  '&quot;': '"',
  '&#39;': "'",
  '&lt;': '<',
  '&gt;': '>',
})

/** @param {string} text */
const decoded = (text) => text.replace(/&(?:amp|quot|#39|lt|gt);/g, (entity) => ENTITIES[entity])

/**
 * @param {string} html
 * @param {RegExp} attribute whose first group is the value
 */
const valuesOf = (html, attribute) => Array.from(html.matchAll(attribute), ([, value]) => decoded(value))

/**
 * @param {string} site its folder
 * @param {string} base the path under which it will be
 * @returns {{ links: number, lost: string[] }} how many there are, and those that lead nowhere, with their pages
 */
function lostLinks(site, base) {
  const files = fs
    .readdirSync(site, { recursive: true })
    .map((file) => String(file).split(path.sep).join('/'))
    .sort()
    .filter((file) => fs.statSync(path.join(site, file)).isFile())
  const here = new Set(files)
  /** @type {Map<string, { hrefs: string[], ids: Set<string> }>} */
  const pages = new Map()
  for (const file of files.filter((name) => name.endsWith('.html') && name !== '404.html')) {
    const html = fs.readFileSync(path.join(site, file), 'utf8')
    const hrefs = valuesOf(html, /\s(?:href|src)="([^"]*)"/g)
    pages.set(file, { hrefs, ids: new Set(valuesOf(html, /\sid="([^"]*)"/g)) })
  }
  /** @param {string} pathname without the base */
  const fileAt = (pathname) => {
    const name = pathname.endsWith('/') || pathname === '' ? `${pathname}index.html` : pathname
    return [name, `${name}.html`].find((file) => here.has(file))
  }
  const lost = []
  let links = 0
  for (const [page, { hrefs }] of pages) {
    for (const href of hrefs) {
      if (/^(?:[a-z]+:|\/\/)/.test(href)) continue
      links += 1
      const { pathname, hash } = new URL(href, `http://site${base}${page}`)
      const file = pathname.startsWith(base) ? fileAt(decodeURI(pathname.slice(base.length))) : undefined
      const anchor = decodeURIComponent(hash.slice(1))
      const isThere = file !== undefined && (anchor === '' || pages.get(file)?.ids.has(anchor))
      if (!isThere) lost.push(`${page}: ${href}`)
    }
  }
  return { links, lost }
}

module.exports = { lostLinks }
