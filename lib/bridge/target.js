'use strict'

// Which build of the addon suits this process, named as in the platform packages: linux-x64-gnu, darwin-arm64, …

const { closeSync, openSync, readSync } = require('node:fs')

const PROGRAM_HEADER_INTERPRETER = 3

/**
 * The dynamic loader that a 64-bit little-endian ELF file asks for: it tells glibc from musl, whatever else is
 * installed beside the one that runs.
 * @param {string} file
 * @returns {string | null} null: not such a file, or statically linked
 */
function elfInterpreter(file) {
  let fd
  try {
    fd = openSync(file, 'r')
    const header = Buffer.alloc(64)
    if (readSync(fd, header, 0, 64, 0) < 64 || header.readUInt32BE(0) !== 0x7f454c46) return null
    const size = header.readUInt16LE(54)
    const table = Buffer.alloc(size * header.readUInt16LE(56))
    readSync(fd, table, 0, table.length, Number(header.readBigUInt64LE(32)))
    for (let at = 0; at + 56 <= table.length; at += size) {
      if (table.readUInt32LE(at) !== PROGRAM_HEADER_INTERPRETER) continue
      const name = Buffer.alloc(Number(table.readBigUInt64LE(at + 32)))
      readSync(fd, name, 0, name.length, Number(table.readBigUInt64LE(at + 8)))
      return name.toString('latin1').replace(/\0+$/, '')
    }
    return null
  } catch {
    return null
  } finally {
    if (fd !== undefined) closeSync(fd)
  }
}

/** @returns {'gnu' | 'musl' | null} null: not Linux, or not known */
function libc() {
  if (process.platform !== 'linux') return null
  const interpreter = elfInterpreter(process.execPath)
  if (interpreter === null) return null
  return interpreter.includes('ld-musl-') ? 'musl' : 'gnu'
}

/**
 * The builds to try, the likeliest first.
 * @returns {string[]}
 */
function nativeTargets() {
  const { platform, arch } = process
  if (platform === 'win32') return [`win32-${arch}-msvc`]
  if (platform !== 'linux') return [`${platform}-${arch}`]
  const known = libc()
  return (known === null ? ['gnu', 'musl'] : [known]).map((name) => `linux-${arch}-${name}`)
}

module.exports = { libc, nativeTargets }
