'use strict'

// `proxy-environment.js WAY URL…`: asks for each URL, one after another, by `theirs`, the runtime's own fetch, or `ours`, or `installed`;
// by `their request`, `our request` and `installed request`, without an agent. What comes of it is the proxies' to tell. With SET_GLOBALLY,
// the process is told of its environment by http.setGlobalProxyFromEnv(), asks, takes that back, and asks once more.

const http = require('node:http')
const https = require('node:https')

const [way, ...urls] = process.argv.slice(2)
const keepwire = way.startsWith('their') ? undefined : require('../../../index.js')
if (way.startsWith('installed')) keepwire?.install({ fetch: true })

/** @param {any} modules @param {string} url */
function request(modules, url) {
  return new Promise((resolve) => {
    const module = url.startsWith('https:') ? modules.https : modules.http
    const asked = module.get(url, (/** @type {any} */ response) => response.resume().on('end', resolve))
    asked.on('error', resolve)
  })
}

/** @type {Record<string, (url: string) => Promise<any>>} */
const WAYS = {
  theirs: (url) => fetch(url).then((response) => response.text()),
  ours: (url) => /** @type {any} */ (keepwire).fetch(url).then((/** @type {any} */ response) => response.text()),
  installed: (url) => fetch(url).then((response) => response.text()),
  'their request': (url) => request({ http, https }, url),
  'our request': (url) => request(keepwire, url),
  'installed request': (url) => request({ http, https }, url),
}

async function main() {
  const ask = async () => {
    for (const url of urls) await WAYS[way](url).catch(() => {})
  }
  const restore = process.env.SET_GLOBALLY ? /** @type {any} */ (http).setGlobalProxyFromEnv() : undefined
  await ask()
  restore?.()
  if (restore) await ask()
  process.exit()
}

main()
