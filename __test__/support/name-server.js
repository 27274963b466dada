'use strict'

// A name server on loopback (RFC 1035), and how a script is made to ask it: in a mount namespace of its own, where
// /etc/resolv.conf names nobody else. Linux, and only for who may do that.

const { execFile } = require('node:child_process')
const dgram = require('node:dgram')
const fs = require('node:fs')
const os = require('node:os')
const path = require('node:path')

const PORT = 53
const HEADER = 12
const A = 1

/**
 * The name and the type that a query is about, and where its question ends.
 * @param {Buffer} query
 */
function questionOf(query) {
  const labels = []
  let at = HEADER
  for (; query[at] > 0; at += query[at] + 1) labels.push(query.toString('latin1', at + 1, at + 1 + query[at]))
  return { name: labels.join('.'), type: query.readUInt16BE(at + 1), end: at + 5 }
}

/**
 * @param {Buffer} query
 * @param {number} end of its question
 * @param {string[]} addresses
 */
function answerTo(query, end, addresses) {
  const head = Buffer.from(query.subarray(0, end))
  head.writeUInt16BE(0x8180, 2) // a response, without error
  for (const [field, count] of [1, addresses.length, 0, 0].entries()) head.writeUInt16BE(count, 4 + 2 * field)
  // The name of the question, once more by reference; class IN, a minute to live.
  const records = addresses.map((address) =>
    Buffer.from([0xc0, HEADER, 0, A, 0, 1, 0, 0, 0, 60, 0, 4, ...address.split('.').map(Number)]),
  )
  return Buffer.concat([head, ...records])
}

/**
 * @param {import('./suite').Scope} scope
 * @param {(name: string) => string | string[] | null | undefined | Promise<string>} answer an address or several, null: there is
 *   none, undefined: silence
 * @returns {Promise<{ queries: string[], under: string[] } | null>} who was asked about, and what runs a script that asks;
 *   null where that can't be made
 */
async function nameServer(scope, answer) {
  if (process.platform !== 'linux') return null
  // Test files run beside each other, each with a server of its own.
  const address = `127.${53 + (process.pid >> 16)}.${(process.pid >> 8) & 255}.${process.pid & 255}`
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'keepwire-names-'))
  scope.defer(() => fs.rmSync(folder, { recursive: true, force: true }))
  const conf = path.join(folder, 'resolv.conf')
  fs.writeFileSync(conf, `nameserver ${address}\noptions timeout:5 attempts:1\n`)
  const under = ['unshare', '-m', 'sh', '-c', 'mount --bind "$0" /etc/resolv.conf && exec "$@"', conf]
  const isPossible = await new Promise((resolve) => {
    execFile(under[0], [...under.slice(1), 'true'], (error) => resolve(error === null))
  })
  if (!isPossible) return null

  const queries = await answerNames(scope, address, answer)
  return queries && { queries, under }
}

/**
 * @param {{ defer: (end: () => unknown) => void }} scope
 * @param {string} address
 * @param {Parameters<typeof nameServer>[1]} answer
 * @returns {Promise<string[] | null>} who is asked about there; null: it can't be had
 */
async function answerNames(scope, address, answer) {
  /** @type {string[]} */
  const queries = []
  const socket = dgram.createSocket('udp4')
  socket.on('message', async (query, { address: to, port }) => {
    const { name, type, end } = questionOf(query)
    // Deno looks for news of itself.
    const isOurs = name.endsWith('.test')
    if (isOurs) queries.push(`${name} ${type === A ? 'A' : type}`)
    const found = isOurs ? await answer(name) : null
    if (found !== undefined) socket.send(answerTo(query, end, type === A ? [found ?? []].flat() : []), port, to)
  })
  const isBound = await new Promise((resolve) => {
    socket.once('error', () => resolve(false))
    socket.bind(PORT, address, () => resolve(true))
  })
  if (!isBound) return null
  scope.defer(() => new Promise((resolve) => socket.close(resolve)))
  return queries
}

module.exports = { answerNames, nameServer }
