// The dashboard's page: which view is shown, what it is told, keys.

import { h, say, set } from './dom.mjs'
import { time } from './format.mjs'
import { originPage } from './origin.mjs'
import { originsPage } from './origins.mjs'
import { proxiesPage } from './proxies.mjs'
import { Store } from './store.mjs'
import { advicePage, eventsPage, overviewPage } from './views.mjs'

const PAGES = [
  ['overview', 'Overview', overviewPage],
  ['origins', 'Origins', originsPage],
  ['proxies', 'Proxies', proxiesPage],
  ['events', 'Events', eventsPage],
  ['advice', 'Advice', advicePage],
]
const DEFAULT_TITLE = 'keepwire'

const main = document.getElementById('main')
const health = document.getElementById('health')
const about = document.getElementById('about')
const root = document.documentElement
const badge = h('span', { class: 'badge', hidden: true })
const links = PAGES.map(([id, title]) => h('a', { href: `#/${id}`, 'data-page': id }, title))
links.at(-1).append(badge)
document.getElementById('nav').append(...links)

const store = new Store(update)
let view = null

function originOf(hash) {
  const [, name] = /^#\/origin\/(.+)$/.exec(hash) ?? []
  try {
    return name === undefined ? null : decodeURIComponent(name)
  } catch {
    return null
  }
}

function show() {
  const { hash } = location
  const origin = originOf(hash)
  const [id, title, make] = PAGES.find(([name]) => hash === `#/${name}`) ?? PAGES[origin === null ? 0 : 1]
  for (const link of links) set(link, 'aria-current', link.dataset.page === id ? 'page' : null)
  view = origin === null ? make(store) : originPage(store, origin)
  main.replaceChildren(view.element)
  main.dataset.page = origin === null ? id : 'origin'
  document.title = `${origin ?? title} · ${DEFAULT_TITLE}`
  store.watch({ origin, proxies: origin === null && id === 'proxies' })
  update()
}

function update() {
  set(health, 'data-level', store.health.level)
  say(health.lastElementChild, store.health.text)
  const { keepwire, pid, runtime, startedAt } = store.about
  if (pid !== undefined)
    say(about, `process ${pid} · ${runtime} · keepwire ${keepwire} · up ${time(Date.now() - startedAt)}`)
  badge.hidden = store.advice.length === 0
  say(badge, String(store.advice.length))
  // Nobody sees what is hidden: it is told again when it is shown.
  if (!document.hidden) view?.update()
}

const prefersDark = matchMedia('(prefers-color-scheme: dark)')
let theme = localStorage.getItem('keepwire-theme')

function paint() {
  root.dataset.theme = theme ?? (prefersDark.matches ? 'dark' : 'light')
  view?.update()
}

function otherTheme() {
  theme = root.dataset.theme === 'dark' ? 'light' : 'dark'
  localStorage.setItem('keepwire-theme', theme)
  paint()
}

function key(event) {
  if (event.ctrlKey || event.metaKey || event.altKey) return
  const isTyping = event.target instanceof HTMLInputElement
  if (event.key === 'Escape' && isTyping) event.target.blur()
  if (isTyping) return
  const page = PAGES[Number(event.key) - 1]
  const filter = document.getElementById('filter')
  if (page !== undefined) location.hash = `#/${page[0]}`
  else if (event.key === 't') otherTheme()
  else if (event.key === '/' && filter !== null) {
    event.preventDefault()
    filter.focus()
  }
}

addEventListener('hashchange', show)
addEventListener('keydown', key)
document.addEventListener('visibilitychange', update)
document.querySelector('.skip').addEventListener('click', (event) => {
  // The address says which page is shown.
  event.preventDefault()
  main.focus()
})
document.getElementById('theme').addEventListener('click', otherTheme)
prefersDark.addEventListener('change', paint)
paint()
show()
