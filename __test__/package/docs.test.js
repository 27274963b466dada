'use strict'

// README is for a first reader, so it stays short, and ARCHITECTURE for a new colleague; their figures are those that were
// measured last. What the pages link to exists, here and on the site.

const assert = require('node:assert')
const { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } = require('node:fs')
const os = require('node:os')
const path = require('node:path')
const { test } = require('node:test')

const { PAGE: FILES_PAGE, filesPage } = require('../../scripts/docs/files')
const { lostLinks } = require('../../scripts/docs/links')
const { PAGES, anchorOf } = require('../../scripts/docs/pages')
const { EXPECTED } = require('../../scripts/node-suite')
const { PROGRAMS } = require('../../scripts/programs')

const root = path.join(__dirname, '..', '..')
const MOST_LINES = 150
const LONGEST_LINE = 120
const MOST_LINES_OF_ARCHITECTURE = 200

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

test('ARCHITECTURE is short enough to be read', () => {
  const lines = textOf('ARCHITECTURE.md').trimEnd().split('\n').length
  assert.ok(lines <= MOST_LINES_OF_ARCHITECTURE, `${lines} lines, at most ${MOST_LINES_OF_ARCHITECTURE}`)
})

/** The cells of a table's rows, by their first. @param {string} text */
function rowsOf(text) {
  const rows = Array.from(text.matchAll(/^\| (.+) \|$/gm), ([, row]) => row.split(' | ').map((cell) => cell.trim()))
  return new Map(rows.map(([name, ...cells]) => [name, cells]))
}

/** README's rows: what docs/performance.md calls each case, and which of its columns are shown. */
const COSTS = [
  { row: 'small GET, 50 connections', measured: 'GET, 50 clients', columns: [0, 1] },
  { row: 'the same by [the fast request]', measured: 'GET, 50 clients', columns: [3, 4] },
  { row: 'over TLS', measured: 'GET over TLS, 50 clients', columns: [0, 1] },
  { row: '[`fetch`]', measured: 'fetch, 50 clients', columns: [0, 1] },
  { row: 'one request at a time: median latency', measured: 'GET, one after another', columns: [2, 1] },
  {
    row: 'body of 1 MB over TLS, one after another',
    measured: 'body of 1 MB over TLS, one after another',
    columns: [0, 1],
  },
]

/** @returns {{ runtime: string, rows: Map<string, string[]> }} what was measured on the runtime that README tells of */
function surveyed() {
  const [, runtime] = /--survey` on (Node \d+)/.exec(textOf('README.md')) ?? assert.fail('README names the runtime')
  const [, section] = textOf('docs/performance.md').split(new RegExp(`<!-- (?:end of )?survey: ${runtime} -->`))
  assert.ok(section, `docs/performance.md has a survey of ${runtime}`)
  return { runtime, rows: rowsOf(section) }
}

/**
 * @param {string} where a figure stands, with words around it
 * @param {string} shown the figure
 * @param {string} row of the survey
 * @param {number} measured
 */
function assertShown(where, shown, row, measured) {
  const decimals = shown.split('.')[1]?.length ?? 0
  assert.strictEqual(
    shown,
    measured.toFixed(decimals),
    `${where}: ${shown} stands there, ${measured} is what docs/performance.md has of "${row}"`,
  )
}

test("README's figures are those of docs/performance.md, its losses among them", () => {
  const readme = rowsOf(textOf('README.md'))
  const survey = surveyed().rows
  let losses = 0
  for (const { row, measured, columns } of COSTS) {
    const [name, shown] = [...readme].find(([name]) => name.startsWith(row)) ?? assert.fail(row)
    const figures = survey.get(measured) ?? assert.fail(`no case "${measured}" was measured`)
    for (const [at, column] of columns.entries()) {
      const [figure] = /^\d+(?:\.\d+)?/.exec(shown[at]) ?? assert.fail(`${name}: ${shown}`)
      assertShown(`README.md, "${name}"`, figure, measured, Number(figures[column]))
    }
    const isLoss = row.includes('latency') ? Number(shown[0]) > 1 : Number(shown[0]) < 1
    assert.strictEqual(
      name.includes('**keepwire is slower**'),
      isLoss,
      `README.md says of "${name}" whether it is slower`,
    )
    losses += Number(isLoss)
  }
  assert.ok(losses > 0)
})

/** Figures in sentences: where, how they stand there, and which rows of the survey they are of. */
const SENTENCES = [
  {
    page: 'README.md',
    figures: /loading takes \[([\d.]+) ms of CPU and ([\d.]+)\s+MB\s+more\s+than\s+`node:http`\]/,
    rows: ['a process, CPU', 'a process, memory'],
    from: (/** @type {number[]} */ [ours, theirs]) => ours - theirs,
  },
  {
    page: 'docs/decisions/03-verbatim-bytes.md',
    figures: /An idle connection takes ([\d.]+) KB now/,
    rows: ['10,000 idle connections, memory each'],
    from: (/** @type {number[]} */ [ours]) => ours,
  },
]

test('what start-up and idle connections cost is, in sentences, what was measured last', () => {
  const survey = surveyed().rows
  for (const { figures, from, page, rows } of SENTENCES) {
    const [sentence, ...shown] = figures.exec(textOf(page)) ?? assert.fail(`${page} has a sentence like ${figures}`)
    for (const [at, row] of rows.entries()) {
      const cells = survey.get(row) ?? assert.fail(`no case "${row}" was measured`)
      assertShown(`${page}, "${sentence}"`, shown[at], row, Number(from(cells.map(Number.parseFloat)).toFixed(1)))
    }
  }
})

test('each page of docs/ opens with an example', () => {
  const own = pages.filter((page) => path.dirname(page) === 'docs')
  assert.deepStrictEqual(
    own.filter((page) => !/^# .+\n\n(?:(?!```|[#|<-]).+\n+)*```(?:js|sh)\n/.test(textOf(page))),
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

/** Files of others, and those that only a package has. */
const ELSEWHERE = ['lib/bundle.js', 'lib/bundle.later.js', 'client/stream.rs', 'h3_client/pool.rs']

test('each file that a page names is there, whatever was moved', () => {
  const folders = ['__test__', 'bench', 'bin', 'lib', 'scripts', 'src']
  const files = folders.flatMap((folder) =>
    readdirSync(path.join(root, folder), { recursive: true }).map((file) =>
      `/${folder}/${file}`.split(path.sep).join('/'),
    ),
  )
  files.push('/index.js')
  const ofOurs = pages.filter((page) => /^(?:ARCHITECTURE|CONTRIBUTING|docs.(?:decisions|internals).*)\.md$/.test(page))
  const lost = ofOurs.flatMap((page) => {
    const named = proseOf(page).matchAll(/`([\w./-]+\.(?:js|mjs|rs))`/g)
    const lost = Array.from(named, ([, name]) => name)
      .filter((name) => !ELSEWHERE.includes(name))
      .filter((name) => !files.some((file) => file.endsWith(`/${name}`)))
    return lost.map((name) => `${page}: ${name}`)
  })
  assert.deepStrictEqual(lost, [])
})

test('the page of files says of each file what it says of itself', () => {
  assert.ok(textOf(FILES_PAGE) === filesPage(), `run \`node scripts/docs/files.js\`: it writes ${FILES_PAGE} anew`)
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

test('the site is built and link-checked for every change, and deployed from main alone, without a token', () => {
  assert.match(
    textOf('.ci/run'),
    /^if runs lint; then\n(?: {2}stage .+\n)* {2}stage 'docs site' npm run --silent docs\n/m,
  )
  const [build, deploy] = textOf('.github/workflows/docs.yml').split('\n  deploy:\n')
  assert.match(build, /^on:\n {2}push:\n {4}branches: \[main\]\n\n/m)
  assert.match(build, /run: npm run docs\n/)
  assert.match(deploy, /if: github\.ref == 'refs\/heads\/main'/)
  assert.match(deploy, /id-token: write/)
  assert.doesNotMatch(build, /write/)
  assert.doesNotMatch(build + deploy, /secrets\./)
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

test('the packages that the page of mocks and tracers names are those that its tests load, in these versions', () => {
  const packages = PROGRAMS.flatMap((program) => program.packages)
  const rows = proseOf('docs/mocks-tracers-and-test-runners.md').matchAll(/^\| ([^|`]+) \| ([\d., ]+\d) \|/gm)
  const named = Array.from(rows, ([, names, versions]) => {
    const each = versions.split(', ')
    return names.split(', ').map((name, at) => `${name}@${each[at]}`)
  }).flat()
  assert.ok(named.length >= 16, named.join(' '))
  assert.deepStrictEqual(
    named.filter((name) => !packages.includes(name)),
    [],
  )
  // What its tests load, of which nobody needs to be told, are parts of OpenTelemetry that trace nothing themselves.
  const loaded = ['nock13', 'nock14', 'nock15', 'msw2', 'msw3', 'sinon', 'jest', 'vitest', 'mocha', 'ava', 'supertest']
  const tracers = ['opentelemetry', 'dd-trace', 'newrelic']
  const wanted = PROGRAMS.filter(({ name }) => loaded.includes(name) || tracers.includes(name))
    .flatMap((program) => program.packages)
    .filter((name) => !/^@opentelemetry\/(?:api|sdk-trace-node|instrumentation)@/.test(name))
  assert.deepStrictEqual(
    wanted.filter((name) => !named.includes(name)),
    [],
  )
  const text = proseOf('docs/mocks-tracers-and-test-runners.md')
  const [, globalAgent] = /global-agent's \(tested: ([\d.]+)\)/.exec(text) ?? []
  assert.ok(packages.includes(`global-agent@${globalAgent}`))
})
