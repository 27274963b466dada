// fetch() on keepwire's engine. Everything that is not documented here is the standard's.

import type { Agent, ProxyOptions } from './agent'
import type { HttpsAgent } from './https-agent'

/** What carries fetches. */
export type FetchAgent = Agent | HttpsAgent

/** What the standard has, and more. */
export interface FetchInit extends RequestInit, ProxyOptions {
  /**
   * The agent over whose connections the fetch goes, as an `http.request` with it would: an `Agent` for `http:`, an
   * `HttpsAgent` for `https:`; or what gives one for the URL of each request, those after redirects included. Any other,
   * or one that only the runtime's own sockets could serve, makes the fetch reject with `ERR_INVALID_ARG_VALUE`.
   *
   * Default: none, which means no limits and the runtime's trust.
   */
  agent?: FetchAgent | ((url: URL) => FetchAgent | null | undefined) | null | undefined

  /**
   * Has reqwest carry the fetch in place of the engine's pool. Any other text, or an agent beside it, makes the fetch reject with
   * `ERR_INVALID_ARG_VALUE`.
   *
   * Default: none, which means the engine's pool.
   */
  client?: 'reqwest' | undefined

  /**
   * How long the fetch may take, up to the end of its body. Then it rejects, or its body does, with the `TimeoutError`
   * that `AbortSignal.timeout()` gives.
   *
   * Unit: milliseconds. Default: 0. Disabled by: 0.
   */
  timeout?: number | undefined

  /**
   * The most that the response's body may have once its content codings are off. If it has more, reading it rejects with
   * `ERR_KEEPWIRE_RESPONSE_TOO_LARGE` (as `cause.code`), and the body is given up.
   *
   * Unit: bytes. Default: none for a stream, 1 GiB for what is read at once (`text()`, `json()`, `arrayBuffer()`, `bytes()`,
   * `blob()`, `formData()`). Disabled by: 0, `Infinity`.
   */
  maxResponseSize?: number | undefined
}

/** When a request is sent again. */
export interface FetchRetry {
  /** How often a request is sent at most. Unit: requests. Default: 3. Disabled by: 1. */
  attempts?: number | undefined

  /**
   * The pause before the next attempt, doubled after each and at most a minute; or what says it, given the number of the
   * attempt that failed. A `Retry-After` of at most a minute counts in its place; a longer one ends the attempts.
   *
   * Unit: milliseconds. Default: 200. Disabled by: 0.
   */
  backoff?: number | ((attempt: number) => number) | undefined

  /** Statuses that are tried again. Default: 408, 425, 429, 500, 502, 503 and 504. Disabled by: an empty list. */
  on?: readonly number[] | ((status: number) => boolean) | undefined
}

/** What {@link fetch.withDefaults} fetches have in common. */
export interface FetchDefaults extends Omit<FetchInit, 'body' | 'method'> {
  /** What relative URLs are relative to. Default: none. */
  baseUrl?: string | URL | undefined

  /**
   * When a request is sent again. Only those whose method is idempotent (GET, HEAD, OPTIONS, PUT, DELETE, TRACE) and
   * whose body is known ever are.
   */
  retry?: FetchRetry | false | undefined

  /**
   * Whether URLs may leave the origin of `baseUrl`. They go without the default headers then. Otherwise such a fetch rejects
   * with `ERR_KEEPWIRE_OTHER_ORIGIN`.
   *
   * @default false
   */
  allowOtherOrigins?: boolean | undefined
}

/** What a fetch with defaults rejects with when the response is not 2xx. */
export interface HttpError extends Error {
  name: 'HttpError'
  code: 'ERR_KEEPWIRE_HTTP_STATUS'
  status: number
  statusText: string
  url: string
  headers: Headers
  /** The beginning of the response's body, at most 2048 bytes, as text. */
  excerpt: string
  /** How often the request was sent. */
  attempts: number
}

/** A fetch that has defaults. */
export interface FetchWithDefaults {
  /** @throws {@link HttpError} for a response that is not 2xx; what `fetch` rejects with for the rest. */
  (
    input: string | URL | Request,
    init?: FetchInit & Pick<FetchDefaults, 'retry' | 'allowOtherOrigins'>,
  ): Promise<Response>

  /** A fetch with more defaults, or others. */
  withDefaults(defaults: FetchDefaults): FetchWithDefaults
}

/**
 * The standard's function, with the runtime's own `Response`, `Headers`, `Request` and `AbortSignal`, whose connections
 * are reused every time they can be.
 */
export const fetch: {
  (input: string | URL | Request, init?: FetchInit): Promise<Response>

  /**
   * A fetch that rejects responses other than 2xx, and sends again what may be.
   *
   * @throws `ERR_INVALID_ARG_TYPE`, `ERR_OUT_OF_RANGE`, or a TypeError for defaults that make no sense.
   */
  withDefaults(defaults?: FetchDefaults): FetchWithDefaults

  /** The class of {@link HttpError}s, for `instanceof`. */
  HttpError: abstract new (
    ...args: never
  ) => HttpError
}
