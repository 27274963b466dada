//! What `fetch()` needs beside the engine.
//!
//! A fetch over an agent's connections is an exchange of the engine. What is its own is here:
//!
//! * [`relay`]: between connection and JavaScript. A body that does not come with its head waits until it is read.
//! * [`content`], [`decoding`], [`decoders`], `pace`: content codings, and the threads that take them off, at a bounded pace.
//! * `gathered`: a body that is read whole, put together.
//! * `under_way`: the fetches under way, of both kinds.
//!
//! A fetch with `client: 'reqwest'` goes over that client instead:
//!
//! * [`request`]: what JavaScript asked for, and what reaches a request under way.
//! * [`clients`]: one client for each set of TLS settings.
//! * [`dial_coalescing`]: sees to it that a client opens no connection that nobody needs.
//! * [`sending`], [`receiving`]: a request on its way out, again where that is safe; its response.
//! * [`failure`], [`stats`]: its errors in the engine's words; its counters.
//!
//! There, too, a connection that can be reused is reused: the end of a response is told after its connection has come back to the client's pool
//! ([`clients::settled`]), and a dial that has become superfluous stands in for the next one ([`dial_coalescing`]).

pub mod clients;
pub mod content;
pub mod decoders;
pub mod decoding;
pub mod dial_coalescing;
pub mod failure;
mod gathered;
mod pace;
pub mod receiving;
pub mod relay;
pub mod request;
pub mod sending;
pub mod stats;
mod under_way;

pub use under_way::{abort, abort_port, acknowledge, begin, input, read};
