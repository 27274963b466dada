//! Options of a connection's socket that its user may change while it is open.

use std::io;
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};

/// A socket option, as its user sets it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SocketOption {
    /// TCP_NODELAY.
    NoDelay(bool),
    /// TCP keep-alive.
    KeepAlive(KeepAlive),
    /// Type of service (IPv4) or traffic class (IPv6).
    TypeOfService(u8),
}

/// TCP keep-alive: whether, and when, the peer is probed while it says nothing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct KeepAlive {
    pub enable: bool,
    /// Of silence before the first probe, in seconds.
    pub delay_s: u32,
    /// Between two probes, in seconds.
    pub interval_s: u32,
    /// Unanswered ones that end the connection.
    pub count: u32,
}

impl KeepAlive {
    /// After so much silence, in whole seconds as the runtime counts them, with libuv's probes: ten, a second apart.
    pub fn after_ms(delay_ms: u32) -> Self {
        Self {
            enable: true,
            delay_s: delay_ms / 1000,
            interval_s: 1,
            count: 10,
        }
    }
}

/// What a connection's user has set; it holds for the transport that it has and for those that replace it.
#[derive(Clone, Copy, Default, Debug)]
pub struct SocketOptions {
    no_delay: Option<bool>,
    keep_alive: Option<KeepAlive>,
    pub type_of_service: Option<u8>,
}

impl SocketOptions {
    /// Notes one.
    pub fn note(&mut self, option: SocketOption) {
        match option {
            SocketOption::NoDelay(on) => self.no_delay = Some(on),
            SocketOption::KeepAlive(probes) => self.keep_alive = Some(probes),
            SocketOption::TypeOfService(class) => self.type_of_service = Some(class),
        }
    }

    /// Those that were noted.
    pub fn noted(self) -> impl Iterator<Item = SocketOption> {
        [
            self.no_delay.map(SocketOption::NoDelay),
            self.keep_alive.map(SocketOption::KeepAlive),
            self.type_of_service.map(SocketOption::TypeOfService),
        ]
        .into_iter()
        .flatten()
    }
}

/// As libuv: where one of the numbers is 0, the system's own delay, interval and count stay.
pub(super) fn set_keepalive(socket: SockRef<'_>, probes: KeepAlive) -> io::Result<()> {
    let KeepAlive {
        enable,
        delay_s,
        interval_s,
        count,
    } = probes;
    if !enable || delay_s == 0 || interval_s == 0 || count == 0 {
        return socket.set_keepalive(enable);
    }
    let seconds = |number: u32| Duration::from_secs(number.into());
    let probes = TcpKeepalive::new()
        .with_time(seconds(delay_s))
        .with_interval(seconds(interval_s))
        .with_retries(count);
    socket.set_tcp_keepalive(&probes)
}

fn is_v6(socket: &SockRef<'_>) -> io::Result<bool> {
    Ok(socket.local_addr()?.is_ipv6())
}

pub(super) fn set_type_of_service(socket: SockRef<'_>, class: u8) -> io::Result<()> {
    if !is_v6(&socket)? {
        return socket.set_tos_v4(class.into());
    }
    #[cfg(unix)]
    return socket.set_tclass_v6(class.into());
    #[cfg(not(unix))]
    Err(io::ErrorKind::Unsupported.into())
}

pub(super) fn type_of_service(socket: SockRef<'_>) -> io::Result<u8> {
    let class = if is_v6(&socket)? {
        #[cfg(unix)]
        let class = socket.tclass_v6();
        #[cfg(not(unix))]
        let class = Err(io::ErrorKind::Unsupported.into());
        class
    } else {
        socket.tos_v4()
    };
    class.map(|class| class as u8)
}
