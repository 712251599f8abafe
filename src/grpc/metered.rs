//! A stream that counts what it reads and never reads faster than its allowance.
//!
//! HTTP/2 has frames that cost the receiver work and the sender nothing (PING, SETTINGS): the
//! allowance in bytes bounds that work. A peer over it is made to wait, not cut: back-pressure is
//! enough.

use super::observe::{ConnectionEvent, ConnectionObserver};
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep};

/// How far ahead of its allowance a peer may run: one second's worth.
const BURST: Duration = Duration::from_secs(1);

/// A metered stream.
#[derive(Debug)]
pub(super) struct Metered<I> {
    io: I,
    read: Arc<AtomicU64>,
    bytes_per_second: u64,
    /// When all that was read would have arrived at exactly the allowed rate.
    paid_at: Instant,
    wait: Option<Pin<Box<Sleep>>>,
    observer: Arc<dyn ConnectionObserver>,
}

impl<I> Metered<I> {
    pub(super) fn new(io: I, bytes_per_second: u64, observer: Arc<dyn ConnectionObserver>) -> Self {
        Self {
            io,
            read: Arc::default(),
            bytes_per_second: bytes_per_second.max(1),
            paid_at: Instant::now(),
            wait: None,
            observer,
        }
    }

    /// Bytes read so far.
    pub(super) fn read_bytes(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.read)
    }

    fn poll_allowance(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if let Some(wait) = &mut self.wait {
            ready!(wait.as_mut().poll(cx));
            self.wait = None;
        }
        if self.paid_at.saturating_duration_since(Instant::now()) <= BURST {
            return Poll::Ready(());
        }
        self.observer.connection(ConnectionEvent::Throttled, None);
        let until = self.paid_at.checked_sub(BURST).unwrap_or(self.paid_at);
        let wait = self.wait.insert(Box::pin(tokio::time::sleep_until(until)));
        ready!(wait.as_mut().poll(cx));
        self.wait = None;
        Poll::Ready(())
    }

    fn pay(&mut self, bytes: usize) {
        let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
        self.read.fetch_add(bytes, Ordering::Relaxed);
        let cost = bytes
            .saturating_mul(1_000_000_000)
            .checked_div(self.bytes_per_second)
            .map_or(Duration::ZERO, Duration::from_nanos);
        let from = self.paid_at.max(Instant::now());
        self.paid_at = from.checked_add(cost).unwrap_or(from);
    }
}

impl<I: AsyncRead + Unpin> AsyncRead for Metered<I> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.poll_allowance(cx));
        let before = buf.filled().len();
        ready!(Pin::new(&mut this.io).poll_read(cx, buf))?;
        this.pay(buf.filled().len().saturating_sub(before));
        Poll::Ready(Ok(()))
    }
}

impl<I: AsyncWrite + Unpin> AsyncWrite for Metered<I> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().io).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().io).poll_write_vectored(cx, slices)
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

#[cfg(test)]
mod tests {
    use super::super::observe::ConnectionCounters;
    use super::*;
    use tokio::io::AsyncReadExt;

    #[tokio::test]
    async fn a_flood_is_slowed_down_to_the_allowance() {
        let counters = Arc::new(ConnectionCounters::default());
        let flood = tokio::io::repeat(0);
        let mut metered = Metered::new(flood, 10_000, counters.clone());
        let start = Instant::now();
        let mut buffer = [0_u8; 1000];
        for _ in 0..10 {
            metered.read_exact(&mut buffer).await.unwrap();
        }
        let throttled = || counters.count(ConnectionEvent::Throttled);
        assert_eq!(throttled(), 0, "the burst is free");
        for _ in 0..4 {
            metered.read_exact(&mut buffer).await.unwrap();
        }
        // The last read was let through when less than a second's worth was owed.
        let took = start.elapsed();
        assert!(took >= Duration::from_millis(300), "{took:?}");
        assert!(throttled() > 0);
        assert_eq!(metered.read_bytes().load(Ordering::Relaxed), 14_000);
    }
}
