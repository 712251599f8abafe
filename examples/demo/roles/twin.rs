//! A second process of the MCP server's program and account: it has the same SVID, key included.

use crate::Error;
use crate::harness::{self, Role};
use crate::wire::{Ask, Said};
use handfast::client::{Agent, Ended};

struct Twin(Agent);

pub(crate) async fn play() -> Result<(), Error> {
    let (_source, id, agent) = harness::join().await?;
    let up = Said::Up {
        port: None,
        spiffe_id: id.to_string(),
    };
    harness::answer_all(Twin(agent), up).await
}

impl Role for Twin {
    async fn answer(&mut self, ask: Ask) -> Result<Said, Error> {
        match ask {
            Ask::Finish { task_id } => {
                match self
                    .0
                    .server()
                    .finish(task_id, Ended::Completed, None)
                    .await
                {
                    Ok(state) => Ok(Said::Status {
                        status: format!("{state:?}").to_lowercase(),
                        message: String::new(),
                    }),
                    Err(error) => harness::denied(error),
                }
            }
            other => Err(format!("a twin does not do {other:?}").into()),
        }
    }
}
