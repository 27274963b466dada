//! keepwire's engine: keep-alive connections that are reused every time they can be, for JavaScript's
//! `http.Agent`.
//!
//! The rooms, each of which may know those below it (ARCHITECTURE.md; a test compares):
//!
//! * `bridge`: where Rust meets JavaScript; the only room that knows napi.
//! * `fetch`: what `fetch()` needs beside the engine.
//! * `engine`: how pool, connect and exchange come together.
//! * `exchange`: one request on one connection.
//! * `pool`: which connection serves whom; a pure state machine.
//! * `connect`: dns, tcp (or a unix socket) and proxies, with their errors.
//! * `http2`: sessions of HTTP/2, whose places stand for connections.
//! * `http1`: the responses in the bytes that a connection brings.
//! * `io_thread`: the process-wide I/O thread.
//! * `large`: much memory, which is not given back on that thread.
//! * `contain`, `faults`: what a panic ends; panics for tests.
//! * `config`, `error`, `metrics`: constants of the engine, its one error type, its counters.

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
