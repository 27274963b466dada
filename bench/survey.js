'use strict'

// Every case in which keepwire could be slower than what it replaces, with what is aimed at in each: `npm run bench -- --survey`.

const { LARGE_BYTES, SMALL_BYTES } = require('./cases.js')

const MEGABYTE = 1024 * 1024
const SIDES = ['keepwire', 'own', 'runtime']
const FETCH_SIDES = ['keepwire', 'runtime']

/**
 * What our sides are to reach beside the runtime's agent: [by the agent, by our own request].
 * @param {string} metric
 * @param {'atLeast' | 'atMost'} bound
 * @param {(number | undefined)[]} figures
 */
function aims(metric, bound, [agent, own]) {
  const all = [
    { side: 'keepwire', figure: agent },
    { side: 'own', figure: own },
  ]
  return all
    .filter(({ figure }) => figure !== undefined)
    .map(({ side, figure }) => ({ side, metric, peer: 'runtime', [bound]: figure }))
}

const faster = (agent, own) => aims('perSecond', 'atLeast', [agent, own])
const cheaper = (agent, own) => aims('jsMicros', 'atMost', [agent, own])
const sooner = (agent, own) => aims('medianMicros', 'atMost', [agent, own])

/** @param {number} clients each with a connection of its own @param {object} more */
function small(clients, more) {
  return { clients, maxSockets: clients, path: '/small', bytes: SMALL_BYTES, sides: SIDES, ...more }
}

/** @param {number} clients @param {object} more */
function large(clients, more) {
  return { clients, maxSockets: clients, path: '/large', bytes: LARGE_BYTES, sides: SIDES, ...more }
}

/** One after another, where only latency counts. */
const oneByOne = [
  small(1, { name: 'one', title: 'GET, one after another', timed: true, aims: sooner(1, 0.9) }),
  small(1, {
    name: 'one-https',
    title: 'GET over TLS, one after another',
    secure: true,
    timed: true,
    aims: sooner(1, 0.9),
  }),
  small(1, {
    name: 'one-post',
    title: 'POST of 1 KB, one after another',
    postBytes: 1024,
    timed: true,
    aims: sooner(1, 0.9),
  }),
  ...[
    [0.1, '0.1 ms'],
    [1, '1 ms'],
    [10, '10 ms'],
  ].map(([ms, words]) =>
    small(1, {
      name: `one-after-${ms}`,
      title: `GET, one after another, of a server that takes ${words}`,
      path: `/after/${ms}`,
      slow: true,
      timed: true,
      aims: sooner(1, 1),
    }),
  ),
]

const many = [
  small(4, { name: 'get-4', title: 'GET, 4 clients', aims: faster(1.2, 1.6) }),
  small(10, { name: 'get-10', title: 'GET, 10 clients', aims: faster(1.2, 1.6) }),
  small(50, { name: 'get-50', title: 'GET, 50 clients', aims: [...faster(1.5, 2.2), ...cheaper(0.35, 0.13)] }),
  small(250, { name: 'get-250', title: 'GET, 250 clients', aims: faster(1.5, 2.2) }),
  small(50, { name: 'post-50', title: 'POST of 1 KB, 50 clients', postBytes: 1024, aims: faster(1.4, 1.9) }),
  small(50, { name: 'queue-50', title: 'GET, 50 clients over maxSockets 10', maxSockets: 10, aims: faster(1.15, 1.8) }),
  small(50, { name: 'https-50', title: 'GET over TLS, 50 clients', secure: true, aims: faster(1.7, 2.5) }),
  small(50, {
    name: 'origins-5000',
    title: 'GET, 50 clients, 5,000 origins in turn',
    origins: 5000,
    maxSockets: 1,
    aims: cheaper(1, 1),
  }),
]

const bodies = [
  large(1, { name: 'large-1', title: 'body of 1 MB, one after another', aims: faster(1.2, 1.2) }),
  large(8, { name: 'large-8', title: 'body of 1 MB, 8 clients', aims: faster(1.2, 1.2) }),
  large(1, {
    name: 'large-https-1',
    title: 'body of 1 MB over TLS, one after another',
    secure: true,
    aims: faster(1.05, 1.05),
  }),
  large(8, {
    name: 'large-https-8',
    title: 'body of 1 MB over TLS, 8 clients',
    secure: true,
    aims: faster(1.05, 1.05),
  }),
  small(8, { name: 'put-8', title: 'PUT of 1 MB, 8 clients', postBytes: MEGABYTE, aims: faster(1, 1) }),
  small(8, {
    name: 'put-https-8',
    title: 'PUT of 1 MB over TLS, 8 clients',
    postBytes: MEGABYTE,
    secure: true,
    aims: faster(1, 1),
  }),
  small(1, {
    name: 'put-stream',
    title: 'PUT of 100 MB in pieces of 64 KB',
    streamBytes: 100 * MEGABYTE,
    path: '/after/0',
    slow: true,
    aims: faster(1, 1),
  }),
]

/** What ordinary programs do to a request or its response beyond the least: side/touches.js. */
const touches = Object.entries({
  setHeader: 'setHeader() before end()',
  setTimeout: 'setTimeout()',
  timeout: 'the option timeout',
  signal: 'the option signal',
  write: 'a body by write() and end()',
  setEncoding: 'the body as text by setEncoding()',
  iterate: 'the body by for await',
  pipe: 'the body by pipe()',
}).map(([touch, title]) =>
  small(50, { name: `touch-${touch}`, title: `GET, ${title}, 50 clients`, touch, aims: cheaper(1, 1) }),
)

const fetches = [
  small(1, {
    name: 'fetch-1',
    title: 'fetch, one after another',
    fetch: true,
    sides: FETCH_SIDES,
    timed: true,
    aims: faster(2),
  }),
  small(50, { name: 'fetch-50', title: 'fetch, 50 clients', fetch: true, sides: FETCH_SIDES, aims: faster(9) }),
  large(8, {
    name: 'fetch-large-8',
    title: 'fetch, body of 1 MB, 8 clients',
    fetch: true,
    sides: FETCH_SIDES,
    aims: faster(1),
  }),
  small(8, {
    name: 'fetch-put-8',
    title: 'fetch, PUT of 1 MB, 8 clients',
    fetch: true,
    postBytes: MEGABYTE,
    sides: FETCH_SIDES,
    aims: faster(1),
  }),
]

/**
 * Through a proxy, beside the same past it, and past it to a server that is as far away: who waits longer for responses is woken for fewer
 * at a time, so with many clients only the last is like.
 */
const proxied = Object.entries({ keepwire: 'the agent', own: 'our own request', fetch: 'fetch' }).flatMap(
  ([by, words]) =>
    [1, 50].flatMap((clients) =>
      [false, true].map((secure) =>
        small(clients, {
          name: `${by === 'keepwire' ? '' : `${by}-`}proxied${secure ? '-https' : ''}-${clients}`,
          title: `GET${secure ? ' over TLS' : ''} through a proxy by ${words}, ${clients === 1 ? 'one after another' : `${clients} clients`}`,
          secure,
          proxied: true,
          fetch: by === 'fetch',
          sides: [by === 'own' ? 'own' : 'keepwire', 'relayed', 'straight'],
          aims: (clients === 1 ? ['straight', 'relayed'] : ['relayed']).map((peer) => ({
            metric: 'jsMicros',
            peer,
            atMost: 1.05,
          })),
        }),
      ),
    ),
)

const survey = [...oneByOne, ...many, ...bodies, ...touches, ...fetches, ...proxied]

module.exports = { survey }
