// What keepwire's request() knows beside the runtime's options.

export interface ResponseLimit {
  /**
   * The most that the response's body may have, as it comes: content codings are not taken off. If it has more, its
   * connection is closed, and the response fails with `ERR_KEEPWIRE_RESPONSE_TOO_LARGE`.
   *
   * Unit: bytes. Default: none. Disabled by: 0, `Infinity`.
   */
  maxResponseSize?: number | undefined
}
