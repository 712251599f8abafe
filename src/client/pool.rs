//! Connections kept for reuse, each under the certificate that it was opened with.
//!
//! Names `domain`. The one thing to know: a connection proves the key of *one* hand, so a token of another
//! hand must never travel on it; the key of the pool has the certificate's thumbprint in it (A77).

use super::hand::Hand;
use crate::domain::id::{SpiffeId, Thumbprint};
use std::collections::HashMap;
use std::fmt;
use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};

/// Which connection: to where, to whom, and with which hand.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct PoolKey {
    address: SocketAddr,
    certificate: Thumbprint,
    server: SpiffeId,
}

impl PoolKey {
    /// The key of connections to `server` at `address` that show `hand`.
    #[must_use]
    pub fn new(address: SocketAddr, server: &SpiffeId, hand: &Hand) -> Self {
        Self {
            address,
            certificate: hand.thumbprint(),
            server: server.clone(),
        }
    }

    /// Where to.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

/// A connection that several requests can share.
pub trait Shared: Clone {
    /// Whether it can take another request.
    fn is_open(&self) -> bool;
}

impl<B> Shared for hyper::client::conn::http2::SendRequest<B> {
    fn is_open(&self) -> bool {
        !self.is_closed()
    }
}

/// At most `connections_max` open connections. The least recently used one goes first.
pub struct Pool<C> {
    connections_max: usize,
    state: Mutex<State<C>>,
}

struct State<C> {
    /// Each connection with the turn of its last use.
    connections: HashMap<PoolKey, (C, u64)>,
    turn: u64,
}

impl<C: Shared> Pool<C> {
    /// An empty pool.
    #[must_use]
    pub fn new(connections_max: usize) -> Self {
        Self {
            connections_max,
            state: Mutex::new(State {
                connections: HashMap::new(),
                turn: 0,
            }),
        }
    }

    /// The connection under this key, opened by `connect` if there is none.
    ///
    /// `connect` must show the hand that the key was made of. Two callers that miss at the same time both
    /// connect; one of the two connections is kept.
    ///
    /// # Errors
    /// Those of `connect`.
    pub async fn connection<E>(
        &self,
        key: &PoolKey,
        connect: impl AsyncFnOnce() -> Result<C, E>,
    ) -> Result<C, E> {
        if let Some(connection) = self.take_up(key) {
            return Ok(connection);
        }
        let connection = connect().await?;
        // Somebody may have been faster.
        if let Some(earlier) = self.take_up(key) {
            return Ok(earlier);
        }
        self.keep(key.clone(), connection.clone());
        Ok(connection)
    }

    /// Drops the connections of a hand, at the end of its leg.
    pub fn forget(&self, certificate: Thumbprint) {
        self.state()
            .connections
            .retain(|key, _| key.certificate != certificate);
    }

    /// How many connections are kept, closed ones included.
    #[must_use]
    pub fn len(&self) -> usize {
        self.state().connections.len()
    }

    /// Whether none is kept.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn take_up(&self, key: &PoolKey) -> Option<C> {
        let mut state = self.state();
        state.turn = state.turn.saturating_add(1);
        let turn = state.turn;
        let (connection, used) = state.connections.get_mut(key)?;
        if connection.is_open() {
            *used = turn;
            return Some(connection.clone());
        }
        state.connections.remove(key);
        None
    }

    fn keep(&self, key: PoolKey, connection: C) {
        let mut state = self.state();
        if state.connections.len() >= self.connections_max {
            state.connections.retain(|_, (open, _)| open.is_open());
        }
        while state.connections.len() >= self.connections_max {
            let oldest = state.connections.iter().min_by_key(|(_, (_, used))| *used);
            let Some(oldest) = oldest.map(|(key, _)| key.clone()) else {
                // A pool of none keeps none.
                return;
            };
            state.connections.remove(&oldest);
        }
        let turn = state.turn;
        state.connections.insert(key, (connection, turn));
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State<C>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<C> fmt::Debug for Pool<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool")
            .field("connections_max", &self.connections_max)
            .finish_non_exhaustive()
    }
}
