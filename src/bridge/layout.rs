//! The numbers of commands, records and flags, the same in `lib/bridge/layout.js`.

/// Bytes before a command's payload: `u8 op, u8 flags, u16 aux, u32 len, u64 id`, little endian; `len` is that of the payload.
pub const COMMAND_HEADER: usize = 16;
/// Bytes before a record's payload: `u8 kind, u8 flags, u16 aux, u32 len, u64 id, u32 extra`, little endian.
pub const RECORD_HEADER: usize = 20;
/// Payloads are padded to a multiple of this.
pub const ALIGN: usize = 4;

/// Commands.
pub mod command {
    /// An exchange begins: payload `u32 maxHeaderSize, u32 conn`.
    pub const BEGIN: u8 = 1;
    /// Request bytes.
    pub const WRITE: u8 = 2;
    /// The request is complete.
    pub const END: u8 = 3;
    /// The exchange is given up: payload `u32` its connection.
    pub const ABORT: u8 = 4;
    /// Body bytes were consumed: payload `u32` how many.
    pub const ACK: u8 = 5;
    /// A socket option of connection `id`: `aux` names it; payload of KEEP_ALIVE: `u32` delay and `u32` interval
    /// in seconds, `u32` count.
    pub const SOCKOPT: u8 = 6;
    /// Connection `id` is closed.
    pub const CLOSE: u8 = 7;
    /// The peer of connection `id` is the right one.
    pub const APPROVE: u8 = 8;

    /// How long an exchange waits for its peer, in ms, 0: for ever: payload `u32` for the head, `u32` between two pieces of
    /// the body.
    pub const TIMEOUTS: u8 = 9;

    /// A request for the client with number `aux`; payload: its text.
    pub const FETCH: u8 = 10;
    /// The client's request `id`, or the decoding of exchange `id`, is given up.
    pub const FETCH_ABORT: u8 = 11;
    /// The body of the response to fetch `id` is read.
    pub const FETCH_READ: u8 = 12;
    /// What the name of connection `id` stands for: payload: addresses, the first choice first.
    pub const RESOLVED: u8 = 13;

    /// FETCH: the next WRITE is the whole body.
    pub const BODY_WHOLE: u8 = 1;
    /// FETCH: WRITEs bring the body piece by piece.
    pub const BODY_STREAM: u8 = 2;
    /// FETCH_READ: at once, else piece by piece.
    pub const WHOLE: u8 = 1;

    /// BEGIN: the response has no body.
    pub const BODILESS: u8 = 1;
    /// BEGIN: the request does not say that the connection ends with it.
    pub const KEEP: u8 = 2;
    /// BEGIN: the request may be sent again.
    pub const IDEMPOTENT: u8 = 4;
    /// BEGIN: the connection was there before the request.
    pub const REUSED: u8 = 8;
    /// BEGIN: a fetch: FETCH_READ asks for the response's body, and its content codings are taken off.
    pub const FETCHED: u8 = 16;
    /// BEGIN: a connection that replaces this one is not written to before APPROVE.
    pub const GUARDED: u8 = 32;
    /// BEGIN: this thread may carry the exchange itself, or have the connection for the next one.
    pub const IN_LOOP: u8 = 64;
    /// BEGIN: nothing else of this thread has been under way of late.
    pub const ALONE: u8 = 128;
    /// WRITE: the request is complete with these bytes.
    pub const LAST: u8 = 1;
    /// WRITE: tell when all bytes so far are in the kernel.
    pub const WANT_ACK: u8 = 2;
    /// SOCKOPT: TCP_NODELAY.
    pub const NO_DELAY: u16 = 1;
    /// SOCKOPT: TCP keep-alive, with its delay, interval and count.
    pub const KEEP_ALIVE: u16 = 2;
}

/// What a connection is leased for.
pub mod purpose {
    /// A request that may be sent again: what is neither of the others.
    #[allow(dead_code)]
    pub const RETRYABLE: u32 = 0;
    /// One that may not.
    pub const NOT_RETRYABLE: u32 = 1;
    /// A socket of the runtime's own.
    pub const FALLBACK: u32 = 2;
}

/// What a lease came to: the low three bits of its answer.
pub mod leased {
    /// Its turn comes later.
    pub const QUEUED: u32 = 0;
    /// A connection that was idle; above it how many ms.
    pub const IDLE: u32 = 1;
    /// A connection that is being opened; above it why.
    pub const DIALING: u32 = 2;
    /// A place for a socket of the runtime's own.
    pub const FALLBACK: u32 = 3;
    /// As many wait as may.
    pub const QUEUE_FULL: u32 = 4;
    /// A connection that was another agent's.
    pub const ADOPTING: u32 = 5;
}

/// What `look` answers: bits.
pub mod looked {
    /// The port has records.
    pub const HAS_RECORDS: u32 = 1;
    /// Something is still waited for on this thread.
    pub const WAITS: u32 = 2;
}

/// How a lease ends.
pub mod check_in {
    /// In place of a limit: nothing was sent on the connection. Any other negative number: it has no limit.
    pub const UNUSED: f64 = -2.0;
    /// It is closed.
    pub const CLOSED: u32 = 0;
    /// It is idle.
    pub const IDLE: u32 = 1;
    /// It serves the next waiter.
    pub const HANDED: u32 = 2;
}

/// Records.
pub mod record {
    /// A response head: `aux` status and slot, `len` head text, `extra` body bytes after it. A slot other than 0 with a
    /// text: keep what is made of it under this number; without one: the head kept there.
    pub const RESPONSE: u8 = 1;
    /// Body bytes.
    pub const DATA: u8 = 2;
    /// The message is complete; payload: trailers.
    pub const END: u8 = 3;
    /// The exchange failed.
    pub const ERROR: u8 = 4;
    /// `f64` request bytes are in the kernel.
    pub const WRITTEN: u8 = 5;
    /// A queued exchange has its turn: `extra` connection, `aux` how.
    pub const ASSIGNED: u8 = 6;
    /// Connection `id` is open.
    pub const CONNECTED: u8 = 7;
    /// Connection `id` is gone: `aux` reason.
    pub const CLOSED: u8 = 8;
    /// An idle socket of the runtime, of key `id` and agent `extra`, must go.
    pub const EVICT: u8 = 9;
    /// Connection `id` speaks TLS; payload: see `bridge/tls.rs`.
    pub const SECURED: u8 = 10;
    /// The peer has closed the connection under exchange `id`, whose response is complete and not checked in.
    pub const PARTED: u8 = 11;
    /// Of fetch `id`'s response no more is read until its user has read what is there.
    pub const STALLED: u8 = 12;
    /// The name of connection `id` is to be looked up: RESOLVED or CLOSE must follow.
    pub const LOOKUP: u8 = 13;

    /// RESPONSE: where the slot begins in `aux`.
    pub const SLOT_SHIFT: u16 = 10;
    /// RESPONSE: the peer says that it speaks HTTP/1.0; with ODD_VERSION, 0.9.
    pub const HTTP10: u8 = 1;
    /// RESPONSE: the peer says that it speaks HTTP/2.0, which is HTTP/1.0 all the same; with HTTP10, 0.9.
    pub const ODD_VERSION: u8 = 32;
    /// DATA: the bytes are fetched with `takeChunk`.
    pub const EXTERNAL: u8 = 1;
    /// RESPONSE, END: the message allows another on its connection.
    pub const KEEP_ALIVE: u8 = 2;
    /// RESPONSE, DATA: the message is complete.
    pub const LAST: u8 = 4;
    /// RESPONSE, END: the whole request is in the kernel.
    pub const REQUEST_WRITTEN: u8 = 8;
    /// RESPONSE: not the final one.
    pub const INFORMATIONAL: u8 = 16;
    /// CONNECTED: in place of one that ended under the same lease; `aux` is the reason.
    pub const REPLACES: u8 = 1;
    /// CONNECTED: the request had been written to that one.
    pub const RESENT: u8 = 2;
    /// CONNECTED: it was another agent's before.
    pub const ADOPTED: u8 = 4;
    /// CONNECTED: APPROVE or CLOSE must follow.
    pub const ASKS: u8 = 8;
    /// ERROR: it is a proxy that has failed, or could not be reached.
    pub const PROXYS: u8 = 1;
    /// ERROR: the peer has asked for another TLS handshake, which only the runtime's own TLS has.
    pub const RENEGOTIATES: u8 = 16;
    /// ERROR: after the response's head.
    pub const AFTER_HEAD: u8 = 32;
    /// ERROR: the runtime's own TLS might get on with the peer, with luck; nothing of the request was written.
    pub const MIGHT_DO: u8 = 64;
    /// ERROR: the runtime's own TLS may well get on with the peer; nothing of the request was written.
    pub const MAY_DO: u8 = 128;
    /// SECURED: APPROVE or CLOSE must follow.
    pub const ASK: u8 = 1;
    /// SECURED: an earlier session goes on.
    pub const RESUMED: u8 = 2;
}
