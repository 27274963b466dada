'use strict'

// A server in a process of its own; see remote-peer.js and chaos-peer.js for what their paths answer.

const { spawn } = require('node:child_process')
const net = require('node:net')
const path = require('node:path')

const { commandFor } = require('./runtime')
const { identityFor } = require('./server-process')

/**
 * Starts the server; `counts()` asks it, `stop()` ends it.
 * @param {{ args?: string[], identity?: import('./listener').Identity }} [options] with an identity it speaks TLS
 */
async function startRemote(program = 'remote-peer.js', { args: programArgs = [], identity } = {}) {
  const { file, args } = commandFor(path.join(__dirname, program))
  const child = spawn(file, [...args, ...programArgs], {
    stdio: ['pipe', 'pipe', 'inherit'],
    env: { ...process.env, ...identityFor(identity) },
  })
  const { controlPort, ...ports } = JSON.parse(await firstLine(child))
  return {
    ...ports,
    counts: () => ask(controlPort),
    nobodyConnected: async (deadlineMs) => {
      const deadline = Date.now() + deadlineMs
      for (;;) {
        const { open } = await ask(controlPort)
        if (open === 0) return
        if (Date.now() > deadline)
          throw new Error(`${open} connections are still open ${deadlineMs} ms after agent.destroy()`)
      }
    },
    stop: () =>
      new Promise((resolve) => {
        child.once('exit', () => resolve())
        child.stdin.end()
      }),
  }
}

function firstLine(child) {
  return new Promise((resolve, reject) => {
    let text = ''
    child.stdout.on('data', (chunk) => {
      text += chunk
      if (text.includes('\n')) resolve(text.slice(0, text.indexOf('\n')))
    })
    child.once('error', reject)
    child.once('exit', (code) => reject(new Error(`the server process ended with ${code}`)))
  })
}

function ask(port) {
  return new Promise((resolve, reject) => {
    let text = ''
    const socket = net.connect(port, '127.0.0.1')
    socket.on('data', (chunk) => (text += chunk))
    socket.on('error', reject)
    socket.on('close', () => resolve(JSON.parse(text)))
  })
}

module.exports = { startRemote }
