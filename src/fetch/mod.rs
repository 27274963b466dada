//! What `fetch()` needs beside the engine.
//!
//! Fetches over an agent's connections are exchanges of the engine; what is theirs alone is [`stage`]: a body that does not
//! come with its head waits until it is read, and content codings are taken off. Those whose users name it go over a `reqwest` client:
//!
//! * `under_way`: the fetches under way.
//! * [`request`]: what JavaScript asked for, and what reaches a request under way.
//! * [`clients`]: one client for what is trusted.
//! * [`dial_coalescing`]: sees to it that a client opens no connection that nobody needs.
//! * [`sending`]: one request, sent, and sent again where that is safe.
//! * [`receiving`], [`decoding`], `gathered`: the response's way to JavaScript.
//! * [`content`], [`decoders`]: content codings, and the threads that take them off.
//! * [`failure`]: errors in the engine's words.
//!
//! Reuse is exact there too: the end of a response is told after its connection has come back to the client's pool
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
pub mod request;
pub mod sending;
pub mod stage;
pub mod stats;
mod under_way;

pub use under_way::{abort, abort_port, acknowledge, begin, input, read};
