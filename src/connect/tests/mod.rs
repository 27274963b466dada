//! Whole connections over loopback sockets. Where an attempt must neither succeed nor fail, it goes to a listener whose
//! queue is full ([`Hole`]).

use std::io;
use std::net::{Ipv4Addr, TcpListener as StdListener};

use socket2::{Domain, SockRef, Socket, Type};
use tokio::net::TcpListener;

use super::*;

mod dial;
mod local_end;
mod proxy;
mod transport;
#[cfg(unix)]
mod unix;

pub(crate) fn profile(port: u16) -> Profile {
    Profile {
        host: "127.0.0.1".to_owned(),
        port,
        socket_path: None,
        family: 0,
        local_address: None,
        local_port: 0,
        keep_alive: false,
        keep_alive_initial_delay_ms: 0,
        no_delay: false,
        auto_select_family: true,
        first_family: 0,
        auto_select_family_attempt_timeout_ms: 250,
        connect_timeout_ms: 0,
        tls: None,
        tcp_user_timeout_ms: 0,
        names: None,
        spread: None,
        http2: None,
        asks: Asks::AsOthers,
        proxy: None,
        ping_after_ms: 0,
    }
}

pub(super) fn target(ip: &str, port: u16) -> Target {
    Target {
        addr: SocketAddr::new(ip.parse().unwrap(), port),
        text: ip.to_owned(),
    }
}

/// For the options that it has.
pub(super) fn tcp_socket(transport: &Transport) -> SockRef<'_> {
    match transport {
        Transport::Tcp(stream, _) => SockRef::from(stream),
        #[cfg(unix)]
        Transport::Unix(_) | Transport::Tls(_) => panic!("this is no TCP connection"),
    }
}

async fn listener() -> (TcpListener, u16) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    (listener, port)
}

/// A port that is bound, so that nobody else gets it, and refuses all the same, since nobody listens.
struct Refusing {
    _socket: Socket,
    port: u16,
}

fn refusing() -> Refusing {
    let (socket, port) = bound_port().unwrap();
    Refusing {
        _socket: socket,
        port,
    }
}

fn bound_port() -> io::Result<(Socket, u16)> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    socket.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into())?;
    let port = socket.local_addr()?.as_socket().unwrap().port();
    Ok((socket, port))
}

/// A port that answers nothing at all. Only Linux ignores a connection that finds the queue full.
#[cfg(target_os = "linux")]
struct Hole {
    _listener: Socket,
    _waiting: Vec<Socket>,
    port: u16,
}

#[cfg(target_os = "linux")]
fn hole() -> Hole {
    let (listener, port) = bound_port().unwrap();
    listener.listen(0).unwrap();
    let mut waiting = Vec::new();
    loop {
        assert!(waiting.len() < 64, "the queue never fills");
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        let open = socket
            .connect_timeout(
                &SocketAddr::from((Ipv4Addr::LOCALHOST, port)).into(),
                Duration::from_millis(100),
            )
            .is_ok();
        waiting.push(socket);
        if !open {
            return Hole {
                _listener: listener,
                _waiting: waiting,
                port,
            };
        }
    }
}
