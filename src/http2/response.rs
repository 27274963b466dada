//! Heads and trailers of HTTP/2 as those of HTTP/1 are told.

use http::header::{HeaderMap, WWW_AUTHENTICATE};
use http::StatusCode;

use crate::http1::head::{Framing, Head};
use crate::http1::llhttp_errors::ParseFault;
use crate::http1::version::Version;

/// A head, with the registry's words for its status.
///
/// # Errors
///
/// It is `max_size` or larger, as the runtimes count: reason, names and values.
pub fn head(status: StatusCode, fields: &HeaderMap, max_size: usize) -> Result<Head, ParseFault> {
    let mut text = Vec::new();
    let reason = status.canonical_reason().unwrap_or_default();
    let mut counted = reason.len();
    for (name, value) in fields {
        counted += name.as_str().len() + value.len();
        text.extend_from_slice(name.as_str().as_bytes());
        text.push(0);
        text.extend_from_slice(value.as_bytes());
        text.push(0);
    }
    if counted >= max_size {
        return Err(ParseFault::overflow(counted));
    }
    text.extend_from_slice(reason.as_bytes());
    Ok(Head {
        status: status.as_u16(),
        version: Version::Http20,
        keep_alive: true,
        framing: Framing::None,
        upgrades: false,
        text,
        len: counted,
    })
}

/// Trailers as `name\0value…`.
pub fn trailers(fields: &HeaderMap) -> Vec<u8> {
    let mut text = Vec::new();
    for (name, value) in fields {
        if !text.is_empty() {
            text.push(0);
        }
        text.extend_from_slice(name.as_str().as_bytes());
        text.push(0);
        text.extend_from_slice(value.as_bytes());
    }
    text
}

/// Whether a response says that its server is to be asked over HTTP/1.1 from now on: it was the wrong one for this name, or
/// wants to know its user by the connection, which HTTP/2 shares.
pub fn wants_http1(status: StatusCode, fields: &HeaderMap) -> bool {
    let by_connection = |scheme: &[u8]| {
        let name = scheme.split(|byte| matches!(byte, b' ' | b',')).next();
        name.is_some_and(|name| {
            name.eq_ignore_ascii_case(b"ntlm") || name.eq_ignore_ascii_case(b"negotiate")
        })
    };
    status == StatusCode::MISDIRECTED_REQUEST
        || status == StatusCode::UNAUTHORIZED
            && fields
                .get_all(WWW_AUTHENTICATE)
                .iter()
                .any(|value| by_connection(value.as_bytes()))
}
