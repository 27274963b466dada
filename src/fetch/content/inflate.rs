//! Deflate, and what is said of bytes that can't be decoded.

use std::io;

use flate2::{Decompress, FlushDecompress, Status};

use crate::error::Failure;

pub fn inflate(
    decoder: &mut Decompress,
    input: &[u8],
    room: &mut [u8],
) -> io::Result<(usize, usize, bool)> {
    let (read, written) = (decoder.total_in(), decoder.total_out());
    let status = decoder
        .decompress(input, room, FlushDecompress::None)
        .map_err(|error| undecodable(error.to_string()))?;
    Ok((
        (decoder.total_in() - read) as usize,
        (decoder.total_out() - written) as usize,
        status == Status::StreamEnd,
    ))
}

/// In zlib's words, as the runtimes'.
pub fn undecodable(message: impl Into<String>) -> io::Error {
    io::Error::other(Failure::new("Z_DATA_ERROR", message))
}

pub fn truncated() -> io::Error {
    io::Error::other(Failure::new("Z_BUF_ERROR", "unexpected end of file"))
}
