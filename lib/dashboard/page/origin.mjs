// The page of one origin.

import { heatMap, stackChart } from './charts.mjs'
import { h, keyed, say } from './dom.mjs'
import { bytes, count, ms, percent, rate, time } from './format.mjs'

const STATES = ['idle', 'leased', 'dialing', 'queued']

const FACTS = [
  ['requests', 'Requests/s', (origin) => rate(origin.requestsPerSecond)],
  ['answered', 'Answered', (origin) => count(origin.answered)],
  ['open', 'Open', (origin) => count(origin.get('idle') + origin.get('leased'))],
  ['limit', 'Used / limit', (origin) => origin.usage],
  ['queued', 'Waiting', (origin) => count(origin.get('queued'))],
  ['reused', 'Reused', (origin) => percent(origin.get('reused'), origin.served)],
  ['created', 'Opened', (origin) => count(origin.get('created'))],
  [
    'firstByte',
    'First byte p50 / p99',
    (origin) => `${ms(origin.get('firstByte.p50'))} / ${ms(origin.get('firstByte.p99'))}`,
  ],
  [
    'wait',
    'Wait p50 / p99 / most',
    (origin) => ['p50', 'p99', 'max'].map((part) => ms(origin.get(`wait.${part}`))).join(' / '),
  ],
  [
    'setup',
    'Name · TCP · proxy · TLS',
    (origin) => ['dns', 'tcp', 'proxy', 'tls'].map((step) => ms(origin.get(`${step}.p50`))).join(' · '),
  ],
  ['handshakes', 'TLS full / resumed', (origin) => `${count(origin.get('full'))} / ${count(origin.get('resumed'))}`],
  ['bytes', 'Sent / received', (origin) => `${bytes(origin.get('sentBytes'))} / ${bytes(origin.get('receivedBytes'))}`],
  ['failed', 'Failed', (origin) => count(origin.get('failed'))],
]

const HEADINGS = ['Connection', 'State', 'Age', 'Idle for', 'Requests', 'Peer', 'TLS', 'ALPN', 'Proxy']

const ORDER = { leased: 0, dialing: 1, idle: 2 }

function peerOf({ remoteAddress, remotePort }) {
  if (remoteAddress === null) return '–'
  return remoteAddress.includes(':') ? `[${remoteAddress}]:${remotePort}` : `${remoteAddress}:${remotePort}`
}

function cellsOf(connection) {
  const { ageMs, id, idleMs, proxy, state, tls, uses } = connection
  const secured = tls === null ? 'none' : `${tls.protocol} ${tls.cipher}`
  return [
    `#${id}`,
    state,
    time(ageMs),
    state === 'idle' ? time(idleMs) : '–',
    count(uses),
    peerOf(connection),
    secured,
    tls?.alpn ?? '–',
    proxy ?? '–',
  ]
}

/** In the order of their turns; requests have no names here. */
function updateWaiters(list, words, waiting, queued) {
  keyed(
    list,
    waiting.map((waitedMs, at) => ({ waitedMs, at })),
    ({ at }) => at,
    () => h('li'),
    (item, { waitedMs }) => say(item, time(waitedMs)),
  )
  const more = queued - waiting.length
  say(words, queued === 0 ? 'Nobody does.' : more > 0 ? `${count(more)} more wait.` : '')
}

/** Names and how often, as bars. */
function reasons(what) {
  const list = h('div', { class: 'reasons' })
  const nothing = h('p', { class: 'dim' }, what)
  let known = ''
  return {
    element: h('div', {}, list, nothing),
    update(pairs, words) {
      nothing.hidden = pairs.length > 0
      const now = JSON.stringify(pairs)
      if (now === known) return
      known = now
      const most = Math.max(1, ...pairs.map(([, times]) => times))
      list.replaceChildren(
        ...pairs.flatMap(([name, times]) => [
          h('span', { title: words[name] ?? '' }, name),
          h('meter', { max: most, value: times, 'aria-label': `${name}: ${words[name] ?? ''}` }),
          h('span', {}, count(times)),
        ]),
      )
    },
  }
}

export function originPage(store, name) {
  const facts = FACTS.map(([id, label]) => [h('dt', {}, label), h('dd', { 'data-fact': id })])
  const states = stackChart('Connections by state, and requests that wait', STATES, { classes: 'tall' })
  const firstByte = heatMap('Time to the first byte of responses, second by second')
  const wait = heatMap('How long requests waited for a connection, second by second')
  const closes = reasons('None was closed yet.')
  const errors = reasons('None failed.')
  const fallbacks = reasons('None fell back.')
  const body = h('tbody')
  const waiters = h('ol', { class: 'waiters' })
  const nobody = h('p', { class: 'dim' })
  const more = h('p', { class: 'note' })
  const card = (title, ...children) => h('section', { class: 'card' }, h('h2', {}, title), ...children)
  const element = h(
    'div',
    {},
    h('div', { class: 'row' }, h('h1', {}, name), h('a', { class: 'end', href: '#/origins' }, 'All origins')),
    h('dl', { class: 'facts' }, ...facts.map((pair) => h('div', {}, ...pair))),
    h(
      'div',
      { class: 'cards' },
      h(
        'section',
        { class: 'card wide' },
        h('h2', {}, 'Connections and who waits for one'),
        h(
          'div',
          { class: 'legend' },
          ...STATES.map((state) => h('span', { class: state }, state === 'leased' ? 'busy' : state)),
        ),
        states.element,
      ),
      card('Time to first byte', firstByte.element),
      card('Time in the queue', wait.element),
      card('Who waits, and for how long so far', waiters, nobody),
      card('Why connections were closed', closes.element),
      card('Requests that failed', errors.element),
      card("Requests on the runtime's own sockets", fallbacks.element),
    ),
    h(
      'section',
      { class: 'section' },
      h('h2', {}, 'Its connections'),
      more,
      h(
        'div',
        { class: 'scroll' },
        h(
          'table',
          { class: 'connections' },
          h('thead', {}, h('tr', {}, ...HEADINGS.map((heading) => h('th', { scope: 'col' }, heading)))),
          body,
        ),
      ),
    ),
  )
  return {
    element,
    update() {
      const origin = store.origins.get(name)
      if (origin === undefined) return
      for (const [at, [, , text]] of FACTS.entries()) say(facts[at][1], text(origin))
      states.update(origin.states)
      firstByte.update(store.heats.firstByte)
      wait.update(store.heats.wait)
      closes.update(origin.closes(), store.words.closes)
      errors.update(Object.entries(origin.errors), store.words.errors)
      fallbacks.update(Object.entries(origin.fallbacks), {})
      if (store.detail === null || store.detail.origin !== name) return
      const { connections, most, waiting } = store.detail
      updateWaiters(waiters, nobody, waiting, origin.get('queued'))
      connections.sort((one, other) => ORDER[one.state] - ORDER[other.state] || one.id - other.id)
      say(
        more,
        connections.length === most
          ? `${most} of them are shown.`
          : connections.length === 0
            ? 'It has none at the moment.'
            : '',
      )
      keyed(
        body,
        connections,
        ({ id }) => id,
        ({ id }) => h('tr', { 'data-connection': id }, ...HEADINGS.map(() => h('td'))),
        (row, connection) => {
          for (const [at, text] of cellsOf(connection).entries()) say(row.children[at], text)
        },
      )
    },
  }
}
