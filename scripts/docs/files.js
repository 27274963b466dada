'use strict'

// `node scripts/docs/files.js`: writes docs/internals/files.md, which says of every file of lib/ and src/ what it is for. That is the first
// sentence of the comment at its head, so a file that is moved takes its description along. A test compares the page with the files.

const fs = require('node:fs')
const path = require('node:path')

const { root } = require('../process.js')

const PAGE = 'docs/internals/files.md'
const WIDTH = 130

const HEAD = `# Which file does what

Made of the first sentences of the files themselves, by \`node scripts/docs/files.js\`. Rooms and floors:
[ARCHITECTURE.md](../../ARCHITECTURE.md).

Outside of \`lib/\` and \`src/\`: \`index.js\`, \`index.d.ts\` and \`types/\` are what programs see, \`bin/keepwire.js\` is the command,
\`scripts/bundle.js\` makes a package's few files of \`lib/\`. \`lib/native/\` has the addon that was built.
`

/** @param {string} folder from the root @returns {string[]} */
function sourcesIn(folder) {
  const entries = fs.readdirSync(path.join(root, folder), { withFileTypes: true })
  return entries.flatMap((entry) => {
    const file = `${folder}/${entry.name}`
    if (entry.isDirectory()) return file === 'lib/native' ? [] : sourcesIn(file)
    return /\.(?:js|mjs|rs)$/.test(file) && !/^lib\/bundle\./.test(file) ? [file] : []
  })
}

/**
 * @param {string} text of a file
 * @returns {string | undefined} the first sentence of the comment at its head
 */
function purposeOf(text) {
  const [, comment] = /^(?:'use strict'\n\n)?((?:\/\/!?(?: .*)?\n)+)/.exec(text) ?? []
  if (comment === undefined) return undefined
  const [paragraph] = comment.replace(/^\/\/!? ?/gm, '').split('\n\n')
  const flat = paragraph.replace(/\s+/g, ' ').trim()
  const sentence = /^.*?\.(?= [A-Z`'])/.exec(flat)?.[0] ?? flat
  return sentence.replace(/:$/, '.').replace(/\[(`[^`]*`)\](?!\()/g, '$1')
}

/** @param {string} text with what would be marks of HTML or Markdown, outside of code, as plain text */
function escaped(text) {
  const parts = text.split(/(`[^`]*`)/)
  const plain = (/** @type {string} */ part) => part.replaceAll('<', '&lt;').replaceAll('__', '\\_\\_')
  return parts.map((part) => (part.startsWith('`') ? part : plain(part))).join('')
}

/** @param {string} text @returns {string} an item of a list */
function item(text) {
  const lines = ['-']
  for (const word of text.split(' ')) {
    const last = lines[lines.length - 1]
    if (last.length + 1 + word.length <= WIDTH) lines[lines.length - 1] = `${last} ${word}`
    else lines.push(`  ${word}`)
  }
  return lines.join('\n')
}

/** @returns {string} the page, as it should be */
function filesPage() {
  /** @type {Map<string, string[]>} */
  const folders = new Map()
  for (const file of ['src', 'lib'].flatMap(sourcesIn).sort()) {
    const purpose = purposeOf(fs.readFileSync(path.join(root, file), 'utf8'))
    if (purpose === undefined) throw new Error(`${file} does not say at its head what it is for`)
    const folder = path.posix.dirname(file)
    folders.set(folder, [...(folders.get(folder) ?? []), item(`\`${path.posix.basename(file)}\`: ${escaped(purpose)}`)])
  }
  // Rust first, as in ARCHITECTURE.md.
  const of = (/** @type {string} */ root) => [...folders].filter(([folder]) => folder.split('/')[0] === root).sort()
  const ordered = [...of('src'), ...of('lib')]
  const sections = ordered.map(([folder, items]) => `## \`${folder}/\`\n\n${items.join('\n')}\n`)
  return [HEAD, ...sections].join('\n')
}

if (require.main === module) fs.writeFileSync(path.join(root, PAGE), filesPage())

module.exports = { PAGE, filesPage }
