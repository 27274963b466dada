//! An open connection, whatever carries it.

use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::task::{Context, Poll};

use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
#[cfg(unix)]
use tokio::net::UnixStream;

use super::socket_options::{self, KeepAlive};
use super::spread::Counted;
use super::tcp_socket::Tcp;
use super::tls::TlsStream;

/// A byte stream to a peer. Dropping it closes the connection.
#[derive(Debug)]
pub enum Transport {
    /// The second value: its part in the count of connections to its address, if those are counted.
    Tcp(Tcp, Option<Counted>),
    #[cfg(unix)]
    Unix(UnixStream),
    Tls(Box<TlsStream>),
}

/// What an idle connection has come to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum IdleState {
    /// Fit for a request.
    Open,
    /// The peer has closed it.
    Closed,
    /// The peer has sent bytes that nobody asked for. They may be followed by its end.
    TalkingUnasked,
}

macro_rules! each {
    ($transport:expr, $stream:ident => $body:expr) => {
        match $transport {
            Transport::Tcp($stream, _) => $body,
            #[cfg(unix)]
            Transport::Unix($stream) => $body,
            Transport::Tls($stream) => $body,
        }
    };
}

impl Transport {
    /// The TCP socket under whatever TLS there is; `None`: it is a Unix socket.
    fn tcp(&self) -> Option<&Tcp> {
        match self {
            Transport::Tcp(stream, _) => Some(stream),
            #[cfg(unix)]
            Transport::Unix(_) => None,
            Transport::Tls(stream) => stream.socket().tcp(),
        }
    }

    /// The socket under whatever TLS there is.
    fn socket(&self) -> SockRef<'_> {
        match self {
            Transport::Tcp(stream, _) => SockRef::from(stream),
            #[cfg(unix)]
            Transport::Unix(stream) => SockRef::from(stream),
            Transport::Tls(stream) => stream.socket().socket(),
        }
    }

    /// The same connection over what `change` makes of its TCP socket; of a Unix socket, nothing is made.
    fn map_tcp(self, change: fn(Tcp) -> io::Result<Tcp>) -> io::Result<Self> {
        Ok(match self {
            Transport::Tcp(stream, counted) => Transport::Tcp(change(stream)?, counted),
            #[cfg(unix)]
            Transport::Unix(_) => self,
            Transport::Tls(stream) => {
                let stream = stream.map_socket(|socket| socket.map_tcp(change))?;
                Transport::Tls(Box::new(stream))
            }
        })
    }

    /// Looks at an idle connection without taking a byte of data from it: one system call, no waiting.
    ///
    /// The kernel tells of a reset only once, so a connection that is not [`IdleState::Open`] is to be closed.
    ///
    /// # Errors
    ///
    /// The system's, if the peer has reset it or it has failed otherwise, or in TLS what the peer has said of it.
    pub fn look(&mut self) -> io::Result<IdleState> {
        match self {
            Transport::Tls(stream) => stream.look(),
            _ => judge(peek(self.socket())),
        }
    }

    /// Whether [`Transport::detach`] does anything.
    pub fn can_detach(&self) -> bool {
        self.tcp().is_some()
    }

    /// The same connection, no longer watched by tokio: it never waits, and wakes nobody.
    ///
    /// # Errors
    ///
    /// The system's; the connection is closed.
    pub fn detach(self) -> io::Result<Self> {
        self.map_tcp(Tcp::detach)
    }

    /// The same connection, watched by tokio again. I/O thread only.
    ///
    /// # Errors
    ///
    /// The system's; the connection is closed.
    pub fn attach(self) -> io::Result<Self> {
        self.map_tcp(Tcp::attach)
    }

    /// Whoever watches the detached socket has heard that there is something to read.
    pub fn has_more(&mut self) {
        match self {
            Transport::Tcp(stream, _) => stream.has_more(),
            #[cfg(unix)]
            Transport::Unix(_) => {}
            Transport::Tls(stream) => stream.socket_mut().has_more(),
        }
    }

    /// The socket's file descriptor, while it is detached; `None` also where sockets have none.
    pub fn descriptor(&self) -> Option<i32> {
        self.tcp()?.descriptor()
    }

    /// Whether the kernel has something to read, an end included, even if tokio does not know of it yet. Takes nothing.
    pub fn has_news(&self) -> bool {
        !matches!(judge(peek(self.socket())), Ok(IdleState::Open))
    }

    /// Whether the peer has asked for another TLS handshake, which the engine's TLS refuses.
    pub fn was_asked_again(&self) -> bool {
        matches!(self, Transport::Tls(stream) if stream.was_asked_again())
    }

    /// What reading has been in work since this was last asked, in bytes: in TLS, a record is work however little it says.
    pub fn take_work(&mut self) -> usize {
        match self {
            Transport::Tls(stream) => stream.take_work(),
            _ => 0,
        }
    }

    /// Nagle's algorithm off (`true`) or on. A Unix socket has none, which is no error.
    pub fn set_nodelay(&self, no_delay: bool) -> io::Result<()> {
        self.tcp().map_or(Ok(()), |stream| {
            SockRef::from(stream).set_tcp_nodelay(no_delay)
        })
    }

    /// TCP keep-alive probes. A Unix socket has none, which is no error.
    pub fn set_keepalive(&self, probes: KeepAlive) -> io::Result<()> {
        self.tcp().map_or(Ok(()), |stream| {
            socket_options::set_keepalive(SockRef::from(stream), probes)
        })
    }

    /// The type of service (IPv4) or traffic class (IPv6) of what is sent; `None`: it has none, as a Unix socket.
    pub fn set_type_of_service(&self, class: u8) -> Option<io::Result<()>> {
        let socket = SockRef::from(self.tcp()?);
        Some(socket_options::set_type_of_service(socket, class))
    }

    /// What [`Transport::set_type_of_service`] has come to: the kernel keeps some of its bits to itself.
    pub fn type_of_service(&self) -> Option<io::Result<u8>> {
        let socket = SockRef::from(self.tcp()?);
        Some(socket_options::type_of_service(socket))
    }

    /// How long sent bytes may stay unacknowledged (RFC 5482), on Linux. Other systems have no such option, a Unix socket has
    /// no such wait: no error, and nothing changes.
    pub fn set_user_timeout(&self, ms: u32) -> io::Result<()> {
        #[cfg(target_os = "linux")]
        if let Some(stream) = self.tcp() {
            let timeout = std::time::Duration::from_millis(ms.into());
            return SockRef::from(stream).set_tcp_user_timeout(Some(timeout));
        }
        #[cfg(not(target_os = "linux"))]
        let _ = ms;
        Ok(())
    }
}

fn peek(socket: SockRef<'_>) -> io::Result<usize> {
    socket.peek(&mut [MaybeUninit::uninit()])
}

fn judge(peeked: io::Result<usize>) -> io::Result<IdleState> {
    match peeked {
        Ok(0) => Ok(IdleState::Closed),
        Ok(_) => Ok(IdleState::TalkingUnasked),
        Err(err)
            if matches!(
                err.kind(),
                io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted
            ) =>
        {
            Ok(IdleState::Open)
        }
        Err(err) => Err(err),
    }
}

impl AsyncRead for Transport {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        each!(self.get_mut(), stream => Pin::new(stream).poll_read(cx, buf))
    }
}

impl AsyncWrite for Transport {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        each!(self.get_mut(), stream => Pin::new(stream).poll_write(cx, buf))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        each!(self.get_mut(), stream => Pin::new(stream).poll_write_vectored(cx, bufs))
    }

    fn is_write_vectored(&self) -> bool {
        each!(self, stream => stream.is_write_vectored())
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        each!(self.get_mut(), stream => Pin::new(stream).poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        each!(self.get_mut(), stream => Pin::new(stream).poll_shutdown(cx))
    }
}
