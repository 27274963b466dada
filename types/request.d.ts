// What keepwire's request() knows beside the runtime's options, and how it is called.

import type { ClientRequest, IncomingMessage } from 'node:http'

export interface ResponseLimit {
  /**
   * The most that the response's body may have, as it comes: content codings are not taken off. If it has more, its
   * connection is closed, and the response fails with `ERR_KEEPWIRE_RESPONSE_TOO_LARGE`.
   *
   * Unit: bytes. Default: none. Disabled by: 0, `Infinity`.
   */
  maxResponseSize?: number | undefined
}

/** `request` and `get`, called as the runtime's own. */
export interface RequestFunction<Options> {
  (options: Options | string | URL, callback?: (res: IncomingMessage) => void): ClientRequest
  (url: string | URL, options: Options, callback?: (res: IncomingMessage) => void): ClientRequest
}
