//! What `fetch()` needs beside the engine.
//!
//! A fetch over an agent's connections is an exchange of the engine. What is its own is here:
//!
//! * [`relay`]: between connection and JavaScript. A body that does not come with its head waits until it is read.
//! * [`content`], [`decoding`], [`decoders`], `pace`: content codings, and the threads that take them off, at a bounded pace.
//! * [`response`], `gathered`: a response's way to JavaScript; pieces of a body that go together.
//! * [`failure`]: what breaks a body off, in the engine's words.
//! * `under_way`, [`channel`]: the fetches that are told from here; both directions between one of them and JavaScript.
//!
//! A fetch with `client: 'reqwest'` goes over that client instead ([`reqwest`]), with the same way to JavaScript.

pub mod channel;
pub mod content;
pub mod decoders;
pub mod decoding;
pub mod failure;
mod gathered;
mod pace;
pub mod relay;
pub mod reqwest;
pub mod response;
mod under_way;

pub use under_way::{abort, abort_port, acknowledge, input, read};
