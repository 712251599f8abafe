//! `Self.WhoAmI`: what the kernel and SPIRE say about the caller, and what to do if it is nothing.

use super::ports::{AttestError, Freshness, Observed, Peer};
use super::{Continuation, Failure};
use crate::domain::evidence::Evidence;

/// What is known about the caller.
#[derive(Clone, Debug)]
pub struct WhoAmI {
    /// Attested evidence; absent where no entry matches.
    pub evidence: Option<Evidence>,
    /// The kernel's view.
    pub observed: Observed,
    /// Selectors that a registration entry could use.
    pub selectors: Vec<String>,
    /// What to do next.
    pub hints: Vec<String>,
}

impl Continuation {
    /// Tells a local caller who it is.
    ///
    /// # Errors
    /// [`Failure::Invalid`] for a remote caller, [`Failure::Attest`] where nothing can be learned.
    pub async fn who_am_i(&self, peer: &Peer) -> Result<WhoAmI, Failure> {
        self.rates.admit(peer).map_err(Failure::Busy)?;
        let Peer::Local(local) = peer else {
            return Err(Failure::Invalid(
                "only for processes on this node".to_owned(),
            ));
        };
        let observed = self
            .ports
            .attestor
            .observe(local)
            .map_err(Failure::Attest)?;
        let mut selectors = vec![
            format!("unix:uid:{}", observed.uid),
            format!("unix:gid:{}", observed.gid),
        ];
        // Only the caller's word for a file: nothing in it may reach a terminal as it is.
        selectors.extend(
            observed
                .executable_path
                .iter()
                .map(|path| format!("unix:path:{}", path.escape_debug())),
        );
        let (evidence, hints) = match self.ports.attestor.attest(peer, Freshness::Now).await {
            Ok(workload) => (
                Some(workload.evidence().clone()),
                self.row_hints(workload.evidence()),
            ),
            Err(AttestError::NoIdentity) => (None, no_entry(&selectors)),
            Err(error) => (None, vec![error.to_string()]),
        };
        Ok(WhoAmI {
            evidence,
            observed,
            selectors,
            hints,
        })
    }

    fn row_hints(&self, evidence: &Evidence) -> Vec<String> {
        evidence
            .spiffe_ids
            .iter()
            .filter_map(|id| match self.settings.row(id, evidence) {
                None => Some(format!(
                    "{id} has no [[workload]] row: it cannot be named as a performer"
                )),
                Some(row) => row.matches(evidence).err().map(|mismatch| {
                    format!("{id} does not meet its [[workload]] row: {mismatch:?} differs")
                }),
            })
            .collect()
    }
}

/// A word for the shell: quoted where anything in it could mean more than itself.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:@%+=".contains(c);
    if word.chars().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', "'\\''"))
}

fn no_entry(selectors: &[String]) -> Vec<String> {
    let flags: Vec<String> = selectors
        .iter()
        .map(|selector| format!("-selector {}", quoted(selector)))
        .collect();
    vec![
        "no registration entry matches this process; to make one:".to_owned(),
        format!(
            "spire-server entry create -parentID spiffe://TRUST_DOMAIN/NODE \
             -spiffeID spiffe://TRUST_DOMAIN/WORKLOAD {}",
            flags.join(" ")
        ),
        "an entry takes a few seconds to reach the agent".to_owned(),
    ]
}
