'use strict'

// The process of one side: told in lines of JSON on its input to send requests for so many milliseconds, it answers with
// what they took. It ends with its input.

const readline = require('node:readline')

const { makers } = require('./clients.js')
const { cpuByThread } = require('./cpu.js')

// A request that hangs must not hang the benchmark.
const ANSWER_WITHIN_MS = 10_000

const task = JSON.parse(process.argv[2])
const answer = (message) => process.stdout.write(`${JSON.stringify(message)}\n`)

/** Keeps all clients busy until the time is over; every request that was begun is waited for and counts. */
function round(send, { clients, timed }, durationMs) {
  return new Promise((resolve, reject) => {
    const latencies = []
    const cpuBefore = cpuByThread()
    const startedAt = performance.now()
    const endAt = startedAt + durationMs
    let requests = 0
    let busy = clients
    const overdue = () =>
      reject(new Error(`${busy} of ${clients} requests were not answered in ${ANSWER_WITHIN_MS} ms`))
    const timer = setTimeout(overdue, durationMs + ANSWER_WITHIN_MS)
    const finish = () => {
      clearTimeout(timer)
      const elapsedMs = performance.now() - startedAt
      const cpu = cpuByThread()
      resolve({
        requests,
        perSecond: (requests / elapsedMs) * 1000,
        jsMicros: cpu && (cpu.jsMicros - cpuBefore.jsMicros) / requests,
        otherMicros: cpu && (cpu.otherMicros - cpuBefore.otherMicros) / requests,
        medianMicros: timed ? latencies.sort((a, b) => a - b)[latencies.length >> 1] * 1000 : null,
      })
    }
    const next = () => {
      const begunAt = timed ? performance.now() : 0
      send((error) => {
        if (error) return reject(error)
        const now = performance.now()
        if (timed) latencies.push(now - begunAt)
        requests++
        if (now < endAt) next()
        else if (--busy === 0) finish()
      })
    }
    for (let client = 0; client < clients; client++) next()
  })
}

async function main() {
  let send
  try {
    send = makers[task.maker](task)
  } catch (error) {
    answer({ unavailable: error.message.split('\n')[0] })
    return
  }
  answer({})
  for await (const line of readline.createInterface({ input: process.stdin })) {
    answer(await round(send, task.scenario, JSON.parse(line).durationMs))
  }
}

// Idle connections of a side need not be closed one by one: nothing is under way when its input ends.
main()
  .catch((error) => {
    console.error(error)
    answer({ error: error.message })
  })
  .finally(() => process.exit())
