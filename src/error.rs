//! The engine's one error type.
//!
//! A [`Failure`] says what went wrong in the runtime's own words: its code, its numbers, its sentence and the fields that
//! it puts on an `Error`. It becomes a JavaScript error once, in `bridge`.

use std::borrow::Cow;
use std::fmt;
use std::io;
use std::net::SocketAddr;

use bytes::Bytes;

mod errno;
mod tls;

pub(crate) use errno::is_in_progress;
pub use tls::TlsFault;

/// The code of what is our own fault: the engine has panicked, or was told what makes no sense.
pub const ENGINE_FAILED: &str = "ERR_KEEPWIRE_ENGINE";

/// Why a connection or an exchange failed.
#[derive(Clone, Debug)]
pub struct Failure {
    /// The runtime's stable code, such as `ECONNREFUSED`, `ENOTFOUND` or `HPE_INVALID_CONSTANT`; ours start with `ERR_KEEPWIRE_`.
    pub code: Cow<'static, str>,
    /// libuv's number for the code (-111 for `ECONNREFUSED` on Linux, -3008 for `ENOTFOUND` everywhere); 0: it has none.
    pub errno: i32,
    /// `connect`, `bind`, `getaddrinfo`, `read`, `write`; empty: no system call failed.
    pub syscall: &'static str,
    /// The address (or Unix socket path) that the system call was about.
    pub address: Option<String>,
    pub port: Option<u16>,
    /// The name that could not be resolved.
    pub hostname: Option<String>,
    /// The local end, if the user had asked for a certain port: `localAddress` and `localPort` of the runtime's error.
    pub local: Option<SocketAddr>,
    /// Where the connection was to go, if `bind` failed: Bun names that.
    pub target: Option<SocketAddr>,
    /// The runtime's own sentence. Empty for several causes, as that of the runtime's `AggregateError`.
    pub message: String,
    /// What a response parser adds to its message.
    pub reason: Option<Cow<'static, str>>,
    /// Bytes that a response parser had accepted before it failed.
    pub bytes_parsed: Option<u64>,
    /// What had been read when a parser refused it; the head of a proxy's refusal.
    pub packet: Bytes,
    /// The code that an HTTP/2 stream, or its connection, was closed with.
    pub http2_code: Option<u32>,
    /// The status that a proxy has refused a tunnel with.
    pub status: Option<u16>,
    /// What else a proxy has refused it with.
    pub refusal: Option<Cow<'static, str>>,
    /// Whether it is a proxy that has failed, or could not be reached.
    pub is_proxys: bool,
    /// Whether the runtime's own TLS may get on with the peer.
    pub prospect: Prospect,
    /// What became of each address when several were tried; empty otherwise.
    pub causes: Vec<Failure>,
}

/// Whether the runtime's own TLS may get on with a peer that ours does not get on with.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Prospect {
    /// It would fail as well, or too much has happened.
    None,
    /// The peer has ended the connection instead of an answer to our greeting, as some do that can do nothing of what it offers.
    Faint,
    /// Not in time for this request, but for later ones: the peer has asked for another handshake, which only the runtime's has.
    Later,
    /// The two have nothing in common, or the peer's key or certificate is of a kind that we do not know.
    Good,
}

impl Failure {
    /// Whether the peer took longer than it was given.
    pub fn is_timeout(&self) -> bool {
        matches!(
            &*self.code,
            "ERR_KEEPWIRE_HEADERS_TIMEOUT" | "ERR_KEEPWIRE_BODY_TIMEOUT"
        )
    }

    /// A failure without a system call behind it.
    pub fn new(code: impl Into<Cow<'static, str>>, message: impl Into<String>) -> Self {
        Failure {
            code: code.into(),
            errno: 0,
            syscall: "",
            address: None,
            port: None,
            hostname: None,
            local: None,
            target: None,
            message: message.into(),
            reason: None,
            bytes_parsed: None,
            packet: Bytes::new(),
            http2_code: None,
            status: None,
            refusal: None,
            is_proxys: false,
            prospect: Prospect::None,
            causes: Vec::new(),
        }
    }

    /// A failed system call, worded as the runtime does: `connect ECONNREFUSED 127.0.0.1:1`. Port 0 counts as none.
    pub fn from_io(
        err: &io::Error,
        syscall: &'static str,
        address: Option<&str>,
        port: Option<u16>,
    ) -> Self {
        if let Some(fault) = tls_fault(err) {
            let code = format!("ERR_SSL_{}", fault.reason.to_uppercase().replace(' ', "_"));
            return Failure {
                reason: Some(fault.reason.clone().into()),
                ..Self::new(code, format!("{}\n", openssl_message(fault)))
            };
        }
        let (code, errno) = errno::describe(err);
        Self::system(code, errno, syscall, address, port)
    }

    /// A TLS handshake that failed: `EPROTO` if TLS is at fault, else as [`from_io`](Self::from_io).
    pub(crate) fn from_handshake(err: &io::Error) -> Self {
        let Some(fault) = tls_fault(err) else {
            return Self::from_io(err, "read", None, None);
        };
        Failure {
            errno: errno::number("EPROTO"),
            syscall: "write",
            reason: Some(fault.reason.clone().into()),
            prospect: if fault.incompatible {
                Prospect::Good
            } else {
                Prospect::None
            },
            ..Self::new(
                "EPROTO",
                format!("write EPROTO {}\n", openssl_message(fault)),
            )
        }
    }

    /// What the runtime reports for the system error `name` without having made the call: `connect ETIMEDOUT 192.0.2.1:80`
    /// for an attempt that was given up.
    pub(crate) fn from_name(
        name: &'static str,
        syscall: &'static str,
        address: Option<&str>,
        port: Option<u16>,
    ) -> Self {
        Self::system(
            Cow::Borrowed(name),
            errno::number(name),
            syscall,
            address,
            port,
        )
    }

    fn system(
        code: Cow<'static, str>,
        errno: i32,
        syscall: &'static str,
        address: Option<&str>,
        port: Option<u16>,
    ) -> Self {
        let port = port.filter(|port| *port != 0);
        let mut message = format!("{syscall} {code}");
        if let Some(address) = address {
            message.push(' ');
            message.push_str(address);
            if let Some(port) = port {
                message.push_str(&format!(":{port}"));
            }
        }
        Failure {
            errno,
            syscall,
            address: address.map(str::to_owned),
            port: port.filter(|_| address.is_some()),
            ..Self::new(code, message)
        }
    }

    /// A name that could not be resolved: `getaddrinfo ENOTFOUND nope.invalid`.
    pub(crate) fn lookup(code: impl Into<Cow<'static, str>>, errno: i32, hostname: &str) -> Self {
        let code = code.into();
        let message = format!("getaddrinfo {code} {hostname}");
        Failure {
            errno,
            syscall: "getaddrinfo",
            hostname: Some(hostname.to_owned()),
            ..Self::new(code, message)
        }
    }

    /// A name that could not be resolved because a system call failed: `getaddrinfo EMFILE example.org`.
    pub(crate) fn lookup_io(err: &io::Error, hostname: &str) -> Self {
        let (code, errno) = errno::describe(err);
        Self::lookup(code, errno, hostname)
    }

    /// Adds the local end to the message, as the runtime does for a connection whose local address counts.
    pub(crate) fn with_local_detail(mut self, local: SocketAddr) -> Self {
        // Not `SocketAddr`'s own form: the runtime writes no brackets around IPv6.
        self.message
            .push_str(&format!(" - Local ({}:{})", local.ip(), local.port()));
        self
    }

    /// The peer closed the connection before it had answered: `socket hang up`.
    pub fn hang_up() -> Self {
        Self::new("ECONNRESET", "socket hang up")
    }

    /// Several addresses were tried, none answered. The code is that of the first, as in the runtime's `AggregateError`.
    pub(crate) fn aggregate(causes: Vec<Failure>) -> Self {
        let code = causes
            .first()
            .map_or(Cow::Borrowed("ECONNREFUSED"), |first| first.code.clone());
        Failure {
            causes,
            ..Self::new(code, "")
        }
    }
}

/// The TLS fault that an error carries, if it does.
fn tls_fault(err: &io::Error) -> Option<&TlsFault> {
    err.get_ref()?.downcast_ref()
}

/// OpenSSL's sentence for a fault.
fn openssl_message(fault: &TlsFault) -> String {
    let mut message = format!("error:SSL routines::{}:", fault.reason);
    if fault.alert > 0 {
        message.push_str(&format!("SSL alert number {}", fault.alert));
    }
    message
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.causes.is_empty() {
            return f.write_str(&self.message);
        }
        for (index, cause) in self.causes.iter().enumerate() {
            if index > 0 {
                f.write_str("; ")?;
            }
            write!(f, "{cause}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Failure {}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused() -> io::Error {
        io::ErrorKind::ConnectionRefused.into()
    }

    #[test]
    fn a_failed_call_is_worded_as_the_runtime_words_it() {
        let failure = Failure::from_io(&refused(), "connect", Some("::1"), Some(1));
        assert_eq!(failure.message, "connect ECONNREFUSED ::1:1");
        assert_eq!(
            (failure.address.as_deref(), failure.port),
            (Some("::1"), Some(1))
        );
    }

    #[test]
    fn a_call_without_a_port_or_an_address_leaves_them_out() {
        let path = Failure::from_io(&refused(), "connect", Some("/run/x"), None);
        assert_eq!(path.message, "connect ECONNREFUSED /run/x");
        let zero = Failure::from_io(&refused(), "bind", Some("1.2.3.4"), Some(0));
        assert_eq!(
            (zero.message.as_str(), zero.port),
            ("bind ECONNREFUSED 1.2.3.4", None)
        );
        let reset: io::Error = io::ErrorKind::ConnectionReset.into();
        let read = Failure::from_io(&reset, "read", None, None);
        assert_eq!(read.message, "read ECONNRESET");
    }

    #[test]
    fn several_causes_show_the_first_code_and_every_sentence() {
        let one = Failure::from_io(&refused(), "connect", Some("::1"), Some(1));
        let two = Failure::from_name("ETIMEDOUT", "connect", Some("127.0.0.1"), Some(1));
        let both = Failure::aggregate(vec![one, two]);
        assert_eq!(
            (&*both.code, both.message.as_str(), both.errno),
            ("ECONNREFUSED", "", 0)
        );
        assert_eq!(
            both.to_string(),
            "connect ECONNREFUSED ::1:1; connect ETIMEDOUT 127.0.0.1:1"
        );
    }
}
