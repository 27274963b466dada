'use strict'

// CPU time of this process so far, split between the JavaScript thread and all others.

const fs = require('node:fs')

const TASKS = '/proc/self/task'
const hasTasks = fs.existsSync(`${TASKS}/${process.pid}/schedstat`)

/** @returns {{ jsMicros: number, otherMicros: number } | null} null where the system does not tell it by thread */
function cpuByThread() {
  if (!hasTasks) return null
  const cpu = { jsMicros: 0, otherMicros: 0 }
  for (const id of fs.readdirSync(TASKS)) {
    // The main thread, where JavaScript runs, has the id of the process.
    cpu[Number(id) === process.pid ? 'jsMicros' : 'otherMicros'] += threadMicros(id)
  }
  return cpu
}

function threadMicros(id) {
  try {
    return Number(fs.readFileSync(`${TASKS}/${id}/schedstat`, 'utf8').split(' ')[0]) / 1000
  } catch {
    return 0 // it has ended since the folder was read
  }
}

module.exports = { cpuByThread }
