//! One attempt at one address: the socket, its local end, `connect`.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::TcpStream;

use super::{within, Profile, Target};
use crate::error::{is_in_progress, Failure};

/// Connects to `target`; the second value is the peer's address. Dropping the future closes the socket.
pub(super) async fn open(
    target: &Target,
    profile: &Profile,
) -> Result<(TcpStream, SocketAddr), Failure> {
    let failed = |err: &io::Error| {
        Failure::from_io(err, "connect", Some(&target.text), Some(target.addr.port()))
    };
    let late = |err: &io::Error| with_local_port(failed(err), target, profile);
    let socket = Socket::new(
        Domain::for_address(target.addr),
        Type::STREAM,
        Some(Protocol::TCP),
    )
    .map_err(|err| failed(&err))?;
    socket.set_nonblocking(true).map_err(|err| failed(&err))?;
    if let Some(local) = local_end(target, profile) {
        bind(&socket, local, target).map_err(|err| {
            let ip = local.ip().to_string();
            Failure {
                target: Some(target.addr),
                ..Failure::from_io(&err, "bind", Some(&ip), Some(local.port()))
            }
        })?;
    }
    match socket.connect(&target.addr.into()) {
        Ok(()) => {}
        Err(err) if is_in_progress(&err) => {}
        // Loopback may refuse on the spot; for the runtime that is an answer like any other.
        Err(err) if err.kind() == io::ErrorKind::ConnectionRefused => return Err(late(&err)),
        Err(err) => return Err(at_once(failed(&err), &socket)),
    }
    let stream = TcpStream::from_std(socket.into()).map_err(|err| failed(&err))?;
    match profile.tcp_user_timeout_ms {
        0 => stream.writable().await.map_err(|err| late(&err))?,
        // To the kernel the option is one of open connections.
        ms => match within(Duration::from_millis(ms.into()), stream.writable()).await {
            Some(writable) => writable.map_err(|err| late(&err))?,
            None => {
                let port = Some(target.addr.port());
                let failure = Failure::from_name("ETIMEDOUT", "connect", Some(&target.text), port);
                return Err(with_local_port(failure, target, profile));
            }
        },
    }
    if let Some(err) = stream.take_error().map_err(|err| late(&err))? {
        return Err(late(&err));
    }
    let remote = stream.peer_addr().unwrap_or(target.addr);
    Ok((stream, remote))
}

/// The local end that the profile asks for, if it does; `None`: the system's choice.
fn local_end(target: &Target, profile: &Profile) -> Option<SocketAddr> {
    if profile.local_address.is_none() && profile.local_port == 0 {
        return None;
    }
    let any: IpAddr = if target.addr.is_ipv4() {
        Ipv4Addr::UNSPECIFIED.into()
    } else {
        Ipv6Addr::UNSPECIFIED.into()
    };
    Some(SocketAddr::new(
        profile.local_address.unwrap_or(any),
        profile.local_port,
    ))
}

fn bind(socket: &Socket, local: SocketAddr, target: &Target) -> io::Result<()> {
    if local.is_ipv4() != target.addr.is_ipv4() {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    // As libuv: a port that lingers in TIME_WAIT can be used again. On Windows the option means something else.
    #[cfg(unix)]
    socket.set_reuse_address(true)?;
    socket.bind(&local.into())
}

/// A refusal of `connect` itself: the runtime adds the local end as the system has it, `0.0.0.0:0` and all.
fn at_once(failure: Failure, socket: &Socket) -> Failure {
    match socket.local_addr().ok().and_then(|local| local.as_socket()) {
        Some(local) => failure.with_local_detail(local),
        None => failure,
    }
}

/// A refusal by the network: the runtime adds the local end if the user has chosen its port.
fn with_local_port(failure: Failure, target: &Target, profile: &Profile) -> Failure {
    match local_end(target, profile) {
        Some(local) if local.port() != 0 => Failure {
            local: Some(local),
            ..failure.with_local_detail(local)
        },
        _ => failure,
    }
}
