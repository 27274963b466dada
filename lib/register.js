'use strict'

// `node --require keepwire/register`, `node --import keepwire/register`, `bun --preload keepwire/register`,
// `deno run --preload npm:keepwire/register`: install() before the program starts. With KEEPWIRE_FETCH=1 in the environment,
// install({ fetch: true }).

require('./load.js').install.install({ fetch: process.env.KEEPWIRE_FETCH === '1' })
