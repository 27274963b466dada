//! A TLS session that failed, in OpenSSL's words, as an [`std::io::Error`] carries it.

use std::fmt;

use super::{errno, Failure, Phase, Prospect};

/// A failed handshake or a broken record.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TlsFault {
    /// OpenSSL's reason, such as `wrong version number`.
    pub reason: String,
    /// The number of the alert that the peer sent; 0: it sent none.
    pub alert: u8,
    /// Peer and we have nothing in common; another TLS may have.
    pub incompatible: bool,
}

impl fmt::Display for TlsFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.reason)
    }
}

impl std::error::Error for TlsFault {}

impl TlsFault {
    /// As the runtime reports it: `EPROTO` while hands are shaken, `ERR_SSL_` and the reason afterwards.
    pub(super) fn failure(&self, phase: Phase) -> Failure {
        let mut message = format!("error:SSL routines::{}:", self.reason);
        if self.alert > 0 {
            message.push_str(&format!("SSL alert number {}", self.alert));
        }
        let reason = Some(self.reason.clone().into());
        if phase == Phase::Connect {
            return Failure {
                errno: errno::number("EPROTO"),
                syscall: "write",
                reason,
                prospect: if self.incompatible {
                    Prospect::Good
                } else {
                    Prospect::None
                },
                ..Failure::new("EPROTO", format!("write EPROTO {message}\n"), phase)
            };
        }
        let code = format!("ERR_SSL_{}", self.reason.to_uppercase().replace(' ', "_"));
        Failure {
            reason,
            ..Failure::new(code, format!("{message}\n"), phase)
        }
    }
}
