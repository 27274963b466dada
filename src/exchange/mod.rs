//! One request on one connection, again and again.
//!
//! * [`connection`]: the task that owns a connection for its whole life, dialing included.
//! * [`context`]: what that task works with.
//! * `state`: where an exchange is.
//! * `service`, `reading`: the exchanges on one transport of it.
//! * [`patience`]: how long it waits for its peer.
//! * [`outgoing`]: request bytes, kept while they may be sent again.
//! * [`mailbox`], [`events`]: what goes in, and what comes out.
//!
//! The lease of a connection ends when the caller checks it in, not when the message ends: until then the
//! connection's task only watches it.

pub mod connection;
pub mod context;
pub mod events;
pub mod mailbox;
pub mod outgoing;
pub mod patience;
mod reading;
mod service;
mod state;
#[cfg(test)]
mod tests;
