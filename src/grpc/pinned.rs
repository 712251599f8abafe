//! A Unix stream on which only the pinned process can speak.
//!
//! Every read learns from the kernel which process wrote the bytes (`SCM_CREDENTIALS`), compares it
//! with the process that connected, and makes sure *afterwards* that this one still lives; without
//! the last a child that got its parent's number would pass. So data of a process that exited
//! before it was read is void.

use super::observe::{ConnectionEvent, ConnectionObserver};
use crate::kernel;
use crate::service::ports::LocalPeer;
use nix::sys::socket::{ControlMessageOwned, MsgFlags, UnixCredentials, recvmsg};
use std::io::{self, IoSlice, IoSliceMut};
use std::os::fd::{AsFd, AsRawFd};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::UnixStream;

/// Why a pinned connection was cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Violation {
    /// File descriptors came along.
    #[error("a descriptor was passed over the connection")]
    DescriptorPassed,
    /// Another process wrote: it inherited the socket or was handed it.
    #[error("another process than the connecting one wrote to the connection")]
    InheritedConnection,
    /// The pinned process has exited.
    #[error("the connecting process has exited")]
    PeerExited,
}

impl From<Violation> for ConnectionEvent {
    fn from(violation: Violation) -> Self {
        match violation {
            Violation::DescriptorPassed => Self::DescriptorPassed,
            Violation::InheritedConnection => Self::InheritedConnection,
            Violation::PeerExited => Self::PeerExited,
        }
    }
}

/// A Unix stream whose every byte was written by `peer`.
#[derive(Debug)]
pub struct PinnedStream {
    io: UnixStream,
    peer: Arc<LocalPeer>,
    observer: Arc<dyn ConnectionObserver>,
    /// Room for one credentials message and nothing else: the kernel drops descriptors that do not
    /// fit.
    control: Vec<u8>,
    dead: Option<Violation>,
}

impl PinnedStream {
    /// Watches `io`, which `peer` connected. `SO_PASSCRED` must be set on it.
    #[must_use]
    pub fn new(
        io: UnixStream,
        peer: Arc<LocalPeer>,
        observer: Arc<dyn ConnectionObserver>,
    ) -> Self {
        Self {
            io,
            peer,
            observer,
            control: nix::cmsg_space!(UnixCredentials),
            dead: None,
        }
    }

    /// A reply is not for a child that inherited the socket and outlived the caller.
    fn may_write(&mut self) -> io::Result<()> {
        if let Some(violation) = self.dead {
            return Err(refusal(violation));
        }
        if kernel::is_alive(self.peer.pidfd.as_fd()) {
            return Ok(());
        }
        Err(self.cut(Violation::PeerExited))
    }

    fn cut(&mut self, violation: Violation) -> io::Error {
        self.dead = Some(violation);
        // Whoever holds the other end shall see it closed; if it already is, so much the better.
        let shut = rustix::net::shutdown(self.io.as_fd(), rustix::net::Shutdown::Both);
        tracing::debug!(%violation, ?shut, "connection cut");
        self.observer.connection(violation.into(), Some(&self.peer));
        refusal(violation)
    }
}

fn refusal(violation: Violation) -> io::Error {
    io::Error::new(io::ErrorKind::PermissionDenied, violation)
}

/// What one `recvmsg` brought.
enum Received {
    Bytes(usize),
    Violated(Violation),
}

/// Reads once and judges what came.
fn receive(
    io: &UnixStream,
    peer: &LocalPeer,
    control: &mut [u8],
    into: &mut [u8],
) -> io::Result<Received> {
    let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_CMSG_CLOEXEC;
    let mut into = [IoSliceMut::new(into)];
    let message = recvmsg::<()>(io.as_raw_fd(), &mut into, Some(control), flags)?;
    if message.bytes == 0 {
        // The kernel attaches empty credentials to the end of the stream.
        return Ok(Received::Bytes(0));
    }
    let Ok(mut attached) = message.cmsgs() else {
        return Ok(Received::Violated(Violation::DescriptorPassed));
    };
    let by_peer = match (attached.next(), attached.next()) {
        (Some(ControlMessageOwned::ScmCredentials(sender)), None) => sender.pid() == peer.key.pid,
        _ => false,
    };
    // Alive after the read means that the number was the pinned process's own when the bytes were
    // written.
    Ok(if !kernel::is_alive(peer.pidfd.as_fd()) {
        Received::Violated(Violation::PeerExited)
    } else if by_peer {
        Received::Bytes(message.bytes)
    } else {
        Received::Violated(Violation::InheritedConnection)
    })
}

impl AsyncRead for PinnedStream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if let Some(violation) = this.dead {
            return Poll::Ready(Err(refusal(violation)));
        }
        if buf.remaining() == 0 {
            // An empty read could not be told from the end of the stream.
            return Poll::Ready(Ok(()));
        }
        loop {
            ready!(this.io.poll_read_ready(cx))?;
            let Self {
                io, peer, control, ..
            } = &mut *this;
            let into = buf.initialize_unfilled();
            let received = io.try_io(Interest::READABLE, || receive(io, peer, control, into));
            return Poll::Ready(match received {
                Ok(Received::Bytes(count)) => {
                    buf.advance(count);
                    Ok(())
                }
                Ok(Received::Violated(violation)) => Err(this.cut(violation)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => continue,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => Err(error),
            });
        }
    }
}

impl AsyncWrite for PinnedStream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        this.may_write()?;
        Pin::new(&mut this.io).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        this.may_write()?;
        Pin::new(&mut this.io).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_shutdown(cx)
    }
}
