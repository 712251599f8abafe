//! The entries as they stand, with the material issued for each, and the one task that changes
//! them.

use super::authority::{Authority, AuthorityError, IssuedSvid};
use super::config::DevConfig;
use super::entries::{EntriesError, Entry, parse_entries};
use super::now;
use super::process::Facts;
use crate::domain::id::SpiffeId;
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;

/// Answers questions about entries and issues their material.
pub(super) struct Registry {
    pub(super) authority: Authority,
    svid_ttl: Duration,
    provider_id: SpiffeId,
    entries_path: PathBuf,
    state: watch::Sender<Arc<State>>,
}

/// One consistent view: every change makes a new one.
pub(super) struct State {
    issued: Vec<Issued>,
    provider: Arc<IssuedSvid>,
    provider_tls: Arc<CertifiedKey>,
}

/// An entry and the one SVID and key that all its processes share.
#[derive(Clone)]
pub(super) struct Issued {
    pub(super) entry: Arc<Entry>,
    pub(super) svid: Arc<IssuedSvid>,
}

/// The registry could not be filled.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// Signing failed.
    #[error("SVID could not be issued")]
    Authority(#[from] AuthorityError),
    /// The entries file holds a mistake.
    #[error("entries in `{path}` are refused")]
    Entries {
        /// The file.
        path: PathBuf,
        /// The mistake.
        #[source]
        source: EntriesError,
    },
    /// The entries file could not be read.
    #[error("entries file `{path}` cannot be read")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// rustls refused the provider's own certificate.
    #[error("provider's own certificate cannot be used")]
    Tls(#[from] rustls::Error),
}

impl State {
    /// The entries whose selectors a process matches, in file order.
    pub(super) fn matching(&self, facts: &Facts) -> Vec<Issued> {
        self.issued
            .iter()
            .filter(|issued| issued.entry.matches(facts))
            .cloned()
            .collect()
    }

    /// Whether an identity may use the Broker API now.
    pub(super) fn is_broker(&self, spiffe_id: &SpiffeId) -> bool {
        self.issued
            .iter()
            .any(|issued| issued.entry.broker && issued.entry.spiffe_id == *spiffe_id)
    }

    /// The provider's certificate and key for the Broker API.
    pub(super) fn provider_tls(&self) -> Arc<CertifiedKey> {
        Arc::clone(&self.provider_tls)
    }
}

impl Registry {
    pub(super) fn load(config: &DevConfig, provider_id: SpiffeId) -> Result<Self, RegistryError> {
        let authority = Authority::generate(config.trust_domain.clone())?;
        let provider = Arc::new(authority.issue(&provider_id, config.svid_ttl)?);
        let provider_tls = tls_key(&provider)?;
        let registry = Self {
            state: watch::Sender::new(Arc::new(State {
                issued: Vec::new(),
                provider,
                provider_tls,
            })),
            svid_ttl: config.svid_ttl,
            entries_path: config.entries.clone(),
            authority,
            provider_id,
        };
        let text = registry.read()?;
        registry.apply(&text)?;
        Ok(registry)
    }

    pub(super) fn state(&self) -> Arc<State> {
        Arc::clone(&self.state.borrow())
    }

    /// Keeps entries and material current, for ever: polls the file's content and renews SVIDs at
    /// half life.
    pub(super) async fn keep(&self, interval: Duration) {
        let mut applied = None;
        let mut tick = tokio::time::interval(interval);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tick.tick().await;
            if let Ok(text) = self.read()
                && applied.as_ref() != Some(&text)
            {
                match self.apply(&text) {
                    Ok(()) => tracing::info!("entries loaded"),
                    Err(error) => {
                        tracing::error!(
                            error = chain(&error),
                            "entries not reloaded, keeping the last good ones"
                        );
                    }
                }
                applied = Some(text);
            }
            if let Err(error) = self.renew() {
                tracing::error!(error = chain(&error), "SVIDs not renewed");
            }
        }
    }

    /// Streams an answer: now, and again at each change that changes it. An error ends the stream.
    pub(super) fn follow<T, F>(self: &Arc<Self>, answer: F) -> ReceiverStream<Result<T, Status>>
    where
        T: Clone + PartialEq + Send + Sync + 'static,
        F: Fn(&Registry, &State) -> Result<T, Status> + Send + 'static,
    {
        let (sender, receiver) = mpsc::channel(1);
        let mut changes = self.state.subscribe();
        let registry = Arc::clone(self);
        tokio::spawn(async move {
            let mut last: Option<T> = None;
            loop {
                let state = Arc::clone(&changes.borrow_and_update());
                let next = answer(&registry, &state);
                drop(state);
                let ends = next.is_err();
                if next.as_ref().ok() != last.as_ref() || ends {
                    last = next.as_ref().ok().cloned();
                    if sender.send(next).await.is_err() || ends {
                        return;
                    }
                }
                tokio::select! {
                    () = sender.closed() => return,
                    next = changes.changed() => if next.is_err() { return },
                }
            }
        });
        ReceiverStream::new(receiver)
    }

    fn read(&self) -> Result<String, RegistryError> {
        std::fs::read_to_string(&self.entries_path).map_err(|source| RegistryError::Read {
            path: self.entries_path.clone(),
            source,
        })
    }

    /// Takes over new entries; one that was there before keeps its key.
    fn apply(&self, text: &str) -> Result<(), RegistryError> {
        let entries = parse_entries(text, &self.authority.trust_domain).map_err(|source| {
            RegistryError::Entries {
                path: self.entries_path.clone(),
                source,
            }
        })?;
        let before = self.state();
        let issued = entries
            .into_iter()
            .map(
                |entry| match before.issued.iter().find(|old| *old.entry == entry) {
                    Some(old) => Ok(old.clone()),
                    None => self.issue(Arc::new(entry)),
                },
            )
            .collect::<Result<Vec<_>, AuthorityError>>()?;
        self.state.send_replace(Arc::new(State {
            issued,
            provider: Arc::clone(&before.provider),
            provider_tls: before.provider_tls(),
        }));
        Ok(())
    }

    fn renew(&self) -> Result<(), RegistryError> {
        let before = self.state();
        let now = now();
        let due = |svid: &IssuedSvid| svid.renew_at <= now;
        if !due(&before.provider) && !before.issued.iter().any(|issued| due(&issued.svid)) {
            return Ok(());
        }
        let issued = before
            .issued
            .iter()
            .map(|old| {
                if due(&old.svid) {
                    self.issue(Arc::clone(&old.entry))
                } else {
                    Ok(old.clone())
                }
            })
            .collect::<Result<Vec<_>, _>>()?;
        let (provider, provider_tls) = if due(&before.provider) {
            let provider = Arc::new(self.authority.issue(&self.provider_id, self.svid_ttl)?);
            let tls = tls_key(&provider)?;
            (provider, tls)
        } else {
            (Arc::clone(&before.provider), before.provider_tls())
        };
        self.state.send_replace(Arc::new(State {
            issued,
            provider,
            provider_tls,
        }));
        Ok(())
    }

    fn issue(&self, entry: Arc<Entry>) -> Result<Issued, AuthorityError> {
        let svid = Arc::new(self.authority.issue(&entry.spiffe_id, self.svid_ttl)?);
        Ok(Issued { entry, svid })
    }
}

/// An error with everything that caused it, for a log line.
pub(super) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(source) = cause {
        text.push_str(": ");
        text.push_str(&source.to_string());
        cause = source.source();
    }
    text
}

fn tls_key(svid: &IssuedSvid) -> Result<Arc<CertifiedKey>, rustls::Error> {
    let chain = vec![CertificateDer::from(svid.certificate.clone())];
    let key = PrivateKeyDer::Pkcs8(svid.key.to_vec().into());
    CertifiedKey::from_der(chain, key, &default_provider()).map(Arc::new)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::id::TrustDomain;

    const ENTRY: &str =
        "[[entry]]\nspiffe_id = \"spiffe://dev.test/a\"\nselectors = [\"unix:uid:1\"]\n";

    fn registry(folder: &tempfile::TempDir) -> Registry {
        let path = |name: &str| folder.path().join(name);
        std::fs::write(path("entries.toml"), ENTRY).unwrap();
        let config = DevConfig::new(
            TrustDomain::new("dev.test").unwrap(),
            path("w.sock"),
            path("b.sock"),
            path("entries.toml"),
        );
        Registry::load(&config, config.provider_id().unwrap()).unwrap()
    }

    fn keys(registry: &Registry) -> Vec<Vec<u8>> {
        let state = registry.state();
        let keys = state.issued.iter().map(|issued| issued.svid.key.to_vec());
        keys.collect()
    }

    #[test]
    fn a_broken_file_changes_nothing_and_an_unchanged_entry_keeps_its_key() {
        let folder = tempfile::tempdir().unwrap();
        let registry = registry(&folder);
        let before = keys(&registry);
        assert_eq!(before.len(), 1);

        for broken in ["not TOML", "[[entry]]\nspiffe_id = 3"] {
            assert!(registry.apply(broken).is_err());
            assert_eq!(keys(&registry), before);
        }
        let more = format!("{}{ENTRY}", ENTRY.replace("/a", "/b"));
        registry.apply(&more).unwrap();
        let after = keys(&registry);
        assert_eq!(after.len(), 2);
        assert_eq!(after[1], before[0]);
        assert_ne!(after[0], before[0]);
    }

    #[test]
    fn nothing_is_renewed_before_half_life() {
        let folder = tempfile::tempdir().unwrap();
        let started = now();
        let registry = registry(&folder);
        let half = registry.svid_ttl.checked_div(2).unwrap();
        let renew_at = registry.state().issued[0].svid.renew_at;
        assert!(renew_at >= started.checked_add(half).unwrap());
        assert!(renew_at <= now().checked_add(half).unwrap());
        let before = keys(&registry);
        registry.renew().unwrap();
        assert_eq!(keys(&registry), before);
    }
}
