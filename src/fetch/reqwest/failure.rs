//! What reqwest and hyper report, in the engine's words.

use std::error::Error;
use std::io;

use crate::connect::tls;
use crate::error::{Failure, Prospect};
use crate::fetch::failure::{chain, of_body};
use crate::http2::Fate;

/// Whether the connection ended without a word: what a fresh one may do better.
pub fn is_lost_connection(error: &reqwest::Error) -> bool {
    chain(error).any(|cause| {
        if let Some(error) = cause.downcast_ref::<hyper::Error>() {
            return error.is_incomplete_message() || error.is_canceled() || error.is_closed();
        }
        cause.downcast_ref::<io::Error>().is_some_and(|error| {
            use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, NotConnected};
            matches!(
                error.kind(),
                ConnectionReset | ConnectionAborted | BrokenPipe | NotConnected
            )
        })
    })
}

/// Whether the server says that it has not begun to process the request (RFC 9113, section 8.7).
pub fn is_unprocessed(error: &reqwest::Error) -> bool {
    chain(error).any(|cause| {
        let error = cause.downcast_ref::<h2::Error>();
        error.is_some_and(|error| matches!(Fate::of(error), Fate::Unprocessed))
    })
}

/// A failure of a request, or of its response's body (`in_body`).
pub fn describe(error: &(dyn Error + 'static), host: &str, port: u16, in_body: bool) -> Failure {
    let causes: Vec<_> = chain(error).collect();
    let request = causes
        .iter()
        .find_map(|cause| cause.downcast_ref::<reqwest::Error>());
    let connecting = request.is_some_and(reqwest::Error::is_connect);
    let told = causes.iter().find_map(|cause| {
        let refusal = || cause.downcast_ref::<rustls::Error>().map(tls::refusal);
        cause.downcast_ref::<Failure>().cloned().or_else(refusal)
    });
    if let Some(failure) = told {
        return Failure {
            // Once hands were shaken, something of the request may be out.
            prospect: if connecting {
                failure.prospect
            } else if causes.iter().any(|cause| is_refused_handshake(*cause)) {
                Prospect::Later
            } else {
                Prospect::None
            },
            ..failure
        };
    }
    if connecting && causes.iter().any(|cause| is_silent_end(*cause)) {
        let message =
            "Client network socket disconnected before secure TLS connection was established";
        return Failure {
            prospect: Prospect::Faint,
            ..Failure::new("ECONNRESET", message)
        };
    }
    if connecting && request.is_some_and(reqwest::Error::is_timeout) {
        let message = "No connection was established within connectTimeout";
        return Failure::new("ERR_KEEPWIRE_CONNECT_TIMEOUT", message);
    }
    let system = causes.iter().find_map(|cause| {
        let error = cause.downcast_ref::<io::Error>()?;
        error.raw_os_error().map(|_| error)
    });
    match system {
        Some(error) if connecting => {
            let address = host.trim_matches(|c| c == '[' || c == ']');
            return Failure::from_io(error, "connect", Some(address), Some(port));
        }
        Some(error) => return Failure::from_io(error, "read", None, None),
        None => {}
    }
    if let Some(error) = causes
        .iter()
        .find_map(|cause| cause.downcast_ref::<hyper::Error>())
    {
        return message(error, in_body);
    }
    if in_body {
        return of_body(error);
    }
    let last = causes.last().map_or_else(String::new, ToString::to_string);
    Failure::new("", last)
}

/// What a peer says that has asked for another handshake and was refused it.
fn is_refused_handshake(cause: &(dyn Error + 'static)) -> bool {
    use rustls::{AlertDescription, Error};
    matches!(
        cause.downcast_ref::<Error>(),
        Some(Error::AlertReceived(AlertDescription::HandshakeFailure))
    )
}

/// A peer that ends the connection while hands are shaken; addresses refuse connections in other ways.
fn is_silent_end(cause: &(dyn Error + 'static)) -> bool {
    use io::ErrorKind::{ConnectionReset, UnexpectedEof};
    cause
        .downcast_ref::<io::Error>()
        .is_some_and(|error| matches!(error.kind(), ConnectionReset | UnexpectedEof))
}

/// A response that breaks off, or that is none.
fn message(error: &hyper::Error, in_body: bool) -> Failure {
    if error.is_incomplete_message() || error.is_closed() || error.is_canceled() {
        return Failure::new("UND_ERR_SOCKET", "other side closed");
    }
    if error.to_string().contains("too large") {
        return Failure::new("UND_ERR_HEADERS_OVERFLOW", "Headers Overflow Error");
    }
    let text = error.to_string();
    if in_body {
        if chain(error).any(|cause| cause.to_string().contains("chunk")) {
            return parse("HPE_INVALID_CHUNK_SIZE", "Invalid character in chunk size");
        }
        return Failure::new("UND_ERR_SOCKET", "other side closed");
    }
    if error.is_parse() {
        return match () {
            () if text.contains("version") => parse("HPE_INVALID_VERSION", "Invalid HTTP version"),
            () if error.is_parse_status() => parse("HPE_INVALID_STATUS", "Invalid status code"),
            () if text.contains("content-length") => {
                let reason = "Invalid character in Content-Length";
                parse("HPE_INVALID_CONTENT_LENGTH", reason)
            }
            () if text.contains("transfer-encoding") => {
                parse("HPE_INVALID_TRANSFER_ENCODING", "Invalid transfer encoding")
            }
            () => parse("HPE_INVALID_HEADER_TOKEN", "Invalid header token"),
        };
    }
    Failure::new("UND_ERR_SOCKET", text)
}

fn parse(code: &'static str, reason: &'static str) -> Failure {
    Failure {
        reason: Some(reason.into()),
        ..Failure::new(code, reason)
    }
}
