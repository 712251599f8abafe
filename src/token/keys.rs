//! The running epoch's key, and its successor where an epoch is revoked while the agent runs.
//!
//! Names `domain` and `service::ports`. The one thing to know: there is one key at a time. What an earlier one
//! signed, and whoever may have copied it, is nothing from the moment of the change on.

use super::{EpochKey, TokenError, Verified};
use crate::domain::claims::{Operation, TokenClaims};
use crate::domain::id::{Epoch, SpiffeId};
use crate::domain::time::Time;
use crate::service::ports::ledger::{Noted, Recorded};
use crate::service::ports::{SignError, Signer};
use std::sync::{Arc, PoisonError, RwLock};

/// The keys that the agent signs with, one after the other.
#[derive(Debug)]
pub struct SigningKeys {
    issuer: SpiffeId,
    remembered: usize,
    running: RwLock<Arc<EpochKey>>,
}

impl SigningKeys {
    /// Begins with the key of this epoch. Remembers at most `remembered` verified query tokens.
    ///
    /// # Errors
    /// [`TokenError::Key`].
    pub fn begin(epoch: Epoch, issuer: SpiffeId, remembered: usize) -> Result<Self, TokenError> {
        let key = EpochKey::remembering(epoch, issuer.clone(), remembered)?;
        Ok(Self {
            issuer,
            remembered,
            running: RwLock::new(Arc::new(key)),
        })
    }

    fn key(&self) -> Arc<EpochKey> {
        let key = self.running.read();
        Arc::clone(&key.unwrap_or_else(PoisonError::into_inner))
    }

    fn sign_claims(&self, claims: &TokenClaims) -> Result<String, SignError> {
        self.key().encode(claims).map_err(|error| {
            if error == TokenError::Epoch {
                SignError::Epoch
            } else {
                SignError::Key(error.reason())
            }
        })
    }
}

impl Signer for SigningKeys {
    fn epoch(&self) -> Epoch {
        self.key().epoch()
    }

    fn renew(&self, epoch: Epoch) -> Result<(), SignError> {
        let key = EpochKey::remembering(epoch, self.issuer.clone(), self.remembered)
            .map_err(|error| SignError::Key(error.reason()))?;
        let mut running = self.running.write().unwrap_or_else(PoisonError::into_inner);
        if running.epoch() < epoch {
            *running = Arc::new(key);
        }
        Ok(())
    }

    fn sign(&self, claims: &Recorded<TokenClaims>) -> Result<String, SignError> {
        self.sign_claims(claims.effect())
    }

    fn sign_read(&self, claims: &Noted<TokenClaims>) -> Result<String, SignError> {
        if claims.effect().operation != Operation::Query {
            return Err(SignError::Key(TokenError::Form.reason()));
        }
        self.sign_claims(claims.effect())
    }

    fn verify(&self, token: &str, now: Time) -> Result<TokenClaims, &'static str> {
        self.key()
            .verify(token, now)
            .map(Verified::into_claims)
            .map_err(TokenError::reason)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a43_a_renewed_key_leaves_nothing_of_the_one_before() {
        let issuer = SpiffeId::new("spiffe://test.example/agent").unwrap();
        let keys = SigningKeys::begin(Epoch(3), issuer, 16).unwrap();
        let before = keys.key();
        keys.renew(Epoch(4)).unwrap();
        assert_eq!(keys.epoch(), Epoch(4));
        assert_ne!(keys.key().kid(), before.kid());
        // An epoch never begins twice, and never goes back.
        let renewed = keys.key();
        keys.renew(Epoch(4)).unwrap();
        keys.renew(Epoch(2)).unwrap();
        assert_eq!(keys.key().kid(), renewed.kid());
    }
}
