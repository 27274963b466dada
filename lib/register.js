'use strict'

// `node --require keepwire/register`, `node --import keepwire/register`, `bun --preload keepwire/register`,
// `deno run --preload npm:keepwire/register`: install() before the program starts. In the environment, KEEPWIRE_FETCH=1 makes it
// install({ fetch: true }), and KEEPWIRE_DASHBOARD=9230 starts the dashboard.

const rooms = require('./load.js')

rooms.install({ fetch: process.env.KEEPWIRE_FETCH === '1' })
if (process.env.KEEPWIRE_DASHBOARD) rooms.dashboard.fromEnvironment()
