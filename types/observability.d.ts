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
}

/** How a request got its connection. */
export type Explanation =
  | { carriedBy: 'runtime'; reason: string; reused: boolean }
  | { carriedBy: 'keepwire'; state: 'queued' | 'refused'; reused: false }
  | {
      carriedBy: 'keepwire'
      state?: undefined
      reused: boolean
      reason: string | null
      connectionId: number
      useCount: number
      idleMs: number
      queuedMs: number
      dnsMs: number
      connectMs: number
      tlsMs: number
      retried: boolean
      moved: boolean
    }

/** How a request got its connection; `undefined`: no agent of keepwire has had it. */
export function explain(request: ClientRequest): Explanation | undefined

/** What all agents of the process did so far, in all threads. */
export function stats(): Stats
