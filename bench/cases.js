'use strict'

// What is measured, and what is aimed at. An aim compares keepwire's figure with a peer's: ours ÷ peer.

const SMALL_BYTES = 100
const LARGE_BYTES = 1024 * 1024
const POST_BYTES = 1024
const OWN_SIDES = ['own', 'keepwire', 'runtime', 'undici']
const FETCH_SIDES = ['keepwire', 'runtime']
const HTTP2_PEERS = ['http1', 'node-http2', 'undici']

/** The figures of a round; `better`: whether a larger or a smaller one is. */
const metrics = {
  perSecond: { title: 'requests/s', better: 'larger', digits: 0 },
  jsMicros: { title: 'JS thread µs', better: 'smaller', digits: 1 },
  otherMicros: { title: 'other threads µs', better: 'smaller', digits: 1 },
  medianMicros: { title: 'latency µs', better: 'smaller', digits: 0 },
}

/**
 * `clients` send one request after another each; `maxSockets` is the agent's. `bytes` is the length of the response's
 * body, checked for each response; `postBytes` that of the request's. `secure`: over TLS; `http2`: over HTTP/2 on one connection. `timed`: the
 * latency of each request is taken. `sides`: others than the usual, ours first.
 * `proxied`: through a proxy. `fetch`: by fetch(), ours and the runtime's. `touch`: what is done to request or response besides (side/touches.js). `slow`: of
 * slow-server.js. `streamBytes`: a request's body of so many, piped. `origins`: so many in turn.
 */
const cases = [
  {
    name: 'get',
    title: 'small GET, 50 connections',
    clients: 50,
    maxSockets: 50,
    path: '/small',
    bytes: SMALL_BYTES,
    aims: [
      { metric: 'jsMicros', peer: 'runtime', atMost: 0.35 },
      { metric: 'jsMicros', peer: 'runtime', atMost: 0.2 },
      { metric: 'perSecond', peer: 'runtime', atLeast: 4 },
    ],
  },
  {
    name: 'sequential',
    title: 'small GET, one after another on one connection',
    clients: 1,
    maxSockets: 1,
    path: '/small',
    bytes: SMALL_BYTES,
    timed: true,
    aims: [{ metric: 'medianMicros', peer: 'runtime', atMost: 0.4 }],
  },
  {
    name: 'post',
    title: 'POST of 1 KB, 50 connections',
    clients: 50,
    maxSockets: 50,
    path: '/small',
    bytes: SMALL_BYTES,
    postBytes: POST_BYTES,
    aims: [],
  },
  {
    name: 'download',
    title: 'body of 1 MB, 8 connections',
    clients: 8,
    maxSockets: 8,
    path: '/large',
    bytes: LARGE_BYTES,
    aims: [
      { metric: 'perSecond', peer: 'runtime', atLeast: 3 },
      { metric: 'perSecond', peer: 'undici', atLeast: 3 },
    ],
  },
  {
    name: 'queue',
    title: 'small GET, 50 clients over maxSockets 10',
    clients: 50,
    maxSockets: 10,
    path: '/small',
    bytes: SMALL_BYTES,
    aims: [],
  },
  {
    name: 'https',
    title: 'small GET over TLS, 50 connections',
    clients: 50,
    maxSockets: 50,
    path: '/small',
    bytes: SMALL_BYTES,
    secure: true,
    aims: [
      { metric: 'jsMicros', peer: 'runtime', atMost: 0.15 },
      { metric: 'perSecond', peer: 'runtime', atLeast: 4 },
    ],
  },
  {
    name: 'https-download',
    title: 'body of 1 MB over TLS, 8 connections',
    clients: 8,
    maxSockets: 8,
    path: '/large',
    bytes: LARGE_BYTES,
    secure: true,
    aims: [{ metric: 'perSecond', peer: 'runtime', atLeast: 1.5 }],
  },
  {
    name: 'own',
    title: 'small GET by our own request, 50 connections',
    clients: 50,
    maxSockets: 50,
    path: '/small',
    bytes: SMALL_BYTES,
    sides: OWN_SIDES,
    aims: [
      { metric: 'jsMicros', peer: 'undici', atMost: 0.2 },
      { metric: 'perSecond', peer: 'undici', atLeast: 2 },
      { metric: 'perSecond', peer: 'runtime', atLeast: 4 },
    ],
  },
  {
    name: 'own-sequential',
    title: 'small GET by our own request, one after another on one connection',
    clients: 1,
    maxSockets: 1,
    path: '/small',
    bytes: SMALL_BYTES,
    timed: true,
    sides: OWN_SIDES,
    aims: [{ metric: 'medianMicros', peer: 'runtime', atMost: 0.5 }],
  },
  {
    name: 'own-post',
    title: 'POST of 1 KB by our own request, 50 connections',
    clients: 50,
    maxSockets: 50,
    path: '/small',
    bytes: SMALL_BYTES,
    postBytes: POST_BYTES,
    sides: OWN_SIDES,
    aims: [],
  },
  {
    name: 'own-https',
    title: 'small GET over TLS by our own request, 50 connections',
    clients: 50,
    maxSockets: 50,
    path: '/small',
    bytes: SMALL_BYTES,
    secure: true,
    sides: OWN_SIDES,
    aims: [
      { metric: 'jsMicros', peer: 'runtime', atMost: 0.15 },
      { metric: 'perSecond', peer: 'runtime', atLeast: 4 },
    ],
  },
  {
    name: 'fetch',
    title: 'fetch: small GET, 50 connections',
    fetch: true,
    clients: 50,
    maxSockets: 50,
    path: '/small',
    bytes: SMALL_BYTES,
    sides: FETCH_SIDES,
    aims: [
      { metric: 'perSecond', peer: 'runtime', atLeast: 6 },
      { metric: 'jsMicros', peer: 'runtime', atMost: 0.12 },
    ],
  },
  {
    name: 'fetch-download',
    title: 'fetch: body of 1 MB, 8 connections',
    fetch: true,
    clients: 8,
    maxSockets: 8,
    path: '/large',
    bytes: LARGE_BYTES,
    sides: FETCH_SIDES,
    aims: [{ metric: 'perSecond', peer: 'runtime', atLeast: 2 }],
  },
]

cases.push({
  name: 'watched',
  title: 'small GET, 50 connections, with a dashboard at which nobody looks',
  clients: 50,
  maxSockets: 50,
  path: '/small',
  bytes: SMALL_BYTES,
  sides: ['watched', 'keepwire'],
  aims: [
    { metric: 'jsMicros', peer: 'keepwire', atMost: 1.02 },
    { metric: 'perSecond', peer: 'keepwire', atLeast: 0.98 },
  ],
})

for (const [side, by] of Object.entries({
  keepwire: '',
  own: ' by our own request',
  fetch: ' by fetch',
})) {
  cases.push({
    name: side === 'keepwire' ? 'http2' : `${side}-http2`,
    title: `small GET over HTTP/2${by}, 50 at a time on one connection`,
    clients: 50,
    maxSockets: 50,
    path: '/small',
    bytes: SMALL_BYTES,
    secure: true,
    http2: true,
    fetch: side === 'fetch',
    sides: [side === 'fetch' ? 'keepwire' : side, ...HTTP2_PEERS],
    aims: [
      { metric: 'jsMicros', peer: 'http1', atMost: 1.1 },
      { metric: 'perSecond', peer: 'undici', atLeast: 1.5 },
      { metric: 'perSecond', peer: 'node-http2', atLeast: 1.5 },
    ],
  })
}

/** The case with two sides: ours, and the same from another checkout. */
function besideBefore(scenario) {
  const [ours] = scenario.sides ?? ['keepwire']
  return { ...scenario, sides: [ours, 'before'], aims: [] }
}

module.exports = { LARGE_BYTES, SMALL_BYTES, besideBefore, cases, metrics }
