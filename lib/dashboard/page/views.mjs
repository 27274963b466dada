// The pages of the whole: overview, events, advice.

import { lineChart, stackChart } from './charts.mjs'
import { h, keyed, say } from './dom.mjs'
import { bytes, clock, count, ms, percent, rate, time } from './format.mjs'
import { address, originTable } from './origins.mjs'
import { POINT } from './store.mjs'

const BUSIEST = 8
const LAST_EVENTS = 6

function sumOf(store, field) {
  let sum = 0
  for (const origin of store.origins.values()) sum += origin.get(field)
  return sum
}

/** What reuse has saved: each connection that was there already, and the time that opening one takes there. */
function saved(store) {
  let spared = 0
  for (const origin of store.origins.values()) {
    const opened = origin.get('connect.count')
    if (opened > 0) spared += (origin.get('reused') * origin.get('connect.sum')) / opened
  }
  return spared
}

function card(id, title, chart) {
  const figure = h('p', { class: 'figure', 'data-figure': id })
  const note = h('p', { class: 'note', 'data-note': id })
  const element = h('section', { class: 'card' }, h('h2', {}, title), figure, note, chart.element)
  return {
    element,
    tell(value, unit, text) {
      if (figure.textContent !== `${value}${unit}`) figure.replaceChildren(value, h('small', {}, unit))
      say(note, text)
    },
  }
}

const LEGEND = [
  ['leased', 'busy'],
  ['idle', 'idle'],
  ['dialing', 'dialing'],
]

export function overviewPage(store) {
  const charts = {
    requests: lineChart('Requests answered a second', (value) => `${rate(value)}/s`),
    reused: lineChart(
      'Requests on a connection that was there already, in percent',
      (value) => `${value.toFixed(1)} %`,
      { least: 100 },
    ),
    connections: stackChart('Connections by state', ['leased', 'idle', 'dialing']),
    queued: lineChart('Requests that wait for a connection', (value) => count(value)),
    failed: lineChart('Failures a second', (value) => `${rate(value)}/s`, { classes: 'failing' }),
    traffic: lineChart('Bytes a second', (value) => `${bytes(value)}/s`),
  }
  const cards = {
    requests: card('requests', 'Requests', charts.requests),
    reused: card('reused', 'Connections reused', charts.reused),
    connections: card('connections', 'Open connections', charts.connections),
    queued: card('queued', 'Waiting for a connection', charts.queued),
    failed: card('failed', 'Failures', charts.failed),
    traffic: card('traffic', 'Traffic', charts.traffic),
  }
  const table = originTable(['name', 'requests', 'connections', 'queue', 'reused', 'firstByte', 'failed'])
  const events = h('ul', { class: 'events' })
  const noEvents = h('div', { class: 'empty' }, 'Nothing has happened since somebody looks.')
  const element = h(
    'div',
    {},
    h('h1', { class: 'skip' }, 'Overview'),
    h('div', { class: 'cards' }, ...Object.values(cards).map((each) => each.element)),
    h(
      'section',
      { class: 'section' },
      h(
        'div',
        { class: 'row' },
        h('h2', {}, 'Busiest origins'),
        h('a', { class: 'end', href: '#/origins' }, 'All origins'),
      ),
      table.element,
    ),
    h(
      'section',
      { class: 'section' },
      h('div', { class: 'row' }, h('h2', {}, 'Last events'), h('a', { class: 'end', href: '#/events' }, 'All events')),
      h('div', { class: 'scroll' }, events, noEvents),
    ),
    h(
      'p',
      { class: 'keys' },
      ...[
        ['1–5', ' pages  '],
        ['/', ' filter  '],
        ['t', ' light or dark'],
      ].flatMap(([key, what]) => [h('kbd', {}, key), what]),
    ),
  )
  return {
    element,
    update() {
      const { history } = store
      const last = history.at(-1)
      const now = (name) => last?.[POINT[name]] ?? 0
      const line = (name) => history.map((point) => [point[0], point[POINT[name]]])
      const [created, reused] = ['created', 'reused'].map((field) => sumOf(store, field))
      const answered = [...store.origins.values()].reduce((sum, origin) => sum + origin.answered, 0)
      cards.requests.tell(
        rate(now('requests')),
        '/s',
        `${count(answered)} answered since ${clock(store.about.startedAt)}`,
      )
      charts.requests.update(line('requests'))
      const spared = saved(store)
      cards.reused.tell(
        percent(reused, reused + created),
        '',
        `${count(reused)} handshakes saved${spared > 0 ? `, ≈ ${spared < 1000 ? ms(spared) : time(spared)}` : ''} · ${count(created)} opened`,
      )
      charts.reused.update(
        history
          .filter((point) => point[POINT.reused] + point[POINT.created] > 0)
          .map((point) => [point[0], (100 * point[POINT.reused]) / (point[POINT.reused] + point[POINT.created])]),
      )
      const [busy, idle, dialing, queued] = ['leased', 'idle', 'dialing', 'queued'].map((field) => sumOf(store, field))
      cards.connections.tell(
        count(busy + idle),
        '',
        LEGEND.map(([, word], at) => `${count([busy, idle, dialing][at])} ${word}`).join(' · '),
      )
      charts.connections.update(
        history.map((point) => [point[0], point[POINT.leased], point[POINT.idle], point[POINT.dialing]]),
      )
      const waiting = [...store.origins.values()].filter((origin) => origin.get('queued') > 0)
      cards.queued.tell(
        count(queued),
        '',
        waiting.length === 0
          ? 'no request waits'
          : `at ${waiting.length === 1 ? waiting[0].name : `${waiting.length} origins`}`,
      )
      charts.queued.update(line('queued'))
      const failed = sumOf(store, 'failed')
      cards.failed.tell(rate(now('failed')), '/s', failed === 0 ? 'none so far' : `${count(failed)} so far`)
      charts.failed.update(line('failed'))
      cards.traffic.tell(
        bytes(now('sent') + now('received')),
        '/s',
        `${bytes(now('sent'))} out · ${bytes(now('received'))} in`,
      )
      charts.traffic.update(history.map((point) => [point[0], point[POINT.sent] + point[POINT.received]]))
      const busiest = [...store.origins.values()]
        .sort((one, other) => other.requestsPerSecond - one.requestsPerSecond || other.answered - one.answered)
        .slice(0, BUSIEST)
      table.update(busiest)
      const newest = store.events.slice(-LAST_EVENTS).reverse()
      noEvents.hidden = newest.length > 0
      keyed(events, newest, ({ id }) => id, eventLine)
    },
  }
}

function eventLine({ at, connection, kind, origin, text }) {
  const words = connection === null ? text : `#${connection} ${text}`
  return h(
    'li',
    { 'data-kind': kind },
    h('time', { datetime: new Date(at).toISOString() }, clock(at)),
    h('span', { class: 'kind', 'data-kind': kind }, kind),
    h('a', { class: 'where', href: address(origin) }, origin),
    h('span', { class: 'text' }, words),
  )
}

const KINDS = ['opened', 'closed', 'queued', 'resent', 'moved', 'passed-over', 'failed', 'fallback']

export function eventsPage(store) {
  const hidden = new Set()
  let frozen = null
  const filter = h('input', {
    type: 'search',
    id: 'filter',
    placeholder: 'Filter by origin or text  (/)',
    'aria-label': 'Filter events',
    oninput: () => update(),
  })
  const kinds = KINDS.map((kind) => {
    const button = h('button', { type: 'button', 'aria-pressed': 'true', 'data-kind': kind }, kind)
    button.addEventListener('click', () => {
      if (!hidden.delete(kind)) hidden.add(kind)
      button.setAttribute('aria-pressed', String(!hidden.has(kind)))
      update()
    })
    return button
  })
  const hold = h('button', { type: 'button' }, 'Pause')
  hold.addEventListener('click', () => {
    frozen = frozen === null ? [...store.events] : null
    say(hold, frozen === null ? 'Pause' : 'Go on')
    update()
  })
  const list = h('ul', { class: 'events' })
  const empty = h('div', { class: 'empty' })
  const element = h(
    'div',
    {},
    h(
      'div',
      { class: 'row' },
      h('h1', {}, 'Events'),
      h('span', { class: 'dim' }, 'The last 500, while somebody looks.'),
      h(
        'span',
        { class: 'end row' },
        hold,
        h('a', { class: 'button', href: 'events.ndjson', download: true }, 'Download NDJSON'),
      ),
    ),
    h('div', { class: 'row', role: 'group', 'aria-label': 'Kinds of events' }, ...kinds, filter),
    h('div', { class: 'scroll' }, list, empty),
  )
  function update() {
    const wanted = filter.value.trim().toLowerCase()
    const all = frozen ?? store.events
    const found = all.filter(
      ({ kind, origin, text }) => !hidden.has(kind) && `${origin} ${text}`.toLowerCase().includes(wanted),
    )
    empty.hidden = found.length > 0
    say(empty, all.length === 0 ? 'Nothing has happened since somebody looks.' : 'No event is like that.')
    keyed(list, found.reverse(), ({ id }) => id, eventLine)
  }
  return { element, update }
}

export function advicePage(store) {
  const list = h('div', { class: 'advice' })
  const empty = h(
    'div',
    { class: 'card empty' },
    'There is nothing to change: connections are reused as well as they can be.',
  )
  const element = h(
    'div',
    {},
    h(
      'div',
      { class: 'row' },
      h('h1', {}, 'Advice'),
      h('span', { class: 'dim' }, 'What could be better, and what to change.'),
    ),
    list,
    empty,
  )
  return {
    element,
    update() {
      empty.hidden = store.advice.length > 0
      keyed(
        list,
        store.advice,
        ({ id, origin }) => `${id} ${origin}`,
        ({ id, origin, see }) =>
          h(
            'section',
            { class: 'card', 'data-advice': id },
            h('h2'),
            h('p'),
            h(
              'p',
              { class: 'note' },
              origin === null ? 'The whole process' : h('a', { href: address(origin) }, origin),
              ` · docs/${see}`,
            ),
          ),
        (element, { change, what }) => {
          say(element.children[0], what)
          say(element.children[1], change.replaceAll('`', ''))
        },
      )
    },
  }
}
