//! The operator's eyes: the true reasons behind decisions, and the agent's state.

use crate::Error;
use handfast::proto::v1;
use handfast::proto::v1::operator_client::OperatorClient;
use hyper_util::rt::TokioIo;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::net::UnixStream;
use tokio::time::Instant;
use tonic::transport::{Channel, Endpoint};

const READY_WAIT: Duration = Duration::from_secs(20);
const POLL: Duration = Duration::from_millis(5);

/// The operator at the agent's private socket.
pub(crate) struct Operator(OperatorClient<Channel>);

/// The true reason of a decision.
pub(crate) struct Truth {
    pub(crate) reason: String,
    pub(crate) explanation: String,
}

impl Operator {
    pub(crate) fn at(socket: &Path) -> Self {
        let socket: PathBuf = socket.to_owned();
        let connector = tower::service_fn(move |_uri: http::Uri| {
            let socket = socket.clone();
            async move { UnixStream::connect(socket).await.map(TokioIo::new) }
        });
        let endpoint = Endpoint::from_static("http://localhost");
        Self(OperatorClient::new(
            endpoint.connect_with_connector_lazy(connector),
        ))
    }

    /// Waits until the agent is ready, and gives its state.
    pub(crate) async fn ready(&self) -> Result<v1::StatusResponse, Error> {
        let deadline = Instant::now().checked_add(READY_WAIT);
        loop {
            let status = self.0.clone().status(v1::StatusRequest {}).await;
            let why = match status.map(tonic::Response::into_inner) {
                Ok(status) if status.ready => return Ok(status),
                Ok(status) => status.not_ready.join(", "),
                Err(error) => error.to_string(),
            };
            if deadline.is_none_or(|deadline| Instant::now() >= deadline) {
                return Err(format!("the agent is not ready: {why}").into());
            }
            tokio::time::sleep(POLL).await;
        }
    }

    /// The true reason behind a decision ID.
    pub(crate) async fn explain(&self, decision_id: &str) -> Result<Truth, Error> {
        let request = v1::ExplainRequest {
            decision_id: decision_id.to_owned(),
        };
        let reply = self.0.clone().explain(request).await?.into_inner();
        let record = reply.record.ok_or("the decision has no record")?;
        Ok(Truth {
            reason: record.reason,
            explanation: record.explanation,
        })
    }

    /// The tasks that the ledger has.
    pub(crate) async fn tasks(&self) -> Result<Vec<v1::TaskSummary>, Error> {
        let request = v1::ListTasksRequest {
            after: String::new(),
            limit: 10,
            include_ended: true,
        };
        Ok(self.0.clone().list_tasks(request).await?.into_inner().tasks)
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
