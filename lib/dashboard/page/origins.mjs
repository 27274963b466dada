// The page of all origins, and its table, of which the overview shows a part.

import { h } from './dom.mjs'
import { count, ms, percent, rate } from './format.mjs'
import { commonest, listPage, listTable, stateColumn, summed } from './table.mjs'

export const address = (name) => `#/origin/${encodeURIComponent(name)}`

const lifecycle = (origin) => ['retried', 'moved', 'passedOver'].map((field) => origin.get(field))

const COLUMNS = [
  {
    id: 'name',
    heading: 'Origin',
    by: (origin) => origin.name,
    make: (origin) => h('td', {}, h('a', { href: address(origin.name) }, origin.name)),
  },
  {
    id: 'requests',
    heading: 'Requests/s',
    by: (origin) => origin.requestsPerSecond,
    text: (origin) => rate(origin.requestsPerSecond),
    small: (origin) => `${count(origin.answered)} answered`,
  },
  stateColumn('connections', 'Connections', (origin, state) => origin.get(state)),
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
    small: (origin) => (origin.get('proxy.count') > 0 ? `proxy ${ms(origin.get('proxy.p50'))}` : ''),
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

/** Some columns of it, in one order. */
export function originTable(columns) {
  return listTable(
    'origin',
    COLUMNS.filter(({ id }) => columns.includes(id)),
  )
}

export function originsPage(store) {
  return listPage({
    all: () => [...store.origins.values()],
    columns: COLUMNS,
    first: 'requests',
    kind: 'origin',
    nothing: 'No request has been made yet.',
    title: 'Origins',
  })
}
