//! What happens to connections, as a closed list of events, and who is told.

use crate::service::ports::LocalPeer;
use std::sync::atomic::{AtomicU64, Ordering};

macro_rules! events {
    ($($(#[$doc:meta])+ $event:ident => $name:literal,)+) => {
        /// What happened to a connection. The name is the label of the metric.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum ConnectionEvent {
            $($(#[$doc])+ $event,)+
        }

        impl ConnectionEvent {
            /// Every event, in alphabetical order.
            pub const ALL: &[Self] = &[$(Self::$event,)+];

            /// A stable name in lower case.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$event => $name,)+
                }
            }
        }
    };
}

events! {
    /// Still open when draining had to end.
    Aborted => "aborted",
    /// `accept` failed; the loop waits a little (no descriptor left, for example).
    AcceptFailed => "accept_failed",
    /// Its request was refused, for the peer's certificate has expired since the handshake.
    CertificateExpired => "certificate_expired",
    /// The certificate does not carry exactly one SPIFFE ID.
    CertificateUnusable => "certificate_unusable",
    /// Closed, for whatever reason.
    Closed => "closed",
    /// Closed, for it carried a descriptor.
    DescriptorPassed => "descriptor_passed",
    /// A handler panicked; its request failed with `INTERNAL`.
    HandlerPanicked => "handler_panicked",
    /// Closed, for nothing was asked for `idle_timeout`.
    IdleTimeout => "idle_timeout",
    /// Closed, for another process than the pinned one wrote to it.
    InheritedConnection => "inherited_connection",
    /// Refused: the kernel has no `SO_PEERPIDFD`.
    KernelTooOld => "kernel_too_old",
    /// Told to go away at its maximal age, or shortly before the peer's certificate expires.
    Old => "old",
    /// Accepted, pinned and served.
    Opened => "opened",
    /// Closed, for the pinned process had exited when its bytes were read.
    PeerExited => "peer_exited",
    /// Refused: the peer had exited before it was pinned.
    PeerGone => "peer_gone",
    /// Refused: the peer is in a foreign PID namespace.
    PeerInvisible => "peer_invisible",
    /// Refused: the kernel did not say who the peer is.
    PinFailed => "pin_failed",
    /// Closed, for it did not speak HTTP/2 within `preface_timeout`.
    PrefaceTimeout => "preface_timeout",
    /// A request was answered `DEADLINE_EXCEEDED`.
    RequestTimeout => "request_timeout",
    /// Closed, for a unary reply was not taken long after `request_deadline`.
    Stuck => "stuck",
    /// Slowed down, for it sent more than `read_bytes_per_second`.
    Throttled => "throttled",
    /// The TLS handshake failed.
    TlsFailed => "tls_failed",
    /// There is no certificate of our own yet.
    TlsNotReady => "tls_not_ready",
    /// The TLS handshake took longer than `handshake_timeout`.
    TlsTimeout => "tls_timeout",
    /// The TLS session was not made by a full TLS 1.3 handshake for HTTP/2.
    TlsUnfit => "tls_unfit",
    /// Refused: one user or address has too many.
    TooManyFromPeer => "too_many_from_peer",
}

/// Is told what happens to connections. Must not block.
pub trait ConnectionObserver: Send + Sync + std::fmt::Debug {
    /// One event; the local peer, where it is known, for the audit and the operator.
    fn connection(&self, event: ConnectionEvent, peer: Option<&LocalPeer>);
}

/// Counts events.
#[derive(Debug, Default)]
pub struct ConnectionCounters([AtomicU64; 32]);

impl ConnectionCounters {
    /// How often this happened.
    #[must_use]
    pub fn count(&self, event: ConnectionEvent) -> u64 {
        self.cell(event)
            .map_or(0, |cell| cell.load(Ordering::Relaxed))
    }

    fn cell(&self, event: ConnectionEvent) -> Option<&AtomicU64> {
        let place = ConnectionEvent::ALL.iter().position(|e| *e == event)?;
        self.0.get(place)
    }
}

impl ConnectionObserver for ConnectionCounters {
    fn connection(&self, event: ConnectionEvent, _peer: Option<&LocalPeer>) {
        if let Some(cell) = self.cell(event) {
            cell.fetch_add(1, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_event_is_counted_apart() {
        let counters = ConnectionCounters::default();
        for event in ConnectionEvent::ALL {
            counters.connection(*event, None);
        }
        assert!(ConnectionEvent::ALL.is_sorted_by_key(|event| event.name()));
        assert!(
            ConnectionEvent::ALL
                .iter()
                .all(|event| counters.count(*event) == 1)
        );
    }
}
