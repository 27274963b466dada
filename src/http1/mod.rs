//! HTTP/1 responses: from bytes to heads, pieces of bodies and ends.
//!
//! * [`reader`]: reads a connection's transport, a bounded amount in a turn; an idle one owns no buffer.
//! * [`decoder`]: the messages in what was read, without I/O.
//! * [`head`], [`chunked`]: raw response heads; bodies in chunks, with their trailers.
//! * [`llhttp_errors`]: why a message was refused, in the words of the runtimes' parser.
//! * [`version`]: what a status line says of its version.

pub mod chunked;
pub mod decoder;
#[cfg(test)]
mod fuzz_tests;
pub mod head;
pub mod llhttp_errors;
pub mod reader;
pub mod version;
