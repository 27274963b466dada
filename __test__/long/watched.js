'use strict'

// What a dashboard costs a program with many connections: see HELP.

const { runScript } = require('../support/child')

const HELP = `npm run watched [-- connections [looks [origins]]]

256 origins with so many connections each (40 unless told otherwise, as many as descriptors allow: two processes have one each), all of
them in use while somebody looks once a second, 30 times at each of three pages: the overview, one origin, proxies. Prints what
a look takes of the JavaScript thread. Ends with code 1 if that is more than 5 ms. What a dashboard costs at which nobody looks: npm run bench
-- --case watched.`

/** Of an idle machine: the test, which any machine runs, compares with requests. */
const MOST_MS = 5

async function main() {
  const [connections = 40, looks = 30, origins = 256] = process.argv.slice(2).map(Number)
  if (![connections, looks, origins].every((number) => number > 0)) throw new Error(HELP)
  const { code, lines, stderr } = await runScript('watched', [origins, connections, looks, 1000], {
    deadlineMs: 120_000 + 3 * 1500 * looks,
  })
  if (code !== 0) throw new Error(stderr || `the process ended with ${code}`)
  for (const { changed, ms, open, view } of lines) {
    const verdict = ms <= MOST_MS ? '✓' : `✗ more than ${MOST_MS} ms`
    console.log(`${view}: ${ms.toFixed(2)} ms a look, ${open} connections open, ${changed} origins in use ${verdict}`)
  }
  if (lines.some(({ ms }) => !(ms <= MOST_MS))) process.exitCode = 1
}

if (process.argv.includes('--help')) console.log(HELP)
else {
  main().catch((error) => {
    console.error(error.message)
    process.exit(1)
  })
}
