'use strict'

// A process that loads modules, sends a request by the last one if it is told where to, and says what it took until then.

const startedAt = performance.now()
const { load, origin, ca } = JSON.parse(process.argv[2])

const modules = load.map((name) => require(name))
const loadedAt = performance.now()

function tell(requestMs) {
  const { user, system } = process.cpuUsage()
  const figures = {
    loadMs: loadedAt - startedAt,
    cpuMs: (user + system) / 1000,
    rssMb: process.memoryUsage.rss() / 1e6,
  }
  process.stdout.write(JSON.stringify({ ...figures, requestMs }), () => process.exit())
}

if (origin === undefined) tell(null)
else {
  const { Agent, HttpsAgent = Agent } = modules.at(-1)
  const agent = new HttpsAgent({ keepAlive: true, ca })
  const sentAt = performance.now()
  require('node:https').get(`${origin}/small`, { agent }, (response) => {
    response.resume().once('end', () => tell(performance.now() - sentAt))
  })
}
