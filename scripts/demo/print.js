'use strict'

// Everything that the demo says.

const COLUMNS = [
  { head: ['connections', 'opened'], width: 12, cell: (row) => String(row.connections) },
  { head: ['round', 'trip'], width: 10, cell: (row) => milliseconds(row.roundTripMs), measured: 'roundTripMs' },
  { head: ['first', 'latency'], width: 11, cell: (row) => milliseconds(row.firstMs) },
  { head: ['later', 'latency'], width: 11, cell: (row) => milliseconds(row.laterMs) },
  { head: ['connection', 'overhead saved'], width: 16, cell: (row) => percent(row.savedPercent) },
  { head: ['all done', 'after'], width: 10, cell: ({ wallMs }) => seconds(wallMs) },
]
const NAME_WIDTH = 28
const BAR_WIDTH = 60

const say = (line = '') => console.log(line)
const milliseconds = (value) => `${value.toFixed(1)} ms`
const seconds = (ms) => `${(ms / 1000).toFixed(2)} s`
const percent = (value) => (value === null ? '–' : `${value.toFixed(1)} %`)

function runtimeName() {
  if (process.versions.bun) return 'Bun'
  return process.versions.deno ? 'Deno' : 'Node'
}

function heading(where) {
  const version = process.versions.bun ?? process.versions.deno ?? process.versions.node
  say(`keepwire demo · ${runtimeName()} ${version} · ${where}`)
  say('Every side uses the unmodified http.get of node:http; only the agent differs.')
}

function embeddedIntroduction(oneWayMs) {
  heading('an embedded server behind an emulated link')
  say(
    `The link adds ${oneWayMs} ms each way; the round trip is what an exchange on an open plain socket took meanwhile.`,
  )
  say('A new connection costs one round trip (TCP handshake) more; the link emulates it by holding the first bytes.')
  say('Connections are counted by the server.')
}

function remoteIntroduction(url, total) {
  heading(url.host)
  say(`${total} requests altogether to ${url.href}. Connections are counted here, by their sockets.`)
}

function title(text) {
  say()
  say(text)
  say()
}

function tableHead(row) {
  for (const line of [0, 1]) say(cells('', row, ({ head }) => head[line]))
}

function tableRow(name, row) {
  say(cells(`  ${name}`, row, ({ cell }) => cell(row)))
}

/** A line with a cell for each column that was measured for `row`. */
function cells(name, row, cellOf) {
  const columns = COLUMNS.filter(({ measured }) => !measured || row[measured] !== undefined)
  return name.padEnd(NAME_WIDTH) + columns.map((column) => cellOf(column).padStart(column.width)).join('')
}

/** When all was done, as bars. @param {{ name: string, wallMs: number }[]} sides */
function chart(sides) {
  const longest = Math.max(...sides.map(({ wallMs }) => wallMs))
  say()
  for (const { name, wallMs } of sides) {
    const bar = '█'.repeat(Math.max(1, Math.round((BAR_WIDTH * wallMs) / longest)))
    say(`${`  ${name}`.padEnd(NAME_WIDTH)} ${bar} ${seconds(wallMs)}`)
  }
}

function exactly(connections) {
  say()
  say(`  keepwire opened exactly ${connections} ${connections === 1 ? 'connection' : 'connections'}.`)
}

function definitions(overhead) {
  say()
  say('first latency: of the requests that open the connections (median); later: of all repeated requests.')
  say('In parallel, a latency starts when the request gets its connection: waiting for one is not part of it.')
  say(overhead)
}

function checks(list) {
  definitions(
    'connection overhead: time above one round trip a request, spent for connecting; its total over the repeated\n' +
      'requests is compared with that of a connection per request.',
  )
  say()
  for (const { text, reached } of list) say(`  ${reached ? '✓' : '✗'} ${text}`)
}

function remoteNotes(statuses) {
  definitions(
    'connection overhead: time from getting a socket until it was connected (name look-up and handshakes); its total\n' +
      'over the repeated requests is compared with that of a connection per request.',
  )
  const odd = [...statuses].filter((status) => status < 200 || status > 299)
  if (odd.length > 0) say(`The server answered with status ${odd.join(', ')}; redirections are not followed.`)
}

function paragraph(text) {
  say()
  say(text)
}

function usage() {
  say('npm run demo                        an embedded server behind a link with a round trip of 50 ms')
  say('npm run demo -- http://host/path    the same against that server, with few requests')
  say('npm run demo -- --dashboard         the pool at work under load of many kinds, as a page in the browser')
}

function howToLook() {
  say()
  say('To see the pool at work, under load: npm run demo -- --dashboard')
  say('In a program of yours:               KEEPWIRE_DASHBOARD=9230 node -r keepwire/register app.js')
}

function dashboardIsOpen(url) {
  say(`The dashboard of this process, under load of many kinds: ${url}`)
  say('Ctrl+C ends it.')
}

module.exports = {
  chart,
  checks,
  dashboardIsOpen,
  embeddedIntroduction,
  exactly,
  howToLook,
  paragraph,
  percent,
  remoteIntroduction,
  remoteNotes,
  runtimeName,
  tableHead,
  tableRow,
  title,
  usage,
}
