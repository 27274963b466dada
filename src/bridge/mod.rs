//! Where Rust meets JavaScript: one port per JavaScript thread.
//!
//! * [`port`]: the ports, and what is asked by one: leases, check-ins, batches.
//! * [`agents`]: agents and their origins.
//! * [`profile`]: ways to connect, as JavaScript describes them.
//! * `bell`: what wakes a JavaScript thread.
//! * [`submission`]: commands that JavaScript wrote into a buffer, one call a tick.
//! * [`completion`]: records that JavaScript reads out of a buffer, one wake-up a batch.
//! * `records`: what happens in the engine, written as such records.
//! * [`head_cache`]: response heads that repeat, told once.
//! * [`layout`]: the numbers both sides share (tested for equality with `lib/bridge/layout.js`).
//! * `in_loop`, `libuv`: exchanges that a JavaScript thread carries itself, in Node's event loop or by looking; `no_loop`: where it can't.
//! * `copies`: large pieces of requests, copied into memory that was used before.
//! * [`lending`]: buffers of JavaScript's that bodies are written to.
//! * `tls`: TLS settings in, by number from then on; the facts of a handshake out.
//! * [`fetch`]: the `reqwest` clients of `fetch()`, by number.
//! * [`content`]: content codings of responses that came over the runtime's own sockets.
//! * [`overview`], [`stats`]: counters.
//! * `faults`: panics on demand, in no release.
//!
//! The only room that knows napi. No panic leaves it: napi-rs turns one into a JavaScript error.

pub mod agents;
mod bell;
pub mod completion;
pub mod content;
mod copies;
#[cfg(feature = "fault-injection")]
mod faults;
pub mod fetch;
pub mod head_cache;
#[cfg(target_os = "linux")]
mod in_loop;
#[cfg(not(target_os = "linux"))]
#[path = "no_loop.rs"]
mod in_loop;
pub mod layout;
pub mod lending;
#[cfg(target_os = "linux")]
mod libuv;
pub mod overview;
pub mod port;
pub mod profile;
mod records;
pub mod stats;
pub mod submission;
#[cfg(test)]
mod tests;
mod tls;
