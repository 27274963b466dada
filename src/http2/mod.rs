//! HTTP/2 for exchanges that know HTTP/1: sessions whose places stand for connections.
//!
//! * `places`: of an origin, who gets a place in which session, who dials, and what was learned of its server.
//! * `session`: one connection that speaks HTTP/2, and how many places it has.
//! * `frame_meter`: what comes over its connection: silence, noise, and how much a turn may take.
//! * `request`: a request's bytes, as they would go over HTTP/1, made into a head and a body without framing.
//! * `response`: heads and trailers as those of HTTP/1 are told.
//! * `fault`: what became of a request whose stream has failed.

mod fault;
mod frame_meter;
mod places;
mod request;
mod response;
mod session;

pub use fault::Fate;
pub use places::{Dial, Origin, Way};
pub use request::{head_of, Body, Head, Piece};
pub use response::{head, trailers, wants_http1};
pub use session::{Bounds, Place, Session};

/// The application protocol that says HTTP/2.
pub const ALPN: &[u8] = b"h2";
