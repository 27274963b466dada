// What the page knows: what the stream has told so far.

/** Of one origin, seconds that are kept. */
const MOST_SECONDS = 300
const MOST_POINTS = 900
const MOST_EVENTS = 500
/** A stream that says nothing for so long has lost its process. */
const SILENCE_MS = 2500

/** Where things are in a point of the history. */
export const POINT = {
  at: 0,
  requests: 1,
  reused: 2,
  created: 3,
  failed: 4,
  sent: 5,
  received: 6,
  idle: 7,
  leased: 8,
  dialing: 9,
  queued: 10,
}

const STATUSES = ['other', '1xx', '2xx', '3xx', '4xx', '5xx']
const STATES = ['idle', 'leased', 'dialing', 'queued']

export class Store {
  about = {}
  advice = []
  events = []
  fields = new Map()
  health = { level: 'none', text: 'Connecting…' }
  history = []
  origins = new Map()
  /** What the page of proxies shows. */
  proxies = []
  /** Origins by their numbers in what is told. */
  #places = []
  words = { closes: {}, errors: {} }
  detail = null
  /** Of the origin that is looked at: a second's new times, by the ends of their buckets. */
  heats = { firstByte: [], wait: [] }
  #last = null
  #source = null
  #silence = undefined
  #wanted = { origin: null, proxies: false }

  constructor(changed) {
    this.changed = changed
  }

  /** Listens, and to one origin or to proxies more closely. */
  watch(wanted) {
    const { origin, proxies } = wanted
    const isKnown = this.#wanted.origin === origin && this.#wanted.proxies === proxies
    if (this.#source !== null && isKnown && this.#source.readyState !== EventSource.CLOSED) return
    this.#source?.close()
    this.#wanted = wanted
    this.detail = null
    this.heats = { firstByte: [], wait: [] }
    this.#last = null
    const more = origin !== null ? `?origin=${encodeURIComponent(origin)}` : proxies ? '?proxies' : ''
    const source = new EventSource(`events${more}`)
    source.addEventListener('hello', ({ data }) => this.#hello(JSON.parse(data)))
    source.addEventListener('sample', ({ data }) => this.#sample(JSON.parse(data)))
    source.addEventListener('error', () => this.#lost())
    this.#source = source
    this.#await()
  }

  #await() {
    clearTimeout(this.#silence)
    this.#silence = setTimeout(() => this.#lost(), SILENCE_MS)
  }

  #lost() {
    this.health = { level: 'bad', text: 'The process does not answer: it has ended, or it is too busy to.' }
    this.changed()
    // EventSource gives up on some errors.
    if (this.#source?.readyState === EventSource.CLOSED) setTimeout(() => this.watch(this.#wanted), 1000)
  }

  #hello({ events, fields, history, words, ...about }) {
    // Another process has other numbers.
    if (about.pid !== this.about.pid) this.origins.clear()
    this.about = about
    this.events = events
    this.words = words
    this.history = history
    this.fields = new Map(fields.map((name, at) => [name, at]))
    this.#await()
  }

  #sample({ advice, at, detail = null, events, health, isWhole, names, point, proxies, rows, tallies }) {
    this.#await()
    this.health = health
    if (advice !== undefined) this.advice = advice
    if (proxies !== undefined) this.proxies = proxies
    if (isWhole) this.#forget(new Set(names))
    for (const name of names) this.#places.push(this.#row(name))
    for (const [place, ...changed] of rows) this.#places[place].take(changed)
    for (const [place, errors, fallbacks] of tallies) Object.assign(this.#places[place], { errors, fallbacks })
    for (const origin of this.origins.values()) origin.tick(at)
    if (point !== null && this.history.at(-1)?.[0] !== point[0]) this.history.push(point)
    this.history.splice(0, this.history.length - MOST_POINTS)
    const newest = this.events.at(-1)?.id ?? 0
    this.events.push(...events.filter(({ id }) => id > newest))
    this.events.splice(0, this.events.length - MOST_EVENTS)
    if (detail !== null) this.#heat(detail)
    this.detail = detail
    this.changed()
  }

  /** All is told anew. */
  #forget(names) {
    this.#places = []
    for (const name of [...this.origins.keys()]) {
      if (names.has(name)) this.origins.get(name).forget()
      else this.origins.delete(name)
    }
  }

  #row(name) {
    const origin = this.origins.get(name) ?? new Origin(name, this.fields)
    this.origins.set(name, origin)
    return origin
  }

  #heat(detail) {
    for (const kind of ['firstByte', 'wait']) {
      const now = new Map()
      for (let at = 0; at < detail[kind].length; at += 2) now.set(detail[kind][at], detail[kind][at + 1])
      const before = this.#last?.[kind]
      if (before !== undefined) {
        const grown = [...now].map(([end, times]) => [end / 1000, times - (before.get(end) ?? 0)])
        this.heats[kind].push(grown.filter(([, times]) => times > 0))
        if (this.heats[kind].length > 120) this.heats[kind].shift()
      }
      this.#last = { ...this.#last, [kind]: now }
    }
  }
}

class Origin {
  errors = {}
  fallbacks = {}
  /** A second each: when, then how many connections are in each state, and requests waiting. */
  states = []
  requestsPerSecond = 0
  mostQueued = 0
  #numbers = []
  #at = undefined
  #answered = undefined

  constructor(name, fields) {
    this.name = name
    this.fields = fields
  }

  /** Nothing is known of it; what is not told from here on is 0. */
  forget() {
    this.#numbers = []
    this.errors = {}
    this.fallbacks = {}
  }

  /** Fields and what each is now. */
  take(changed) {
    for (let at = 0; at < changed.length; at += 2) this.#numbers[changed[at]] = changed[at + 1]
    this.mostQueued = Math.max(this.mostQueued, this.get('queued'))
  }

  tick(at) {
    const { answered } = this
    if (this.#at !== undefined && at > this.#at) {
      this.requestsPerSecond = Math.max(0, (1000 * (answered - this.#answered)) / (at - this.#at))
    }
    this.#at = at
    this.#answered = answered
    this.states.push([at, ...STATES.map((state) => this.get(state))])
    if (this.states.length > MOST_SECONDS) this.states.shift()
  }

  get(field) {
    return this.#numbers[this.fields.get(field)] ?? 0
  }

  get answered() {
    return STATUSES.reduce((sum, status) => sum + this.get(status), 0)
  }

  /** Requests that got a connection. */
  get served() {
    return this.get('created') + this.get('reused')
  }

  /** Connections in use and how many there may be; without agents there is no limit to tell. */
  get usage() {
    const limit = this.get('limit')
    const inUse = this.get('leased') + this.get('dialing')
    return `${inUse} / ${limit > 0 ? limit.toLocaleString('en') : limit < 0 ? '∞' : '–'}`
  }

  /** Of its limit. */
  get usedShare() {
    return this.get('limit') > 0 ? (this.get('leased') + this.get('dialing')) / this.get('limit') : 0
  }

  closes() {
    const all = [...this.fields.keys()].filter((name) => name.startsWith('closed.'))
    const pairs = all.map((name) => [name.slice('closed.'.length), this.get(name)])
    return pairs.filter(([, times]) => times > 0).sort(([, one], [, other]) => other - one)
  }
}
