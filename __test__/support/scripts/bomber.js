'use strict'

// Reads bombs as support/beside.js does, in a process of its own: a message says which, another one that it is enough.

const { bombard } = require('../beside')
const { schemes, trusting } = require('../schemes')

process.once('message', async (/** @type {any} */ { scheme, origin, reading, identity }) => {
  const agent = new schemes[scheme].Agent(trusting({ keepAlive: true }, identity))
  const bombs = bombard({ origin, agent, reading })
  await bombs.begun
  process.once('message', async () => {
    await bombs.stop()
    agent.destroy()
    process.disconnect()
  })
  process.send('begun')
})
