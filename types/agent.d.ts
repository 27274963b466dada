import type * as nodeHttp from 'node:http'
import { Agent as NodeAgent } from 'node:http'
import type * as tls from 'node:tls'
import type { Stats } from './observability'

/** What an {@link Agent} can be told: all that the runtime's own `http.Agent` takes, and these. */
export interface AgentOptions extends nodeHttp.AgentOptions, ProxyOptions {
  /**
   * Whether small writes are sent at once instead of being collected (Nagle's algorithm).
   *
   * Default: true. Disabled by: false.
   */
  noDelay?: boolean | undefined

  /**
   * Whether to speak HTTP/2 without TLS, with servers that are known to (RFC 9113, section 3.3; docs/http2.md). Of http agents only;
   * not with proxies. Read once.
   *
   * Default: false. Disabled by: false.
   */
  h2c?: boolean | undefined

  /**
   * With `http2` or `h2c`: how many requests one connection carries at a time, as far as the server takes so many. Read once.
   *
   * Unit: requests. Default: 1000.
   */
  maxStreams?: number | undefined

  /**
   * With `http2` or `h2c`: how long a connection may say nothing before its server is asked whether it is there (PING, RFC 9113, section
   * 6.7). A request that may not be sent twice waits for the answer, a second at the most. Read once.
   *
   * Unit: ms. Default: 15,000. Disabled by: 0, `Infinity`.
   */
  pingAfter?: number | undefined

  /** Path of a Unix domain socket or Windows named pipe to connect to, in place of `host` and `port`. Default: none. */
  socketPath?: string | undefined

  /**
   * How long a connection may stay idle before it is closed. The agent's `timeout`, and a server's
   * `Keep-Alive: timeout=…` hint less `agentKeepAliveTimeoutBuffer`, limit that as well: the shortest counts.
   *
   * Unit: milliseconds. Default: 90,000. Disabled by: 0 (idle connections stay until something else closes them).
   */
  freeSocketTimeout?: number | undefined

  /**
   * How long a connection may live, shortened by up to a tenth at random, so that connections that were opened together do
   * not end together. A request that is under way then is finished first.
   *
   * Unit: milliseconds. Default: 0. Disabled by: 0 (no limit).
   */
  socketActiveTTL?: number | undefined

  /**
   * How many requests a connection serves; after the last one it is closed instead of being kept.
   *
   * Unit: requests. Default: 0. Disabled by: 0 (no limit).
   */
  maxRequestsPerSocket?: number | undefined

  /**
   * How many requests may wait for a connection to one origin while `maxSockets` or `maxTotalSockets` is reached. One
   * more fails with `ERR_KEEPWIRE_QUEUE_FULL`.
   *
   * Unit: requests. Default: `Infinity`. Disabled by: `Infinity` (no limit).
   */
  maxPending?: number | undefined

  /**
   * How long opening a connection may take: name resolution, TCP and TLS together, over all addresses tried. A request whose
   * connection takes longer fails with `ERR_KEEPWIRE_CONNECT_TIMEOUT`.
   *
   * Unit: milliseconds. Default: 0. Disabled by: 0 (only the operating system's own limits apply).
   */
  connectTimeout?: number | undefined

  /**
   * How long a request may wait for a connection while `maxSockets` or `maxTotalSockets` is reached. One that waits longer
   * fails with `ERR_KEEPWIRE_QUEUE_TIMEOUT`.
   *
   * Unit: milliseconds. Default: 0. Disabled by: 0 (no limit).
   */
  queueTimeout?: number | undefined

  /**
   * How long the server may take to send the response's head, from the last byte of the request that it took, or from its
   * last informational response. It does not run while the request waits for more of its own body. The request fails with
   * `ERR_KEEPWIRE_HEADERS_TIMEOUT`.
   *
   * Unit: milliseconds. Default: 0. Disabled by: 0 (no limit).
   */
  headersTimeout?: number | undefined

  /**
   * How long the server may be silent within a response's body. It does not run while the response is paused or not read.
   * The response fails with `ERR_KEEPWIRE_BODY_TIMEOUT`.
   *
   * Unit: milliseconds. Default: 0. Disabled by: 0 (no limit).
   */
  bodyTimeout?: number | undefined

  /**
   * How long bytes that were sent may stay unacknowledged by the peer's system before the connection ends (TCP_USER_TIMEOUT,
   * RFC 5482; on Linux, other systems keep their own limit), and an attempt to connect unanswered.
   *
   * Unit: milliseconds. Default: 0. Disabled by: 0 (the system's own limit).
   */
  tcpUserTimeout?: number | undefined

  /**
   * Which requests may be sent again, once, on a fresh connection, when a reused connection ended without a byte of the
   * response: `'safe'`: GET, HEAD, OPTIONS, TRACE, and any request with an `Idempotency-Key` or `X-Idempotency-Key` header,
   * if the whole request is known and at most 64 KiB; `false`: none. A request of which nothing was written yet is not sent
   * again but sent: it goes to a fresh connection in both cases.
   *
   * Default: `'safe'`. Disabled by: `false`.
   */
  retry?: 'safe' | false | undefined

  /**
   * Which thread sends requests and receives their responses. `'auto'`: while few of a thread's requests are under way (at most sixteen),
   * that thread itself, in Node's event loop, as the runtime's agent does: two threads that wake each other cost more than the work.
   * On Bun and Deno it does so for one request at a time, and looks for its response in each turn of its loop, for 0.3 ms at most.
   * With more of them the I/O thread does it, and always over HTTP/2, with bodies that are slow, larger than 2 MiB or large beside
   * others, and on other systems than Linux. `'thread'`: always the I/O thread, for who wants the JavaScript thread free above all.
   *
   * Default: `'auto'`. Disabled by: `'thread'`.
   */
  io?: 'auto' | 'thread' | undefined

  /**
   * Whether this agent may use, and leave behind, idle connections of other agents that share, in any thread of the process.
   * Connections are shared if `getName()` and the options that a connection is opened with are equal, over TLS also what the
   * peer was asked for and whom the thread trusts; none on which a request or response said NTLM or Negotiate, and none of an
   * agent with a `getName()` of its own. Each agent keeps to its own limits.
   *
   * Default: false. Disabled by: false.
   */
  shared?: boolean | undefined

  /**
   * Whether to warn, once per thread, of an agent per request and of response bodies that are not read while other requests
   * wait for their connections (docs/observability.md).
   *
   * Default: true. Disabled by: false.
   */
  warnings?: boolean | undefined

  /**
   * What the agent remembers of names (docs/dns.md). `true`: the defaults of {@link DnsOptions}. Read once, when the agent is
   * made. Requests that fall back to the runtime's sockets are resolved by the runtime.
   *
   * Default: false, each connection asks the system's resolver. Disabled by: false.
   */
  dns?: boolean | DnsOptions | undefined

  /**
   * Which of a name's addresses a new connection goes to (docs/dns.md): the first that answers, or the one that has fewest of
   * the agent's connections.
   *
   * Default: 'first', as the runtime. Read once, when the agent is made.
   */
  addresses?: 'first' | 'spread' | undefined

  /**
   * Says whether an address may be connected to (docs/dns.md): asked before each connection is opened, for each address that
   * its host stands for, also when the request falls back to the runtime's sockets. If none is left the request fails with
   * `ERR_KEEPWIRE_ADDRESS_REFUSED`, and with what the function throws if it throws. Not to be had with `proxyEnv` or
   * `proxy`.
   *
   * Default: none, all may. Disabled by: undefined.
   */
  allowAddress?: ((ip: string, family: 4 | 6, host: string) => boolean) | undefined

  /**
   * What each host is spared (docs/limits-per-host.md): called with a host's name in lower case when the agent has its first
   * request for it. Requests that may not begin yet wait in order, as for a connection. What it throws, `http.request` throws
   * and `fetch` rejects with.
   *
   * Default: none, no host has limits. Disabled by: undefined.
   */
  policy?: ((host: string) => HostPolicy | null | undefined) | undefined

  /**
   * Fails requests at once, with `ERR_KEEPWIRE_CIRCUIT_OPEN`, to a host that has failed too often of late
   * (docs/limits-per-host.md). `true`: the defaults of {@link BreakerOptions}. Read once, when the agent is made.
   *
   * Default: false. Disabled by: false.
   */
  breaker?: boolean | BreakerOptions | undefined
}

/** What is gone through on the way to targets: options of agents, and of single requests and fetches. */
export interface ProxyOptions {
  /**
   * The proxy that requests go through (docs/proxies.md): `scheme://[user[:password]@]host[:port]`, where the scheme is `http`, `https`
   * (a proxy that is reached by TLS), `socks4`, `socks4a`, `socks5`, `socks5h` or `socks`; or a function that gives it for each
   * request. Nothing goes past it: what only the runtime's sockets could carry fails with `ERR_KEEPWIRE_PROXY_UNSUPPORTED`. An
   * agent's is read once, when the agent is made; a request's own stands above it.
   *
   * Default: none, unless `proxyEnv` names one.
   */
  proxy?: URL | string | ProxyFunction | null | undefined

  /**
   * Called before a request fails for its proxy, with the proxy's URL, credentials included.
   *
   * Default: none.
   */
  onProxyError?: ((error: Error, proxy: URL) => void) | undefined

  /**
   * Fields for the proxy alone: on each CONNECT, and on each request of `http:`. Their values are told to nobody else.
   *
   * Default: none.
   */
  proxyHeaders?: Record<string, string | readonly string[]> | undefined

  /**
   * TLS with a proxy whose URL begins with `https:`. The agent's own TLS options are for targets.
   *
   * Default: the runtime's trust.
   */
  proxyTls?: Omit<tls.ConnectionOptions, 'checkServerIdentity'> | undefined
}

/** What a host of an agent's is spared. */
export interface HostPolicy {
  /**
   * Requests that may be under way.
   *
   * Unit: requests. Default: Infinity. At least 1.
   */
  concurrency?: number | undefined

  /**
   * Requests that may begin within a second.
   *
   * Unit: requests a second. Default: Infinity. More than 0.
   */
  rps?: number | undefined

  /**
   * Requests that may begin at once after a silence.
   *
   * Unit: requests. Default: 1. At least 1.
   */
  burst?: number | undefined

  /**
   * For how long, at most, `Retry-After` of a response 429 or 503 lets no request begin. `true`: the default.
   *
   * Unit: milliseconds. Default: 300,000. Disabled by: 0, false.
   */
  retryAfter?: number | boolean | undefined
}

/** When requests to a host fail at once. */
export interface BreakerOptions {
  /**
   * Failures in a row that open a host's circuit.
   *
   * Unit: requests. Default: 5. At least 1.
   */
  failures?: number | undefined

  /**
   * How long it stays open before one request is let through.
   *
   * Unit: milliseconds. Default: 10,000.
   */
  cooldown?: number | undefined
}

/** What a request for this URL goes through; nothing: straight to its target. What it throws or rejects with is the request's error. */
export type ProxyFunction = (url: URL) => URL | string | null | undefined | Promise<URL | string | null | undefined>

/**
 * An {@link AgentOptions.allowAddress} that allows what is reachable from everywhere: not this machine, private networks,
 * link-local addresses, multicast, or those for documents and tests (IANA's special-purpose registries, RFC 6890).
 */
export function publicAddressesOnly(ip: string): boolean

/** How long an agent remembers what a name stands for. */
export interface DnsOptions {
  /**
   * How long addresses hold, less up to a tenth at random.
   *
   * Unit: milliseconds. Default: 30,000. Disabled by: 0.
   */
  ttl?: number | undefined

  /**
   * How long it holds that there is no such name (`ENOTFOUND`, RFC 2308).
   *
   * Unit: milliseconds. Default: 1,000. Disabled by: 0.
   */
  negativeTtl?: number | undefined

  /**
   * How long after their time addresses are still used, while they are asked for again.
   *
   * Unit: milliseconds. Default: 60,000. Disabled by: 0.
   */
  maxStale?: number | undefined

  /**
   * Names that are remembered at most; the one that was needed longest ago is forgotten.
   *
   * Unit: names. Default: 1,000. At least 1.
   */
  maxEntries?: number | undefined

  /**
   * Whether names are asked for again while connections to them are open, which finish their requests and are closed when
   * their name stands for their address no more. Not to be had with a `lookup`.
   *
   * Default: false. Disabled by: false.
   */
  rotate?: boolean | undefined

  /**
   * Threads that the process may have for look-ups when one more is made for a name that this agent waits for: as many names
   * may fail to answer without holding others back.
   *
   * Unit: threads. Default: 64. At least 1.
   */
  maxThreads?: number | undefined
}

/**
 * An `http.Agent` whose keep-alive connections are reused every time they can be. Hand it to the runtime's own
 * `http.request` or `http.get`, or to a library that takes an `http.Agent`:
 *
 * ```js
 * const { Agent } = require('keepwire')
 * const agent = new Agent({ keepAlive: true, maxSockets: 50 })
 * require('node:http').get('http://example.com/', { agent }, (response) => response.resume())
 * ```
 *
 * @throws `ERR_INVALID_ARG_TYPE`, `ERR_INVALID_ARG_VALUE` or `ERR_OUT_OF_RANGE` for options that make no sense.
 */
export class Agent extends NodeAgent {
  constructor(options?: AgentOptions)

  /** A copy of the options that this agent was made with, defaults filled in. */
  readonly options: AgentOptions

  /** Whether idle connections are kept for later requests. */
  keepAlive: boolean

  /** Delay before the first TCP keep-alive probe of an idle connection, in milliseconds. Default: 1000. */
  keepAliveMsecs: number

  /** Which idle connection serves next: the one used last (`'lifo'`, the default) or first (`'fifo'`). */
  scheduling: 'fifo' | 'lifo'

  /** The port of requests that name none. Default: 80. */
  defaultPort: number

  /** The protocol of the requests that this agent serves. Default: `'http:'`. */
  protocol: string

  /** Connections of this agent that exist or are being opened, busy or idle, to all origins together. */
  readonly totalSocketCount: number

  /**
   * Opens connections before they are needed, until there are `count` idle ones or a limit is reached, and resolves with their
   * number. Without `keepAlive`, and for requests that fell back to the runtime's sockets, that is 0.
   *
   * @param origin such as `'http://example.com:8080'`
   * @param count default: 1
   * @throws (rejects with) the error of a connection that failed; `ERR_INVALID_ARG_TYPE`, `ERR_INVALID_ARG_VALUE`,
   *   `ERR_OUT_OF_RANGE`
   */
  preconnect(origin: string | URL, count?: number): Promise<number>

  /**
   * Waits until no request is under way or waiting, then does what `destroy()` does. At the deadline, in milliseconds, it
   * does so in any case, and the requests that are left fail. Default: no deadline. The agent stays usable.
   */
  close(options?: { deadline?: number | undefined }): Promise<void>

  /** What its origins did so far. */
  stats(): Stats
}
