//! The operator's eyes: the true reasons behind decisions, and the agent's state.

use crate::Error;
use crate::cast::Process;
use handfast::client::{Agent, AgentConfig, OperatorStub};
use handfast::proto::v1;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::time::Instant;

const READY_WAIT: Duration = Duration::from_secs(20);
const EXPLAIN_WAIT: Duration = Duration::from_secs(2);
const POLL: Duration = Duration::from_millis(5);

/// The operator at the agent's private socket.
pub(crate) struct Operator {
    socket: PathBuf,
    stub: OperatorStub,
}

/// The true reason of a decision.
pub(crate) struct Truth {
    pub(crate) reason: String,
    pub(crate) explanation: String,
}

impl Operator {
    /// Waits until the agent is ready, as long as it runs.
    pub(crate) async fn wait(agent: &mut Process, socket: &Path) -> Result<Self, Error> {
        let deadline = Instant::now().checked_add(READY_WAIT);
        loop {
            let why = match Self::once(socket).await {
                Ok((operator, status)) if status.ready => return Ok(operator),
                Ok((_, status)) => status.not_ready.join(", "),
                Err(error) => crate::explained(error.as_ref()),
            };
            agent.check()?;
            if deadline.is_none_or(|deadline| Instant::now() >= deadline) {
                return Err(format!("the agent is not ready: {why}").into());
            }
            tokio::time::sleep(POLL).await;
        }
    }

    async fn once(socket: &Path) -> Result<(Self, v1::StatusResponse), Error> {
        let operator = Self {
            socket: socket.to_owned(),
            stub: Agent::connect(AgentConfig::new(socket)).await?.operator(),
        };
        let status = operator.status().await?;
        Ok((operator, status))
    }

    /// Waits for the agent after a restart.
    pub(crate) async fn wait_again(&mut self, agent: &mut Process) -> Result<(), Error> {
        *self = Self::wait(agent, &self.socket).await?;
        Ok(())
    }

    /// The agent's run: each has its own number and its own key.
    pub(crate) async fn epoch(&self) -> Result<u64, Error> {
        Ok(self.status().await?.epoch)
    }

    async fn status(&self) -> Result<v1::StatusResponse, Error> {
        let reply = self.stub.clone().status(v1::StatusRequest {}).await?;
        Ok(reply.into_inner())
    }

    /// The true reason behind a decision ID. The record of a refusal is durable a moment after its answer.
    pub(crate) async fn explain(&self, decision_id: &str) -> Result<Truth, Error> {
        let deadline = Instant::now().checked_add(EXPLAIN_WAIT);
        loop {
            let request = v1::ExplainRequest {
                decision_id: decision_id.to_owned(),
            };
            match self.stub.clone().explain(request).await {
                Ok(reply) => {
                    let record = reply.into_inner().record;
                    let record = record.ok_or("the decision has no record")?;
                    return Ok(Truth {
                        reason: record.reason,
                        explanation: record.explanation,
                    });
                }
                Err(_early) if deadline.is_some_and(|deadline| Instant::now() < deadline) => {
                    tokio::time::sleep(POLL).await;
                }
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// The tasks that the ledger has.
    pub(crate) async fn tasks(&self) -> Result<Vec<v1::TaskSummary>, Error> {
        let request = v1::ListTasksRequest {
            after: String::new(),
            limit: 10,
            include_ended: true,
        };
        Ok(self
            .stub
            .clone()
            .list_tasks(request)
            .await?
            .into_inner()
            .tasks)
    }
}

impl Truth {
    /// The explanation up to its first pause.
    pub(crate) fn short(&self) -> &str {
        let end = self.explanation.find([';', ':']);
        // A SPIFFE ID has a colon of its own, and explanations that begin with one have no other.
        if self.explanation.starts_with("spiffe://") {
            return &self.explanation;
        }
        end.and_then(|end| self.explanation.get(..end))
            .unwrap_or(&self.explanation)
    }
}
