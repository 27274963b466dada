// The page of proxies: what is open through each, and what they refused.

import { h, keyed, say } from './dom.mjs'
import { clock, count, ms, percent } from './format.mjs'
import { address } from './origins.mjs'
import { commonest, listPage, stateColumn, summed } from './table.mjs'

const classesOf = (failures) => (failures > 0 ? 'failed' : 'zero')

/** Of connections that a proxy has let through, and requests that found one. */
const served = ({ opened, reused }) => opened + reused

function updateTargets({ children: [details] }, { targetCount, targets }) {
  const [summary, list] = details.children
  details.hidden = targetCount === 0
  say(summary, targetCount === 1 ? '1 origin' : `${count(targetCount)} origins`)
  const told = Object.entries(targets)
  keyed(
    list,
    told,
    ([name]) => name,
    ([name]) => h('li', {}, h('a', { href: address(name) }, name), ' ', h('span')),
    (item, [, open]) => say(item.lastElementChild, count(open)),
  )
}

const COLUMNS = [
  {
    id: 'name',
    heading: 'Proxy',
    by: ({ name }) => name,
    make: ({ name }) => h('td', {}, h('code', {}, name)),
  },
  stateColumn('connections', 'Connections', (proxy, state) => proxy[state]),
  {
    id: 'reused',
    heading: 'Reused',
    by: (proxy) => (served(proxy) ? proxy.reused / served(proxy) : -1),
    text: (proxy) => percent(proxy.reused, served(proxy)),
    small: ({ opened }) => `${count(opened)} opened`,
  },
  {
    id: 'connect',
    heading: 'CONNECT',
    by: ({ proxyMs }) => proxyMs.p50,
    text: ({ proxyMs }) => ms(proxyMs.p50),
    small: ({ proxyMs }) => (proxyMs.count > 0 ? `p99 ${ms(proxyMs.p99)}` : ''),
  },
  {
    id: 'refused',
    heading: 'Refused',
    by: ({ refused }) => summed(refused),
    text: ({ refused }) => count(summed(refused)),
    small: ({ refused }) => commonest(Object.entries(refused)),
    classes: ({ refused }) => classesOf(summed(refused)),
  },
  {
    id: 'failed',
    heading: 'Failed',
    by: ({ errors }) => summed(errors),
    text: ({ errors }) => count(summed(errors)),
    small: ({ errors }) => commonest(Object.entries(errors)),
    classes: ({ errors }) => classesOf(summed(errors)),
  },
  {
    id: 'last',
    heading: 'Last error',
    by: ({ lastError }) => lastError?.at ?? 0,
    text: ({ lastError }) => lastError?.message ?? '–',
    small: ({ lastError }) => (lastError === null ? '' : `${lastError.code} at ${clock(lastError.at)}`),
    classes: ({ lastError }) => (lastError === null ? 'zero' : 'words'),
  },
  {
    id: 'targets',
    heading: 'Leads to',
    by: ({ targetCount }) => targetCount,
    make: () => h('td', { 'data-label': 'Leads to' }, h('details', {}, h('summary'), h('ul', { class: 'targets' }))),
    update: updateTargets,
  },
]

export function proxiesPage(store) {
  return listPage({
    all: () => store.proxies,
    columns: COLUMNS,
    first: 'connections',
    kind: 'proxy',
    nothing: 'No request has gone through a proxy.',
    title: 'Proxies',
  })
}
