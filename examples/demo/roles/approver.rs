//! The approver: shows a person what is asked, and brings the person's word.

use crate::Error;
use crate::harness::{self, Role, now_ms};
use crate::wire::{Ask, Said};
use handfast::client::{Agent, Verdict};
use secrecy::SecretString;

struct Approver(Agent);

pub(crate) async fn play() -> Result<(), Error> {
    let (_source, id, agent) = harness::join().await?;
    let up = Said::Up {
        port: None,
        spiffe_id: id.to_string(),
    };
    harness::answer_all(Approver(agent), up).await
}

impl Role for Approver {
    async fn answer(&mut self, ask: Ask) -> Result<Said, Error> {
        let approver = self.0.approver();
        match ask {
            Ask::ShowApproval { id } => match approver.get(id).await {
                Ok(asked) => Ok(Said::Asked {
                    nonce: asked.nonce(Verdict::Approve),
                    text: asked.text,
                }),
                Err(error) => harness::denied(error),
            },
            Ask::Approve { id, id_token } => {
                let asked = match approver.get(&id).await {
                    Ok(asked) => asked,
                    Err(error) => return harness::denied(error),
                };
                let id_token = SecretString::from(id_token);
                let decided = approver.decide(&id, &asked.digest, Verdict::Approve, &id_token);
                match decided.await {
                    Ok(_) => Ok(Said::Done { asked_ms: now_ms() }),
                    Err(error) => harness::denied(error),
                }
            }
            other => Err(format!("an approver does not do {other:?}").into()),
        }
    }
}
