// The page of all origins, and its table, of which the overview shows a part.

import { h, keyed, say, set } from './dom.mjs'
import { count, ms, percent, rate } from './format.mjs'

export const address = (name) => `#/origin/${encodeURIComponent(name)}`

const STATES = ['leased', 'idle', 'dialing']

function summed(counts) {
  return Object.values(counts).reduce((sum, times) => sum + times, 0)
}

/** The commonest first: "ECONNREFUSED 12". */
function commonest(pairs) {
  const [first, second] = [...pairs].sort(([, one], [, other]) => other - one)
  if (first === undefined) return ''
  return `${first[0]} ${count(first[1])}${second === undefined ? '' : ', …'}`
}

const lifecycle = (origin) => ['retried', 'moved', 'passedOver'].map((field) => origin.get(field))

/** A column: heading, what it is sorted by, its text, and a smaller one below. */
const COLUMNS = [
  { id: 'name', heading: 'Origin', by: (origin) => origin.name },
  {
    id: 'requests',
    heading: 'Requests/s',
    by: (origin) => origin.requestsPerSecond,
    text: (origin) => rate(origin.requestsPerSecond),
    small: (origin) => `${count(origin.answered)} answered`,
  },
  { id: 'connections', heading: 'Connections', by: (origin) => origin.get('leased') + origin.get('idle') },
  {
    id: 'limit',
    heading: 'Used / limit',
    by: (origin) => origin.usedShare,
    text: (origin) => origin.usage,
  },
  {
    id: 'queue',
    heading: 'Waiting',
    by: (origin) => origin.get('queued'),
    text: (origin) => count(origin.get('queued')),
    small: (origin) => `most ${count(origin.mostQueued)}`,
  },
  {
    id: 'reused',
    heading: 'Reused',
    by: (origin) => (origin.served ? origin.get('reused') / origin.served : -1),
    text: (origin) => percent(origin.get('reused'), origin.served),
    small: (origin) => `${count(origin.get('created'))} opened`,
  },
  {
    id: 'firstByte',
    heading: 'First byte',
    by: (origin) => origin.get('firstByte.p50'),
    text: (origin) => ms(origin.get('firstByte.p50')),
    small: (origin) => `p99 ${ms(origin.get('firstByte.p99'))}`,
  },
  {
    id: 'setup',
    heading: 'Name · TCP · TLS',
    by: (origin) => origin.get('connect.p50'),
    text: (origin) => ['dns', 'tcp', 'tls'].map((step) => ms(origin.get(`${step}.p50`))).join(' · '),
  },
  {
    id: 'closed',
    heading: 'Closed',
    by: (origin) => summed(Object.fromEntries(origin.closes())),
    text: (origin) => count(summed(Object.fromEntries(origin.closes()))),
    small: (origin) => commonest(origin.closes()),
  },
  {
    id: 'failed',
    heading: 'Failed',
    by: (origin) => origin.get('failed'),
    text: (origin) => count(origin.get('failed')),
    small: (origin) => commonest(Object.entries(origin.errors)),
    classes: (origin) => (origin.get('failed') > 0 ? 'failed' : 'zero'),
  },
  {
    id: 'lifecycle',
    heading: 'Resent · moved · passed over',
    by: (origin) => lifecycle(origin).reduce((sum, times) => sum + times, 0),
    text: (origin) => lifecycle(origin).map(count).join(' · '),
  },
]

function cellOf({ heading, id }, origin) {
  if (id === 'name') return h('td', {}, h('a', { href: address(origin.name) }, origin.name))
  if (id === 'connections') {
    const bar = h('div', { class: 'bar', role: 'img' }, ...STATES.map((state) => h('i', { class: state })))
    return h('td', { 'data-label': heading, class: 'bars' }, bar, h('small'))
  }
  return h('td', { 'data-label': heading }, h('span'), h('small'))
}

function updateCell(cell, { classes, id, small, text }, origin) {
  if (id === 'name') return
  if (id === 'connections') {
    const counts = STATES.map((state) => origin.get(state))
    const whole = Math.max(1, ...[counts.reduce((sum, value) => sum + value, 0)])
    const [bar, words] = cell.children
    counts.forEach((value, at) => {
      bar.children[at].style.width = `${(100 * value) / whole}%`
    })
    const told = `${counts[0]} busy, ${counts[1]} idle${counts[2] > 0 ? `, ${counts[2]} dialing` : ''}`
    set(bar, 'aria-label', told)
    say(words, told)
    return
  }
  const [main, below] = cell.children
  say(main, text(origin))
  say(below, small?.(origin) ?? '')
  if (classes !== undefined) set(main, 'class', classes(origin))
}

/** A table of origins; without a sort of its own where its user can't choose one. */
export function originTable(columns, sorting) {
  const shown = COLUMNS.filter(({ id }) => columns === undefined || columns.includes(id))
  const heads = shown.map((column) => {
    const { heading, id } = column
    if (sorting === undefined) return h('th', { scope: 'col' }, heading)
    return h(
      'th',
      { scope: 'col', 'data-column': id },
      h('button', { type: 'button', onclick: () => sorting.choose(id) }, heading),
    )
  })
  const body = h('tbody')
  const element = h(
    'div',
    { class: 'scroll' },
    h('table', { class: 'origins' }, h('thead', {}, h('tr', {}, ...heads)), body),
  )
  return {
    element,
    update(origins) {
      if (sorting !== undefined) {
        for (const [at, { id }] of shown.entries()) {
          set(heads[at], 'aria-sort', id === sorting.id ? (sorting.isDescending ? 'descending' : 'ascending') : null)
        }
      }
      keyed(
        body,
        origins,
        ({ name }) => name,
        (origin) => h('tr', { 'data-origin': origin.name }, ...shown.map((column) => cellOf(column, origin))),
        (row, origin) => {
          for (const [at, column] of shown.entries()) updateCell(row.children[at], column, origin)
        },
      )
    },
  }
}

const compare = (one, other) =>
  typeof one === 'string' ? one.localeCompare(other, 'en', { numeric: true }) : one - other

export function originsPage(store) {
  const sorting = {
    id: 'requests',
    isDescending: true,
    choose(id) {
      // Numbers are looked at from the largest on, names from A.
      sorting.isDescending = sorting.id === id ? !sorting.isDescending : id !== 'name'
      sorting.id = id
      update()
    },
  }
  const filter = h('input', {
    type: 'search',
    id: 'filter',
    placeholder: 'Filter origins  (/)',
    'aria-label': 'Filter origins',
    oninput: () => update(),
  })
  const told = h('span', { class: 'dim' })
  const table = originTable(undefined, sorting)
  const empty = h('div', { class: 'card empty' })
  const element = h(
    'div',
    {},
    h('div', { class: 'row' }, h('h1', {}, 'Origins'), told, h('span', { class: 'end' }, filter)),
    table.element,
    empty,
  )
  function update() {
    const wanted = filter.value.trim().toLowerCase()
    const all = [...store.origins.values()]
    const found = all.filter(({ name }) => name.toLowerCase().includes(wanted))
    const { by } = COLUMNS.find(({ id }) => id === sorting.id)
    const sign = sorting.isDescending ? -1 : 1
    found.sort((one, other) => sign * compare(by(one), by(other)) || compare(one.name, other.name))
    say(told, wanted === '' ? count(all.length) : `${count(found.length)} of ${count(all.length)}`)
    table.element.hidden = found.length === 0
    empty.hidden = found.length > 0
    say(empty, all.length === 0 ? 'No request has been made yet.' : 'No origin is called so.')
    table.update(found)
  }
  return { element, update }
}
