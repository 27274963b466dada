//! Content codings: gzip, deflate, br and zstd, one upon another, taken off a bounded amount of work at a time.
//!
//! * [`chain`]: a body on its way through all of its codings.
//! * [`stage`]: one of them, member after member.
//! * [`decoder`], [`gzip`]: what each of them is decoded by.
//! * [`inflate`]: deflate, and what is said of bytes that can't be decoded.
//! * [`coding`]: which ones a response names.

mod chain;
mod coding;
mod decoder;
mod gzip;
mod inflate;
mod stage;
#[cfg(test)]
mod tests;

#[cfg(test)]
pub use chain::panicking;
pub use chain::{Content, Progress, PIECE};
pub use coding::codings;
#[cfg(any(test, feature = "fuzzing"))]
pub use coding::Coding;
