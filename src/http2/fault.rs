//! What became of a request whose stream has failed.

use std::io;

use h2::{Error, Reason};

use super::frame_meter::Broken;
use crate::error::Failure;

/// What became of it, and so what may be done about it.
#[derive(Debug)]
pub enum Fate {
    /// The server has not begun to process it (RFC 9113, section 8.7): any request may be sent again.
    Unprocessed,
    /// The server wants it over HTTP/1.1, and has not begun to process it.
    WantsHttp1,
    /// The connection has ended: nobody knows how far the server has come.
    Lost(Failure),
    /// The server has refused it, or one side has broken the rules.
    Refused(Failure),
}

impl Fate {
    /// Of a stream whose session was given up.
    pub(super) fn of_broken(why: Broken) -> Self {
        Self::Refused(match why {
            Broken::Flooded => Failure {
                http2_code: Some(u32::from(Reason::ENHANCE_YOUR_CALM)),
                ..Failure::new(
                    "ERR_HTTP2_ERROR",
                    "The server floods the connection with frames that are no part of a response",
                )
            },
            Broken::SpeaksHttp1 => speaks_http1(),
        })
    }

    /// What `error` says of the stream that it came from.
    pub fn of(error: &Error) -> Self {
        let reason = error.reason();
        if reason == Some(Reason::HTTP_1_1_REQUIRED) && error.is_remote() {
            return Self::WantsHttp1;
        }
        if error.is_remote() && (error.is_go_away() || reason == Some(Reason::REFUSED_STREAM)) {
            return Self::Unprocessed;
        }
        if let Some(error) = error.get_io() {
            return Self::Lost(match error.kind() {
                // That is how a stream hears of a connection's orderly end, be it in the midst of a frame.
                io::ErrorKind::BrokenPipe | io::ErrorKind::UnexpectedEof | io::ErrorKind::Other => {
                    Failure::hang_up()
                }
                _ => Failure::from_io(error, "read", None, None),
            });
        }
        let Some(reason) = reason else {
            return Self::Refused(Failure::new("ERR_HTTP2_ERROR", error.to_string()));
        };
        let code = u32::from(reason);
        let failure = if error.is_remote() {
            Failure::new(
                "ECONNRESET",
                format!("Stream closed with error code {}", name(reason)),
            )
        } else {
            Failure::new("ERR_HTTP2_ERROR", error.to_string())
        };
        Self::Refused(Failure {
            http2_code: Some(code),
            ..failure
        })
    }
}

/// Of a server that was to know HTTP/2.
pub(super) fn speaks_http1() -> Failure {
    Failure::new(
        "ERR_HTTP2_ERROR",
        "The server answers over HTTP/1: it does not speak HTTP/2",
    )
}

/// What the runtimes call a code.
fn name(reason: Reason) -> String {
    let name = match reason {
        Reason::NO_ERROR => "NO_ERROR",
        Reason::PROTOCOL_ERROR => "PROTOCOL_ERROR",
        Reason::INTERNAL_ERROR => "INTERNAL_ERROR",
        Reason::FLOW_CONTROL_ERROR => "FLOW_CONTROL_ERROR",
        Reason::SETTINGS_TIMEOUT => "SETTINGS_TIMEOUT",
        Reason::STREAM_CLOSED => "STREAM_CLOSED",
        Reason::FRAME_SIZE_ERROR => "FRAME_SIZE_ERROR",
        Reason::REFUSED_STREAM => "REFUSED_STREAM",
        Reason::CANCEL => "CANCEL",
        Reason::COMPRESSION_ERROR => "COMPRESSION_ERROR",
        Reason::CONNECT_ERROR => "CONNECT_ERROR",
        Reason::ENHANCE_YOUR_CALM => "ENHANCE_YOUR_CALM",
        Reason::INADEQUATE_SECURITY => "INADEQUATE_SECURITY",
        Reason::HTTP_1_1_REQUIRED => "HTTP_1_1_REQUIRED",
        other => return u32::from(other).to_string(),
    };
    format!("NGHTTP2_{name}")
}
