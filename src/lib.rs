//! keepwire's engine: keep-alive connections that are reused every time they can be, for JavaScript's
//! `http.Agent`.
//!
//! The rooms, and who may know whom (`bridge → agent → pool, connect, exchange → http1 → config, error, metrics`):
//!
//! * `runtime`: the process-wide I/O thread.
//! * `agent`: how pool, connect and exchange come together.
//! * `pool`: which connection serves whom; a pure state machine.
//! * `connect`: dns and tcp (or a unix socket), with their errors.
//! * `exchange`: one request on one connection.
//! * `http1`: the responses in the bytes that a connection brings.
//! * `fetch`: `fetch()` on shared `reqwest` clients.
//! * `bridge`: where Rust meets JavaScript; the only room that knows napi.
//! * `contain`, `faults`: what a panic ends; panics for tests.
//! * `config`, `error`, `metrics`: constants of the engine, its one error type, its counters.

// Tests call what is dead for them, which nothing exports: napi's functions.
#![cfg_attr(test, allow(dead_code))]

mod agent;
mod bridge;
mod config;
mod connect;
mod contain;
mod error;
mod exchange;
mod faults;
mod fetch;
mod http1;
mod metrics;
mod pool;
mod runtime;

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
