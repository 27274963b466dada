'use strict'

// README is for a first reader, so it stays short; what it and the other pages link to exists, here and on the site.

const assert = require('node:assert')
const { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } = require('node:fs')
const os = require('node:os')
const path = require('node:path')
const { test } = require('node:test')

const { lostLinks } = require('../../scripts/docs/links')
const { PAGES, anchorOf } = require('../../scripts/docs/pages')
const { EXPECTED } = require('../../scripts/node-suite')

const root = path.join(__dirname, '..', '..')
const MOST_LINES = 150
const LONGEST_LINE = 120

const pages = [
  ...readdirSync(root).filter((file) => file.endsWith('.md')),
  ...readdirSync(path.join(root, 'docs'), { recursive: true })
    .map((file) => path.join('docs', String(file)))
    .filter((file) => file.endsWith('.md')),
]

const textOf = (/** @type {string} */ page) => readFileSync(path.join(root, page), 'utf8')

/** What is in a page besides its code. */
const proseOf = (/** @type {string} */ page) => textOf(page).replace(/^```[\s\S]*?^```/gm, '')

/**
 * The anchors of a page's headings, as GitHub and the site make them.
 * @param {string} page
 */
function anchorsOf(page) {
  const headings = proseOf(page).matchAll(/^#+ (.+)$/gm)
  return new Set(Array.from(headings, ([, heading]) => anchorOf(heading.replace(/\[([^\]]*)\]\([^)]*\)/g, '$1'))))
}

test('README is short enough to be read', () => {
  const lines = textOf('README.md').split('\n')
  assert.ok(lines.length <= MOST_LINES, `${lines.length} lines`)
  assert.deepStrictEqual(
    lines.filter((line) => line.length > LONGEST_LINE),
    [],
  )
})

test('every link between the pages leads somewhere', () => {
  const lost = []
  for (const page of pages) {
    for (const [, target] of proseOf(page).matchAll(/\]\(([^)\s]+)\)/g)) {
      if (/^[a-z]+:/.test(target)) continue
      const [file, anchor] = target.split('#')
      const found = file === '' ? page : path.join(path.dirname(page), file)
      const isThere = existsSync(path.join(root, found))
      if (!isThere || (anchor !== undefined && !anchorsOf(found).has(anchor))) lost.push(`${page}: ${target}`)
    }
  }
  assert.deepStrictEqual(lost, [])
})

test("each of Node's own tests that may fail has a sentence that says why", () => {
  const flat = (/** @type {string} */ page) => textOf(page).replace(/\s+/g, ' ')
  assert.deepStrictEqual(
    EXPECTED.filter(({ page, says }) => !flat(page).includes(says)),
    [],
  )
  const names = EXPECTED.flatMap(({ tests }) => tests)
  assert.strictEqual(new Set(names).size, names.length)
})

test("each page is in the site's sidebar, once", () => {
  assert.deepStrictEqual([...PAGES].sort(), pages.map((page) => page.split(path.sep).join('/')).sort())
})

test('links of the built site are followed, anchors included, under the path where it will be', () => {
  const site = mkdtempSync(path.join(os.tmpdir(), 'keepwire-site-'))
  try {
    mkdirSync(path.join(site, 'docs'))
    writeFileSync(
      path.join(site, 'index.html'),
      '<a href="/base/docs/one"><a href="/base/docs/one#here"><a href="/base/docs/one#nowhere"><a href="/docs/one">',
    )
    writeFileSync(
      path.join(site, 'docs', 'one.html'),
      '<h2 id="here"><a href="#here"><a href="./two"><img src="/base/icon.svg"><a href="https://example.com/">',
    )
    assert.deepStrictEqual(lostLinks(site, '/base/'), {
      links: 7,
      lost: [
        'docs/one.html: ./two',
        'docs/one.html: /base/icon.svg',
        'index.html: /base/docs/one#nowhere',
        'index.html: /docs/one',
      ],
    })
  } finally {
    rmSync(site, { recursive: true })
  }
})
