'use strict'

// The layout of both batches, equal to src/bridge/layout.rs (__test__/package/layout.test.js compares them whole).
//
// Everything is little endian and starts on a multiple of four. A command is 16 bytes (op u8, flags u8, aux u16, length u32,
// id u64) and its payload of that length; a record is 20 bytes (kind u8, flags u8, aux u16, length u32, id u64, extra u32)
// and its payload. Payloads are padded to four. Texts are latin1, their fields joined by "\0".

module.exports = Object.freeze({
  COMMAND_HEADER: 16,
  RECORD_HEADER: 20,
  SUBMISSION_BYTES: 256 * 1024,
  COMPLETION_BYTES: 256 * 1024,
  /** Request chunks of at least this many bytes go to the engine on their own, without a copy into the batch. */
  LARGE_CHUNK: 16 * 1024,
  /** Response bytes the engine sends ahead of acknowledgements, per exchange. */
  WINDOW: 256 * 1024,
  /** The same in pieces. */
  WINDOW_PIECES: 1024,

  // Commands.
  BEGIN: 1,
  WRITE: 2,
  END: 3,
  ABORT: 4,
  ACK: 5,
  SOCKOPT: 6,
  CLOSE: 7,
  APPROVE: 8,
  TIMEOUTS: 9,
  FETCH: 10,
  FETCH_ABORT: 11,
  FETCH_READ: 12,
  RESOLVED: 13,

  // Flags of FETCH.
  FETCH_BODY_WHOLE: 1,
  FETCH_BODY_STREAM: 2,

  // Flags of FETCH_READ.
  READ_WHOLE: 1,

  // Flags of BEGIN.
  BEGIN_NO_BODY: 1,
  BEGIN_KEEP: 2,
  BEGIN_IDEMPOTENT: 4,
  BEGIN_REUSED: 8,
  BEGIN_FETCH: 16,
  BEGIN_GUARDED: 32,
  BEGIN_IN_LOOP: 64,
  BEGIN_ALONE: 128,

  // Flags of WRITE and of submitBody().
  WRITE_END: 1,
  WRITE_WANT_ACK: 2,

  // What SOCKOPT sets (aux).
  SOCKOPT_NO_DELAY: 1,
  SOCKOPT_KEEP_ALIVE: 2,

  // Records.
  RESPONSE: 1,
  DATA: 2,
  RESPONSE_END: 3,
  ERROR: 4,
  WRITTEN: 5,
  ASSIGNED: 6,
  CONNECTED: 7,
  CLOSED: 8,
  EVICT: 9,
  SECURED: 10,
  PARTED: 11,
  STALLED: 12,
  LOOKUP: 13,

  // Flags of records.
  HTTP_1_0: 1,
  ODD_VERSION: 32,
  EXTERNAL: 1,
  KEEP_ALIVE: 2,
  MESSAGE_END: 4,
  ALL_WRITTEN: 8,
  INFORMATIONAL: 16,
  PROXYS: 1,
  RENEGOTIATES: 16,
  AFTER_HEAD: 32,
  MIGHT_DO: 64,
  MAY_DO: 128,
  ASK: 1,
  RESUMED: 2,
  REPLACES: 1,
  RESENT: 2,
  ADOPTED: 4,
  ASKS: 8,

  // What lease() is for.
  FOR_RETRYABLE: 0,
  FOR_NOT_RETRYABLE: 1,
  FOR_FALLBACK: 2,

  // What a lease came to: answers of lease() (low three bits) and ASSIGNED (aux).
  QUEUED: 0,
  IDLE: 1,
  DIALING: 2,
  FALLBACK: 3,
  ADOPTING: 5,

  // What look() answers: bits.
  LOOKED_RECORDS: 1,
  LOOKED_WAITS: 2,

  /** What checkIn() is told of a connection on which nothing was sent: its idle time goes on. */
  UNUSED: -2,

  // Answers of checkIn().
  CHECKED_IN_CLOSED: 0,
  CHECKED_IN_HANDED: 2,
})
