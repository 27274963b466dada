//! SOCKS: what such a proxy is asked, and what its refusals are called.
//!
//! The protocols themselves are `tokio-socks`'. It reads no more than an answer, so what a target says first is not lost.

use std::net::SocketAddr;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio_socks::tcp::{Socks4Stream, Socks5Stream};
use tokio_socks::Error;

use crate::error::Failure;

/// A version of the protocol.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Version {
    /// Addresses, and with its extension 4a names.
    V4,
    /// RFC 1928, with user and password as in RFC 1929.
    V5,
}

/// Who asks.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Login {
    pub user: String,
    pub password: String,
}

/// What is asked for.
pub(super) enum Place<'a> {
    Name(&'a str, u16),
    Address(SocketAddr),
}

/// Asks for a connection.
///
/// # Errors
///
/// `ERR_PROXY_TUNNEL`; a refusal has its words in [`Failure::refusal`].
pub(super) async fn ask<T: AsyncRead + AsyncWrite + Unpin>(
    version: Version,
    login: Option<&Login>,
    place: &Place<'_>,
    said: (&str, &str),
    transport: &mut T,
) -> Result<(), Failure> {
    let asked = match (version, place) {
        (Version::V4, Place::Name(name, port)) => v4(login, (*name, *port), transport).await,
        (Version::V4, Place::Address(address)) => v4(login, *address, transport).await,
        (Version::V5, Place::Name(name, port)) => v5(login, (*name, *port), transport).await,
        (Version::V5, Place::Address(address)) => v5(login, *address, transport).await,
    };
    asked.map_err(|error| refused(&error, said))
}

async fn v4<'a, T: AsyncRead + AsyncWrite + Unpin>(
    login: Option<&Login>,
    target: impl tokio_socks::IntoTargetAddr<'a>,
    transport: &mut T,
) -> Result<(), Error> {
    match login {
        Some(Login { user, .. }) => {
            Socks4Stream::connect_with_userid_and_socket(transport, target, user).await?
        }
        None => Socks4Stream::connect_with_socket(transport, target).await?,
    };
    Ok(())
}

async fn v5<'a, T: AsyncRead + AsyncWrite + Unpin>(
    login: Option<&Login>,
    target: impl tokio_socks::IntoTargetAddr<'a>,
    transport: &mut T,
) -> Result<(), Error> {
    match login {
        Some(Login { user, password }) => {
            Socks5Stream::connect_with_password_and_socket(transport, target, user, password)
                .await?
        }
        None => Socks5Stream::connect_with_socket(transport, target).await?,
    };
    Ok(())
}

/// No tunnel was made.
pub(super) fn failed(message: impl Into<String>) -> Failure {
    Failure::new("ERR_PROXY_TUNNEL", message)
}

/// The runtime has no SOCKS; the code and the form of the sentence are those of its HTTP tunnels.
fn refused(error: &Error, (target, proxy): (&str, &str)) -> Failure {
    let words = match error {
        Error::Io(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => {
            return failed("Connection to establish proxy tunnel ended unexpectedly");
        }
        Error::Io(error) => return Failure::from_io(error, "read", None, None),
        Error::GeneralSocksServerFailure => "request rejected or failed",
        Error::ConnectionNotAllowedByRuleset => "connection not allowed by ruleset",
        Error::NetworkUnreachable => "network unreachable",
        Error::HostUnreachable => "host unreachable",
        Error::ConnectionRefused => "connection refused",
        Error::TtlExpired => "TTL expired",
        Error::CommandNotSupported => "command not supported",
        Error::AddressTypeNotSupported => "address type not supported",
        Error::NoAcceptableAuthMethods | Error::AuthorizationRequired => "authentication required",
        Error::PasswordAuthFailure(_) => "authentication failed",
        Error::IdentdAuthFailure | Error::InvalidUserIdAuthFailure => "user refused",
        Error::InvalidTargetAddress(_) => {
            let message =
                format!("Failed to establish tunnel to {target} via {proxy}: no such target");
            return failed(message);
        }
        // What is left is an answer that no such proxy gives.
        _ => {
            let message =
                format!("Failed to establish tunnel to {target} via {proxy}: it is no SOCKS proxy");
            return failed(message);
        }
    };
    Failure {
        refusal: Some(words.into()),
        ..failed(format!(
            "Failed to establish tunnel to {target} via {proxy}: {words}"
        ))
    }
}
