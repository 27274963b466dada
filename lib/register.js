'use strict'

// `node --require keepwire/register`, `node --import keepwire/register`, `bun --preload keepwire/register`,
// `deno run --preload npm:keepwire/register`: install() before the program starts.

require('./load.js').install.install()
