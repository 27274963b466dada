//! One request on one connection, again and again.
//!
//! * [`connection`]: the task that owns a connection for its whole life, dialing included.
//! * [`context`]: what that task works with; [`owner`]: whose the connection is.
//! * `state`: where an exchange is.
//! * `wire`, `reading`: a transport of it, and the exchange on that; `surroundings`: what carrying it takes beside.
//! * `driver`: who has those on the I/O thread; `seat`: on a thread that asks ([`event_loop`]).
//! * `stream`: the exchanges in one place of a session of HTTP/2.
//! * [`timeouts`]: how long it waits for its peer.
//! * [`request_buffer`]: request bytes, kept while they may be sent again.
//! * [`mailbox`], [`events`]: what goes in, and what comes out.
//!
//! The lease of a connection ends when the caller checks it in, not when the message ends: until then the
//! connection's task only watches it.

mod backlog;
pub mod connection;
pub mod context;
mod driver;
pub mod event_loop;
pub mod events;
pub mod mailbox;
pub mod owner;
mod reading;
pub mod request_buffer;
mod seat;
mod state;
mod stream;
pub mod surroundings;
#[cfg(test)]
mod tests;
pub mod timeouts;
mod wire;
