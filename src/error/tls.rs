//! A TLS session that failed, in OpenSSL's words, as an [`std::io::Error`] carries it.

use std::fmt;

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
