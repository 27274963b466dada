//! A TCP connection's socket: tokio's, which wakes tasks, or detached, which does not, and which any thread may read and write.

use std::cell::RefCell;
use std::io::{self, IoSlice, Read, Write};
use std::net::Shutdown;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// What a detached one takes from the kernel at once where the reader's buffer was never written to.
const READ: usize = 64 * 1024;

thread_local! {
    static BUFFER: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

#[derive(Debug)]
pub enum Tcp {
    /// Tokio watches it.
    Attached(TcpStream),
    /// Somebody else does.
    Detached(Detached),
}

#[derive(Debug)]
pub struct Detached {
    stream: std::net::TcpStream,
    /// The kernel had no more when it was last read: whoever watches it hears of what comes.
    is_drained: bool,
}

impl From<TcpStream> for Tcp {
    fn from(stream: TcpStream) -> Self {
        Self::Attached(stream)
    }
}

impl Tcp {
    /// [`Transport::detach`](super::Transport::detach).
    pub(super) fn detach(self) -> io::Result<Self> {
        Ok(match self {
            Self::Attached(stream) => Self::Detached(Detached {
                stream: stream.into_std()?,
                is_drained: true,
            }),
            detached => detached,
        })
    }

    /// [`Transport::attach`](super::Transport::attach).
    pub(super) fn attach(self) -> io::Result<Self> {
        Ok(match self {
            Self::Detached(detached) => Self::Attached(TcpStream::from_std(detached.stream)?),
            attached => attached,
        })
    }

    /// [`Transport::has_more`](super::Transport::has_more).
    pub(super) fn has_more(&mut self) {
        if let Self::Detached(detached) = self {
            detached.is_drained = false;
        }
    }

    /// [`Transport::descriptor`](super::Transport::descriptor).
    pub(super) fn descriptor(&self) -> Option<i32> {
        match self {
            #[cfg(unix)]
            Self::Detached(detached) => Some(std::os::fd::AsRawFd::as_raw_fd(&detached.stream)),
            _ => None,
        }
    }
}

#[cfg(unix)]
impl std::os::fd::AsFd for Tcp {
    fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        match self {
            Self::Attached(stream) => stream.as_fd(),
            Self::Detached(detached) => detached.stream.as_fd(),
        }
    }
}

#[cfg(windows)]
impl std::os::windows::io::AsSocket for Tcp {
    fn as_socket(&self) -> std::os::windows::io::BorrowedSocket<'_> {
        match self {
            Self::Attached(stream) => stream.as_socket(),
            Self::Detached(detached) => detached.stream.as_socket(),
        }
    }
}

/// What a call that does not wait has come to.
fn polled<R>(mut call: impl FnMut() -> io::Result<R>) -> Poll<io::Result<R>> {
    loop {
        match call() {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Poll::Pending,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return Poll::Ready(result),
        }
    }
}

impl Detached {
    fn read(&mut self, out: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.is_drained {
            return Poll::Pending;
        }
        let (room, read) = if out.initialized().len() == out.capacity() {
            let free = out.initialize_unfilled();
            let read = polled(|| (&self.stream).read(free));
            let room = free.len();
            if let Poll::Ready(Ok(count)) = read {
                out.advance(count);
            }
            (room, read)
        } else {
            BUFFER.with_borrow_mut(|buffer| {
                buffer.resize(READ, 0);
                let free = &mut buffer[..READ.min(out.remaining())];
                let read = polled(|| (&self.stream).read(free));
                if let Poll::Ready(Ok(count)) = read {
                    out.put_slice(&free[..count]);
                }
                (free.len(), read)
            })
        };
        // Less than there was room for: whatever comes now is heard of. An end is read again.
        self.is_drained = match &read {
            Poll::Pending => true,
            Poll::Ready(Ok(count)) => *count > 0 && *count < room,
            Poll::Ready(Err(_)) => false,
        };
        read.map_ok(drop)
    }
}

impl AsyncRead for Tcp {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        out: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Attached(stream) => Pin::new(stream).poll_read(cx, out),
            Self::Detached(detached) => detached.read(out),
        }
    }
}

impl AsyncWrite for Tcp {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Attached(stream) => Pin::new(stream).poll_write(cx, bytes),
            Self::Detached(detached) => polled(|| (&detached.stream).write(bytes)),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Attached(stream) => Pin::new(stream).poll_write_vectored(cx, slices),
            Self::Detached(detached) => polled(|| (&detached.stream).write_vectored(slices)),
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // Neither has a buffer of its own.
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Attached(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Detached(detached) => Poll::Ready(detached.stream.shutdown(Shutdown::Write)),
        }
    }
}
