'use strict'

// `node scripts/glibc.js FILE MOST`: fails if an addon needs a newer glibc than that, such as 2.17.
//
// The lowest version that it loads with is read from its file: the newest of the versions of symbols that it needs of other
// libraries (ELF's section .gnu.version_r).

const fs = require('node:fs')

const { UserError, runScript, say } = require('./report.js')
const { isAtLeast } = require('./toolchain.js')

const SHT_GNU_VERNEED = 0x6fff_fffe

/**
 * @param {string} file
 * @returns {string | null} such as '2.17'; null: not an ELF file, or it needs no glibc
 */
function lowestGlibc(file) {
  const elf = fs.readFileSync(file)
  if (elf.length < 64 || elf.readUInt32BE(0) !== 0x7f454c46 || elf[4] !== 2) return null
  const table = Number(elf.readBigUInt64LE(40))
  const size = elf.readUInt16LE(58)
  const sections = Array.from({ length: elf.readUInt16LE(60) }, (_, index) => {
    const at = table + index * size
    return {
      type: elf.readUInt32LE(at + 4),
      offset: Number(elf.readBigUInt64LE(at + 24)),
      link: elf.readUInt32LE(at + 40),
    }
  })
  const needs = sections.find(({ type }) => type === SHT_GNU_VERNEED)
  if (needs === undefined) return null
  /** @type {number[][]} */
  const versions = []
  const names = sections[needs.link].offset
  for (let entry = needs.offset, next = -1; next !== 0; entry += next) {
    for (let each = entry + elf.readUInt32LE(entry + 8), left = elf.readUInt16LE(entry + 2); left > 0; left -= 1) {
      const name = names + elf.readUInt32LE(each + 8)
      const [, version] = /^GLIBC_([\d.]+)$/.exec(elf.toString('latin1', name, elf.indexOf(0, name))) ?? []
      if (version !== undefined) versions.push(version.split('.').map(Number))
      each += elf.readUInt32LE(each + 12)
    }
    next = elf.readUInt32LE(entry + 12)
  }
  const [newest] = versions.sort((a, b) => b[0] - a[0] || b[1] - a[1] || (b[2] ?? 0) - (a[2] ?? 0))
  return newest?.join('.') ?? null
}

module.exports = { lowestGlibc }

if (require.main === module) {
  runScript(() => {
    const [file, most] = process.argv.slice(2)
    const lowest = lowestGlibc(file)
    if (lowest === null) throw new UserError(`${file} is no addon for glibc.`)
    if (!isAtLeast(most, lowest)) throw new UserError(`${file} needs glibc ${lowest}; expected ${most} or earlier.`)
    say(`${file} loads with glibc ${lowest} and later`)
  })
}
