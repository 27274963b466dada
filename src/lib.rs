//! keepwire's engine: keep-alive connections that are reused every time they can be, for JavaScript's
//! `http.Agent`.
//!
//! The rooms, the highest first; each may use those below it (ARCHITECTURE.md has the same list, and
//! `__test__/package/floors-rust.test.js` compares them):
//!
//! * `bridge`: where Rust meets JavaScript; the only room that knows napi.
//! * `fetch`: what `fetch()` needs beside the engine.
//! * `engine`: how pool, connect and exchange come together.
//! * `exchange`: one request after the other on one connection.
//! * `http2`: sessions of HTTP/2, whose places stand for connections.
//! * `pool`: which connection serves whom; a pure state machine.
//! * `connect`: names, addresses, TCP and Unix sockets, proxies, TLS.
//! * `http1`: the responses in the bytes that a connection brings.
//! * `io_thread`: the process-wide I/O thread.
//! * `large`: much memory, which is not given back on that thread.
//! * `contain`: a panic ends what it is part of.
//! * `error`: the one error type.
//! * `faults`: panics on demand, for tests.
//! * `metrics`: counters.
//! * `random`: the same random numbers on every run, for tests.
//! * `config`: constants.

// Elsewhere no event loop carries exchanges (`bridge/no_loop.rs`).
#![cfg_attr(not(target_os = "linux"), allow(dead_code))]
// Tests call what is dead for them, which nothing exports: napi's functions.
#![cfg_attr(test, allow(dead_code))]

mod bridge;
mod config;
mod connect;
mod contain;
mod engine;
mod error;
mod exchange;
mod faults;
mod fetch;
mod http1;
mod http2;
mod io_thread;
mod large;
mod metrics;
mod pool;
#[cfg(test)]
mod random;

/// What the fuzz targets in `fuzz/` call.
#[cfg(feature = "fuzzing")]
pub mod fuzzing {
    pub use crate::bridge::layout::{command, ALIGN, COMMAND_HEADER};
    pub use crate::bridge::submission::{Command, Commands};
    pub use crate::connect::tls::{Dialect, Trust};
    pub use crate::exchange::mailbox::Input;
    pub use crate::fetch::content::{Coding, Content, Progress};
    pub use crate::http1::reader::{Event, Fault, Reader};
}
