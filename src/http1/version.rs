//! What a status line says of its version.

/// The versions that the runtimes' parser takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// `HTTP/0.9`, which nobody should say.
    Http09,
    /// `HTTP/1.0`
    Http10,
    /// `HTTP/1.1`
    Http11,
    /// `HTTP/2.0`, as some gateways say of what they forward. It is HTTP/1 all the same.
    Http20,
}

impl Version {
    /// That which `digits`, as `1.1`, stand for.
    pub fn of(digits: &[u8]) -> Option<Self> {
        match digits {
            b"1.1" => Some(Self::Http11),
            b"1.0" => Some(Self::Http10),
            b"2.0" => Some(Self::Http20),
            b"0.9" => Some(Self::Http09),
            _ => None,
        }
    }
}
