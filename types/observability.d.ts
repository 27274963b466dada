import type * as http from 'node:http'
import type { ClientRequest } from 'node:http'

/** Times in milliseconds. */
export interface Histogram {
  count: number
  sum: number
  max: number
  p50: number
  p90: number
  p99: number
  /** A bucket's end and its count. */
  buckets: [endMs: number, count: number][]
}

/** What happened at one origin; docs/observability.md says what each counter means. */
export interface OriginStats {
  open: number
  idle: number
  leased: number
  dialing: number
  queued: number
  runtimeSockets: number
  runtimeSocketsIdle: number
  created: number
  reused: number
  retried: number
  moved: number
  passedOver: number
  closed: Record<string, number>
  errors: Record<string, number>
  foreign: Record<string, number>
  waitMs: Histogram
  connectMs: Histogram
  firstByteMs: Histogram
}

/** What an agent with the option `dns` remembers of names. */
export interface DnsStats {
  /** Names that are remembered now. */
  entries: number
  /** Connections that were opened to an address that was remembered. */
  hits: number
  /** The same, past its time. */
  stale: number
  /** Connections whose name was not known. */
  misses: number
  /** Names that were forgotten because nobody could be reached at their addresses. */
  dropped: number
}

export interface Stats {
  /** By `agent.getName()`; for https without certificates and keys. */
  origins: Record<string, OriginStats>
  /** Origins that were let go; `null`: there was nothing to tell of. */
  others: OriginStats | null
  /** Of an agent with the option `dns`. */
  dns?: DnsStats | undefined
  /** By host: of an agent with the option `policy` or `breaker`. */
  hosts?: Record<string, HostStats> | undefined
  /** By the proxies' URLs, without credentials; the first 256 by name, the rest as `other`. Without any, it is not there. */
  proxies?: Record<string, ProxyStats> | undefined
}

/** What a host's policy and breaker have come to, at a moment. */
export interface HostStats {
  /** Requests under way. */
  active: number
  /** Requests that may not begin yet. */
  waiting: number
  /** For how long none may begin, by `Retry-After`. */
  pausedMs: number
  circuit: 'closed' | 'open' | 'half-open'
}

/** What a proxy did, and what is open through it; docs/observability.md says what each counter means. */
export interface ProxyStats {
  /** Connections through it, tunnels and those that forward: `open` is `idle` and `leased` together. */
  open: number
  idle: number
  leased: number
  dialing: number
  /** Connections that it has let through. */
  opened: number
  /** Requests that got a connection through it which was there already. */
  reused: number
  /** Connections that it has refused, by status; of SOCKS by its words. */
  refused: Record<string, number>
  /** Connections that have come to nothing for it, by code, refusals included. */
  errors: Record<string, number>
  /** How long it took to let connections through. */
  proxyMs: Histogram
  /** `at`: in milliseconds since 1970. */
  lastError: { code: string; message: string; at: number } | null
  /** Open connections by the origin that they lead to, such as `https://example.com:443`; at most 256. */
  targets: Record<string, number>
}

/** What the process did at one origin; docs/observability.md says what each counter means. Counters never fall. */
export interface Totals {
  open: number
  idle: number
  leased: number
  dialing: number
  queued: number
  /** How many connections the agents may have together that hold any, or wait for one; 0: there are none. */
  limit: number
  created: number
  reused: number
  retried: number
  moved: number
  passedOver: number
  /** Connections that were open, by reason. */
  closed: Record<string, number>
  errors: Record<string, number>
  foreign: Record<string, number>
  /** As HTTP/1 has them, before TLS. */
  sentBytes: number
  receivedBytes: number
  /** Of TLS. */
  handshakes: { full: number; resumed: number }
  /** By method and status class, such as `durationMs.GET['2xx']`. */
  durationMs: Record<string, Record<string, Histogram>>
  waitMs: Histogram
  connectMs: Histogram
  dnsMs: Histogram
  tcpMs: Histogram
  /** How long proxies took to let connections through. */
  proxyMs: Histogram
  tlsMs: Histogram
  firstByteMs: Histogram
  /** How long connections were open. */
  ageMs: Histogram
}

export interface TotalsOptions {
  /** What an origin is called; those with the same name are added up. Default: as it is, `https://example.com:443`. */
  origin?: (origin: string) => string
}

/** What metrics call whom. */
export interface NamingOptions extends TotalsOptions {
  /** What a proxy is called; those with the same name are added up. Default: as it is, `http://proxy.example:3128`. */
  proxy?: (proxy: string) => string
}

/** A connection, as it is at a moment. */
export interface ConnectionState {
  /** As in `explain()` and the diagnostics channels. */
  id: number
  origin: string
  state: 'dialing' | 'leased' | 'idle'
  ageMs: number
  /** 0 if it isn't idle. */
  idleMs: number
  /** Requests that it has served. */
  uses: number
  /** `null` while it is being opened, and for a Unix socket. */
  remoteAddress: string | null
  remotePort: number | null
  /** `null`: plain text, or not open yet. `cipher` as IANA names it; `alpn` is `null` if nothing was agreed on. */
  tls: { protocol: string; cipher: string; alpn: string | null } | null
  /** The proxy that it goes through, as in `stats()`: its URL without credentials. `null`: none. */
  proxy: string | null
}

/** How a request got its connection. */
export type Explanation =
  | { carriedBy: 'runtime'; reason: string; reused: boolean }
  | { carriedBy: 'keepwire'; state: 'queued'; reused: false; waitsFor: 'policy' | 'connection' }
  | { carriedBy: 'keepwire'; state: 'refused'; reused: false }
  | {
      carriedBy: 'keepwire'
      state?: undefined
      reused: boolean
      reason: string | null
      connectionId: number
      useCount: number
      idleMs: number
      queuedMs: number
      /** Of an agent with the option `policy` or `breaker`: how much of that its host's policy has held it back. */
      policyMs?: number | undefined
      dnsMs: number
      connectMs: number
      tlsMs: number
      /** Of an agent with `proxy`: the proxy's URL without credentials, and how long it took to let the connection through. */
      proxy?: string | undefined
      proxyMs?: number | undefined
      retried: boolean
      moved: boolean
    }

/** How a request got its connection; `undefined`: no agent of keepwire has had it. */
export function explain(request: ClientRequest): Explanation | undefined

/** What all agents of the process did so far, in all threads. */
export function stats(): Stats

/**
 * What the process did since it started, in all threads, by origin: the first 256 by name, the rest as `other`. Sums outlive
 * agents and never fall.
 */
export function totals(options?: TotalsOptions): Record<string, Totals>

/** The connections of an agent, or of all agents of the process, in no order. */
export function connections(agent?: http.Agent): ConnectionState[]
