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
    /// Looks at an idle connection without taking a byte of data from it: one system call, no waiting.
    ///
    /// The kernel tells of a reset only once, so a connection that is not [`IdleState::Open`] is to be closed.
    ///
    /// # Errors
    ///
    /// The system's, if the peer has reset it or it has failed otherwise, or in TLS what the peer has said of it.
    pub fn look(&mut self) -> io::Result<IdleState> {
        match self {
            Transport::Tcp(stream, _) => judge(peek(SockRef::from(&*stream))),
            #[cfg(unix)]
            Transport::Unix(stream) => judge(peek(SockRef::from(&*stream))),
            Transport::Tls(stream) => stream.look(),
        }
    }

    /// Whether [`Transport::detach`] can be.
    pub fn can_detach(&self) -> bool {
        match self {
            Transport::Tcp(..) => true,
            #[cfg(unix)]
            Transport::Unix(_) => false,
            Transport::Tls(stream) => stream.socket().can_detach(),
        }
    }

    /// The same connection, no longer watched by tokio: it never waits, and wakes nobody.
    ///
    /// # Errors
    ///
    /// The system's; the connection is closed.
    pub fn detach(self) -> io::Result<Self> {
        Ok(match self {
            Transport::Tcp(stream, counted) => Transport::Tcp(stream.detach()?, counted),
            #[cfg(unix)]
            Transport::Unix(_) => self,
            Transport::Tls(stream) => Transport::Tls(Box::new(stream.map_socket(Self::detach)?)),
        })
    }

    /// The same connection, watched by tokio again. I/O thread only.
    ///
    /// # Errors
    ///
    /// The system's; the connection is closed.
    pub fn attach(self) -> io::Result<Self> {
        Ok(match self {
            Transport::Tcp(stream, counted) => Transport::Tcp(stream.attach()?, counted),
            #[cfg(unix)]
            Transport::Unix(_) => self,
            Transport::Tls(stream) => Transport::Tls(Box::new(stream.map_socket(Self::attach)?)),
        })
    }

    /// Something has come, as whoever watches it has heard.
    pub fn has_more(&mut self) {
        match self {
            Transport::Tcp(stream, _) => stream.has_more(),
            #[cfg(unix)]
            Transport::Unix(_) => {}
            Transport::Tls(stream) => stream.socket_mut().has_more(),
        }
    }

    /// What the system knows it by, where that is a number and it is detached.
    pub fn descriptor(&self) -> Option<i32> {
        match self {
            Transport::Tcp(stream, _) => stream.descriptor(),
            #[cfg(unix)]
            Transport::Unix(_) => None,
            Transport::Tls(stream) => stream.socket().descriptor(),
        }
    }

    /// Whether the kernel has something to read, be it an end, that may not have been heard of yet. Takes nothing.
    pub fn has_news(&self) -> bool {
        let peeked = match self {
            Transport::Tcp(stream, _) => peek(SockRef::from(stream)),
            #[cfg(unix)]
            Transport::Unix(stream) => peek(SockRef::from(stream)),
            Transport::Tls(stream) => return stream.socket().has_news(),
        };
        !matches!(judge(peeked), Ok(IdleState::Open))
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
        match self {
            Transport::Tcp(stream, _) => SockRef::from(stream).set_tcp_nodelay(no_delay),
            #[cfg(unix)]
            Transport::Unix(_) => Ok(()),
            Transport::Tls(stream) => stream.socket().set_nodelay(no_delay),
        }
    }

    /// TCP keep-alive probes. A Unix socket has none, which is no error.
    pub fn set_keepalive(&self, probes: KeepAlive) -> io::Result<()> {
        match self {
            Transport::Tcp(stream, _) => {
                socket_options::set_keepalive(SockRef::from(stream), probes)
            }
            #[cfg(unix)]
            Transport::Unix(_) => Ok(()),
            Transport::Tls(stream) => stream.socket().set_keepalive(probes),
        }
    }

    /// The type of service (IPv4) or traffic class (IPv6) of what is sent; `None`: it has none, as a Unix socket.
    pub fn set_type_of_service(&self, class: u8) -> Option<io::Result<()>> {
        match self {
            Transport::Tcp(stream, _) => Some(socket_options::set_type_of_service(
                SockRef::from(stream),
                class,
            )),
            #[cfg(unix)]
            Transport::Unix(_) => None,
            Transport::Tls(stream) => stream.socket().set_type_of_service(class),
        }
    }

    /// What [`Transport::set_type_of_service`] has come to: the kernel keeps some of its bits to itself.
    pub fn type_of_service(&self) -> Option<io::Result<u8>> {
        match self {
            Transport::Tcp(stream, _) => {
                Some(socket_options::type_of_service(SockRef::from(stream)))
            }
            #[cfg(unix)]
            Transport::Unix(_) => None,
            Transport::Tls(stream) => stream.socket().type_of_service(),
        }
    }

    /// How long sent bytes may stay unacknowledged (RFC 5482), on Linux. Other systems have no such option, a Unix socket has
    /// no such wait: no error, and nothing changes.
    pub fn set_user_timeout(&self, ms: u32) -> io::Result<()> {
        match self {
            #[cfg(target_os = "linux")]
            Transport::Tcp(stream, _) => SockRef::from(stream)
                .set_tcp_user_timeout(Some(std::time::Duration::from_millis(ms.into()))),
            #[cfg(not(target_os = "linux"))]
            Transport::Tcp(..) => {
                let _ = ms;
                Ok(())
            }
            #[cfg(unix)]
            Transport::Unix(_) => Ok(()),
            Transport::Tls(stream) => stream.socket().set_user_timeout(ms),
        }
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
