//! The decoders.

use std::io;

use brotli_decompressor::{BrotliDecompressStream, BrotliResult, BrotliState, StandardAlloc};
use flate2::Decompress;
use zstd::stream::raw::{DParameter, Decoder as Zstd, Operation};

use super::coding::Coding;
use super::gzip::Gzip;
use super::inflate::{inflate, undecodable};

/// Largest window of zstd that a content coding may ask for: 8 MiB (RFC 9659).
const ZSTD_WINDOW_LOG: u32 = 23;

type Brotli = BrotliState<StandardAlloc, StandardAlloc, StandardAlloc>;

pub enum Decoder {
    Gzip(Gzip),
    Deflate(Decompress),
    Brotli(Box<Brotli>),
    Zstd(Zstd<'static>),
}

impl Decoder {
    /// `first`: the first byte that it will get.
    pub fn new(coding: Coding, first: u8) -> io::Result<Self> {
        Ok(match coding {
            Coding::Gzip => Self::Gzip(Gzip::default()),
            // Some servers leave the zlib header out; its first byte gives it away.
            Coding::Deflate => Self::Deflate(Decompress::new(first & 0x0f == 8)),
            // Without the large windows that no content coding has.
            Coding::Brotli => Self::Brotli(Box::new(Brotli::new_strict(
                StandardAlloc::default(),
                StandardAlloc::default(),
                StandardAlloc::default(),
            ))),
            Coding::Zstd => {
                let mut decoder = Zstd::new()?;
                decoder.set_parameter(DParameter::WindowLogMax(ZSTD_WINDOW_LOG))?;
                Self::Zstd(decoder)
            }
        })
    }

    /// Another member follows.
    pub fn begin_again(&mut self) -> io::Result<()> {
        match self {
            Self::Gzip(gzip) => gzip.begin_again(),
            Self::Zstd(decoder) => decoder.reinit()?,
            Self::Deflate(_) | Self::Brotli(_) => {}
        }
        Ok(())
    }

    /// Bytes read, bytes written, whether the member is complete.
    pub fn decode(&mut self, input: &[u8], room: &mut [u8]) -> io::Result<(usize, usize, bool)> {
        match self {
            Self::Gzip(gzip) => gzip.decode(input, room),
            Self::Deflate(decoder) => inflate(decoder, input, room),
            Self::Brotli(state) => {
                let (mut read, mut written) = (0, 0);
                let result = BrotliDecompressStream(
                    &mut input.len(),
                    &mut read,
                    input,
                    &mut room.len(),
                    &mut written,
                    room,
                    &mut 0,
                    state,
                );
                match result {
                    BrotliResult::ResultFailure => Err(undecodable("Decompression failed")),
                    BrotliResult::ResultSuccess => Ok((read, written, true)),
                    _ => Ok((read, written, false)),
                }
            }
            Self::Zstd(decoder) => {
                let status = decoder
                    .run_on_buffers(input, room)
                    .map_err(|error| undecodable(error.to_string()))?;
                let is_done = status.remaining == 0;
                Ok((status.bytes_read, status.bytes_written, is_done))
            }
        }
    }
}
