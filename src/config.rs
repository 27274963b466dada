//! The engine's constants: the only home of Rust defaults.

use std::time::Duration;

/// Body bytes of one response that JavaScript may have unacknowledged: what bounds the memory of a paused response.
pub const RESPONSE_WINDOW: usize = 256 * 1024;

/// Pieces of it, which cost JavaScript time however short they are: what is told to others waits behind them. JavaScript
/// acknowledges them when it has had a quarter, at the latest.
pub const RESPONSE_PIECES: usize = 1024;

/// Response bodies up to this size ride in the completion buffer; larger chunks go as buffers of their own.
pub const INLINE_BODY: usize = 16 * 1024;

/// Request bytes kept for a re-send; a longer request is not replayable.
pub const REPLAY_LIMIT: usize = 64 * 1024;

/// How long what the kernel has may take, when a deadline is over, until it was read or has turned out to be no progress.
pub const GRACE: Duration = Duration::from_millis(5);

/// What one connection reads in a turn before the others have theirs.
pub const TURN_BYTES: usize = 128 * 1024;

/// Pieces of a response's body that it tells in a turn, for the same reason.
pub const TURN_PIECES: usize = 256;

/// What it writes in a turn.
pub const TURN_WRITTEN: u64 = 1024 * 1024;

/// How long a record that nobody waits for (written, connected) may stay before it wakes JavaScript.
pub const LAZY_WAKE: Duration = Duration::from_millis(1);

/// Records after which JavaScript is woken although the I/O thread has more to do.
pub const WAKE_AFTER_RECORDS: u32 = 24;

/// Most response header fields that a head may have (the runtime bounds heads by size only).
pub const MAX_HEADER_FIELDS: usize = 1 << 16;

/// Most informational (1xx) responses before a final one; a flood is an attack (RFC 9110, section 15.2 sets none).
pub const MAX_INFORMATIONAL: u32 = 1000;

/// Bytes of one response that an HTTP/2 session takes before its reader has taken any: what a fast server may have on its way.
pub const STREAM_WINDOW: u32 = 1 << 20;

/// The same of all responses of a session: no limit of its own (RFC 9113, section 6.9.1, sets this one).
pub const SESSION_WINDOW: u32 = (1 << 31) - 1;

/// How long a session without places waits for another request, if the last one was given up or reset: that is no fault of its
/// connection.
pub const SESSION_LINGER: Duration = Duration::from_secs(5);

/// Largest head of a response in a session; `maxHeaderSize` applies as well.
pub const SESSION_HEADERS: u32 = 1 << 20;

/// What small DATA frames of a session may cost beside their bytes while nobody reads them.
pub const SESSION_FRAMES: usize = 1 << 24;

/// Request bytes kept for a re-send while an HTTP/2 server may still say that it has not looked at them.
pub const STREAM_REPLAY_LIMIT: u64 = 256 * 1024;

/// How often a request moves because servers say that they have not looked at it.
pub const MAX_MOVES: u32 = 16;

/// How long a proxy may take to answer CONNECT, or to shake hands in SOCKS, within `connectTimeout`.
pub const PROXY_TIMEOUT: Duration = Duration::from_secs(60);

/// Largest head of its answer: the runtime's `maxHeaderSize`.
pub const PROXY_HEAD: usize = 16 * 1024;

/// Pieces of a response in a session are told as one up to this size: its frames are smaller.
pub const GATHERED_FRAMES: usize = 64 * 1024;

/// What a frame of a session is in work, beside its bytes.
pub const FRAME_WORK: usize = 128;

/// Work of a session's frames that are no part of a response (settings, pings, windows, frames of nothing) in a second in which no
/// request and no response goes on: 7,000 pings. More is a flood.
pub const SESSION_NOISE: usize = 1 << 20;

/// The second.
pub const SESSION_NOISE_TIME: Duration = Duration::from_secs(1);

/// Streams that were given up, and that their session remembers for so long: what comes for them then is nobody's fault.
pub const SESSION_RESETS: usize = 4096;
pub const SESSION_RESET_TIME: Duration = Duration::from_secs(5);

/// Frames for streams that nobody remembers, and other errors of single streams, in a session's life.
pub const SESSION_ERRORS: usize = 1 << 14;

/// How long a session that nobody uses has to say goodbye.
pub const SESSION_GOODBYE: Duration = Duration::from_secs(1);

/// How long a server may take to answer a PING before requests go elsewhere.
pub const PING_TIMEOUT: Duration = Duration::from_secs(1);
