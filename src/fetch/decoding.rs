//! Content codings: gzip, deflate, br and zstd, one upon another.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use async_compression::tokio::bufread::{
    BrotliDecoder, DeflateDecoder, GzipDecoder, ZlibDecoder, ZstdDecoder,
};
use bytes::Bytes;
use futures_core::Stream;
use http::{header, HeaderMap};
use http_body::Body as _;
use http_body_util::BodyExt;
use tokio::io::{AsyncBufRead, AsyncBufReadExt, AsyncRead, BufReader};
use tokio_util::io::StreamReader;

/// Most codings of one body; more are an attack.
const MOST_CODINGS: usize = 5;
/// Decoded bytes told at once.
const PIECE: usize = 64 * 1024;

/// What ends a body early.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

type Reader = Pin<Box<dyn AsyncBufRead + Send>>;

/// A response's body, decoded if need be.
pub enum Incoming {
    /// As it came.
    Plain(reqwest::Body),
    /// Through decoders.
    Decoded(Box<Decoded>),
}

/// A body on its way through its decoders.
pub struct Decoded {
    raw: Raw,
    reader: Reader,
    codings: Vec<Coding>,
    at_end: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Coding {
    Gzip,
    Deflate,
    Brotli,
    Zstd,
}

/// The codings of a response in the order in which they were applied; none if there is one that nobody knows.
///
/// # Errors
///
/// Too many of them.
fn codings(headers: &HeaderMap) -> Result<Vec<Coding>, &'static str> {
    let mut codings = Vec::new();
    for value in headers.get_all(header::CONTENT_ENCODING) {
        for name in value.to_str().unwrap_or("?").split(',') {
            codings.push(match name.trim().to_ascii_lowercase().as_str() {
                "gzip" | "x-gzip" => Coding::Gzip,
                "deflate" => Coding::Deflate,
                "br" => Coding::Brotli,
                "zstd" => Coding::Zstd,
                _ => return Ok(Vec::new()),
            });
        }
    }
    if codings.len() > MOST_CODINGS {
        return Err("too many content-encodings in the response");
    }
    Ok(codings)
}

impl Incoming {
    /// The body of a response that has these header fields.
    ///
    /// # Errors
    ///
    /// More codings than may be.
    pub fn new(body: reqwest::Body, headers: &HeaderMap) -> Result<Self, &'static str> {
        if !headers.contains_key(header::CONTENT_ENCODING) || body.is_end_stream() {
            return Ok(Self::Plain(body));
        }
        let codings = codings(headers)?;
        if codings.is_empty() {
            return Ok(Self::Plain(body));
        }
        let raw = Raw(Arc::new(Mutex::new(body)));
        let reader: Reader = Box::pin(StreamReader::new(raw.clone()));
        Ok(Self::Decoded(Box::new(Decoded {
            raw,
            reader,
            codings,
            at_end: false,
        })))
    }

    /// The next piece; `None` once the message is complete.
    ///
    /// # Errors
    ///
    /// The connection's or a decoder's.
    pub async fn piece(&mut self) -> Option<Result<Bytes, BoxError>> {
        match self {
            Self::Plain(body) => loop {
                match body.frame().await? {
                    Ok(frame) => match frame.into_data() {
                        Ok(bytes) if bytes.is_empty() => {}
                        Ok(bytes) => return Some(Ok(bytes)),
                        Err(_trailers) => {}
                    },
                    Err(error) => return Some(Err(error.into())),
                }
            },
            Self::Decoded(decoded) => decoded.piece().await.map(|piece| piece.map_err(Into::into)),
        }
    }
}

impl Decoded {
    /// # Cancel safety
    ///
    /// Nothing is lost by dropping it.
    async fn piece(&mut self) -> Option<io::Result<Bytes>> {
        if !self.at_end {
            match self.read().await {
                Ok(bytes) if bytes.is_empty() => self.at_end = true,
                // Content that breaks off within a complete message: what there is counts, as in the runtimes.
                Err(error) if is_incomplete(&error) => self.at_end = true,
                other => return Some(other),
            }
        }
        // The message may go on where its content ends: the connection is free only after all of it.
        self.raw.discard().await;
        None
    }

    async fn read(&mut self) -> io::Result<Bytes> {
        while let Some(&coding) = self.codings.last() {
            let Some(&first) = self.reader.fill_buf().await?.first() else {
                // No content at all is no fault.
                return Ok(Bytes::new());
            };
            let source = std::mem::replace(&mut self.reader, Box::pin(tokio::io::empty()));
            self.reader = decoder(coding, source, first);
            self.codings.pop();
        }
        let bytes = Bytes::copy_from_slice(self.reader.fill_buf().await?);
        self.reader.consume(bytes.len());
        Ok(bytes)
    }
}

/// `first`: the first byte of what `source` gives.
fn decoder(coding: Coding, source: Reader, first: u8) -> Reader {
    fn buffered(decoder: impl AsyncRead + Send + 'static) -> Reader {
        Box::pin(BufReader::with_capacity(PIECE, decoder))
    }
    match coding {
        Coding::Gzip => {
            let mut decoder = GzipDecoder::new(source);
            decoder.multiple_members(true);
            buffered(decoder)
        }
        Coding::Deflate => {
            // Some servers leave the zlib header out; its first byte gives it away.
            if first & 0x0f == 8 {
                buffered(ZlibDecoder::new(source))
            } else {
                buffered(DeflateDecoder::new(source))
            }
        }
        Coding::Brotli => buffered(BrotliDecoder::new(source)),
        Coding::Zstd => {
            let mut decoder = ZstdDecoder::new(source);
            decoder.multiple_members(true);
            buffered(decoder)
        }
    }
}

/// Whether a decoder wants more; an error that came with the bytes is another matter.
fn is_incomplete(error: &io::Error) -> bool {
    let from_connection = error
        .get_ref()
        .is_some_and(|inner| inner.is::<reqwest::Error>());
    error.kind() == io::ErrorKind::UnexpectedEof && !from_connection
}

/// The body as it came, shared by the first decoder and by who reads what decoders leave.
#[derive(Clone)]
struct Raw(Arc<Mutex<reqwest::Body>>);

impl Raw {
    async fn discard(&self) {
        let mut rest = self.clone();
        while let Some(Ok(_)) = std::future::poll_fn(|cx| Pin::new(&mut rest).poll_next(cx)).await {
        }
    }
}

impl Stream for Raw {
    type Item = io::Result<Bytes>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let mut body = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            let frame = std::task::ready!(Pin::new(&mut *body).poll_frame(cx));
            return Poll::Ready(match frame {
                None => None,
                Some(Err(error)) => Some(Err(io::Error::other(error))),
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(bytes) => Some(Ok(bytes)),
                    Err(_trailers) => continue,
                },
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(values: &[&str]) -> Result<Vec<Coding>, &'static str> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(header::CONTENT_ENCODING, value.parse().unwrap());
        }
        codings(&headers)
    }

    #[test]
    fn codings_are_named_in_one_field_or_in_several() {
        use Coding::{Brotli, Gzip, Zstd};
        assert_eq!(named(&["gzip, BR"]), Ok(vec![Gzip, Brotli]));
        assert_eq!(named(&["x-gzip", "zstd"]), Ok(vec![Gzip, Zstd]));
        assert_eq!(named(&["gzip, unknown"]), Ok(vec![]));
        assert_eq!(named(&["identity"]), Ok(vec![]));
        assert!(named(&["gzip,gzip,gzip,gzip,gzip,gzip"]).is_err());
    }
}
