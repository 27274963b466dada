//! keepwire's engine: keep-alive connections that are reused every time they can be, for JavaScript's
//! `http.Agent`.
//!
//! The rooms, and who may know whom (`bridge → agent → pool, connect, exchange → http1 → config, error, metrics`):
//!
//! * [`runtime`]: the process-wide I/O thread.
//! * [`agent`]: how pool, connect and exchange come together.
//! * [`pool`]: which connection serves whom; a pure state machine.
//! * [`connect`]: dns and tcp (or a unix socket), with their errors.
//! * [`exchange`]: one request on one connection.
//! * [`http1`]: the responses in the bytes that a connection brings.
//! * [`fetch`]: `fetch()` on shared `reqwest` clients.
//! * [`bridge`]: where Rust meets JavaScript; the only room that knows napi.
//! * `contain`, [`faults`]: what a panic ends; panics for tests.
//! * [`config`], [`error`], [`metrics`]: constants of the engine, its one error type, its counters.

pub mod agent;
pub mod bridge;
pub mod config;
pub mod connect;
mod contain;
pub mod error;
pub mod exchange;
pub mod faults;
pub mod fetch;
pub mod http1;
pub mod metrics;
pub mod pool;
pub mod runtime;
