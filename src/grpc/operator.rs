//! `Operator`: what the person on the node may see and do, on a socket of its own.

use super::convert::{self, FormError, InField as _};
use super::page::Page;
use super::routes::{Api, caller, reply};
use crate::domain::denial::Reason;
use crate::domain::id::{RecordNumber, SpiffeId, TaskId};
use crate::proto::v1;
use crate::service::Failure;
use crate::service::ports::{LocalPeer, Peer};
use std::sync::Arc;
use tonic::{Request, Response, Status};

/// What the agent as a whole knows of itself and the service does not.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AgentView {
    /// The agent's own SPIFFE ID, once it has one.
    pub spiffe_id: Option<SpiffeId>,
    /// Guards that hold readiness back; none means ready.
    pub not_ready: Vec<String>,
    /// Why the newest policy files are not in force.
    pub policy_error: Option<String>,
    /// Records in the audit chain.
    pub audit_records: u64,
}

/// Asked at every `Operator.Status`. Must not block.
pub trait StatusSource: Send + Sync + std::fmt::Debug {
    /// How the agent is now.
    fn view(&self) -> AgentView;
}

/// The handlers of `Operator`.
#[derive(Clone, Debug)]
pub(super) struct OperatorApi {
    pub(super) api: Arc<Api>,
    pub(super) source: Arc<dyn StatusSource>,
}

#[tonic::async_trait]
impl v1::operator_server::Operator for OperatorApi {
    async fn revoke(
        &self,
        request: Request<v1::RevokeRequest>,
    ) -> Result<Response<v1::RevokeResponse>, Status> {
        reply(self.revoke_scope(request).await)
    }

    async fn lift(
        &self,
        request: Request<v1::LiftRequest>,
    ) -> Result<Response<v1::LiftResponse>, Status> {
        reply(self.lift_id(request).await)
    }

    async fn receipt(
        &self,
        request: Request<v1::ReceiptRequest>,
    ) -> Result<Response<v1::ReceiptResponse>, Status> {
        reply(self.stopped(request))
    }

    async fn list_tasks(
        &self,
        request: Request<v1::ListTasksRequest>,
    ) -> Result<Response<v1::ListTasksResponse>, Status> {
        reply(self.list(request).await)
    }

    async fn show_task(
        &self,
        request: Request<v1::ShowTaskRequest>,
    ) -> Result<Response<v1::ShowTaskResponse>, Status> {
        reply(self.show(request).await)
    }

    async fn explain(
        &self,
        request: Request<v1::ExplainRequest>,
    ) -> Result<Response<v1::ExplainResponse>, Status> {
        reply(self.explain_decision(request).await)
    }

    async fn status(
        &self,
        request: Request<v1::StatusRequest>,
    ) -> Result<Response<v1::StatusResponse>, Status> {
        reply(self.agent_status(request))
    }

    async fn simulate(
        &self,
        request: Request<v1::SimulateRequest>,
    ) -> Result<Response<v1::SimulateResponse>, Status> {
        reply(self.simulate_policy(request).await)
    }

    async fn audit(
        &self,
        request: Request<v1::AuditRequest>,
    ) -> Result<Response<v1::AuditResponse>, Status> {
        reply(self.read_audit(request).await)
    }
}

impl OperatorApi {
    async fn revoke_scope(
        &self,
        request: Request<v1::RevokeRequest>,
    ) -> Result<v1::RevokeResponse, Failure> {
        let (operator, message) = operator(request)?;
        let scope = convert::scope(message.scope)?;
        let service = &self.api.continuation;
        if message.dry_run {
            let named_max = self.api.limits.page_rows;
            let (stops, decision_id) = service.would_stop(&operator, &scope, named_max).await?;
            return Ok(v1::RevokeResponse {
                decision_id,
                would_stop: Some(convert::would_stop(&stops)),
                ..v1::RevokeResponse::default()
            });
        }
        let why = self.api.forms.reason(message.reason)?;
        let revoked = service.revoke(&operator, scope, why).await?;
        Ok(v1::RevokeResponse {
            state: revoked.state.map(convert::task_state).unwrap_or_default(),
            decision_id: revoked.decision_id,
            sequence: revoked.sequence.unwrap_or_default().0,
            would_stop: None,
        })
    }

    async fn lift_id(
        &self,
        request: Request<v1::LiftRequest>,
    ) -> Result<v1::LiftResponse, Failure> {
        let (operator, message) = operator(request)?;
        let id = convert::spiffe_id(&message.spiffe_id)?;
        let why = self.api.forms.reason(message.reason)?;
        let service = &self.api.continuation;
        let done = service.lift(&operator, id, why).await?;
        let revoked = service.revoked_ids();
        Ok(v1::LiftResponse {
            decision_id: done.decision_id,
            lifted: done.lifted,
            revoked: revoked.iter().map(ToString::to_string).collect(),
        })
    }

    fn stopped(
        &self,
        request: Request<v1::ReceiptRequest>,
    ) -> Result<v1::ReceiptResponse, Failure> {
        let (_operator, message) = operator(request)?;
        let receipt = self
            .api
            .continuation
            .receipt(RecordNumber(message.sequence));
        let receipt = receipt.ok_or_else(|| {
            Failure::Invalid("sequence: no receipt of this revocation is kept".to_owned())
        })?;
        Ok(convert::receipt(receipt))
    }

    /// One page of the ledger: fewer rows than asked for, even none, where ended tasks were left out or the
    /// reply is full; it goes on at `next`.
    async fn list(
        &self,
        request: Request<v1::ListTasksRequest>,
    ) -> Result<v1::ListTasksResponse, Failure> {
        let (_operator, message) = operator(request)?;
        let after = after(&message.after)?;
        let limit = self.api.limits.rows(message.limit)?;
        let (tasks, next) = self.api.continuation.list_tasks(after, limit).await?;
        let mut page = Page::new(self.api.limits.reply_bytes);
        let mut next = next.as_ref().map(ToString::to_string);
        let mut last = None;
        for task in &tasks {
            if !message.include_ended && task.state.is_terminal() {
                continue;
            }
            if !page.push(convert::summary(task)) {
                next = last;
                break;
            }
            last = Some(task.task.id.to_string());
        }
        Ok(v1::ListTasksResponse {
            tasks: page.rows,
            next: next.unwrap_or_default(),
        })
    }

    async fn show(
        &self,
        request: Request<v1::ShowTaskRequest>,
    ) -> Result<v1::ShowTaskResponse, Failure> {
        let (_operator, message) = operator(request)?;
        let task = convert::task(&message.task_id)?;
        match self.api.continuation.show_task(task).await? {
            Some(summary) => Ok(convert::details(&summary)),
            // Reading decides nothing: there is no record to name.
            None => Err(Failure::Denied {
                reason: Reason::Unknown,
                decision_id: String::new(),
            }),
        }
    }

    async fn explain_decision(
        &self,
        request: Request<v1::ExplainRequest>,
    ) -> Result<v1::ExplainResponse, Failure> {
        let (_operator, message) = operator(request)?;
        let service = &self.api.continuation;
        let record = service.explain(&message.decision_id).await?;
        let record = record.ok_or(FormError::Decision).field("decision_id")?;
        Ok(v1::ExplainResponse {
            record: Some(convert::record(record)),
        })
    }

    /// One page: whole tasks, as far as their changes fit into one reply; of the first task, those that do.
    async fn simulate_policy(
        &self,
        request: Request<v1::SimulateRequest>,
    ) -> Result<v1::SimulateResponse, Failure> {
        let (operator, message) = operator(request)?;
        let page = (after(&message.after)?, self.api.limits.rows(message.limit)?);
        let service = &self.api.continuation;
        let (simulated, decision_id) = service.simulate(&operator, message.policy, page).await?;
        let mut page = Page::new(self.api.limits.reply_bytes);
        let mut left_out = 0_u32;
        for change in &simulated.changes {
            if left_out > 0 || !page.push(convert::simulated(change)) {
                left_out = left_out.saturating_add(1);
            }
        }
        let count = |number| u32::try_from(number).unwrap_or(u32::MAX);
        Ok(v1::SimulateResponse {
            changes: page.rows,
            tasks: count(simulated.tasks),
            acts: count(simulated.acts),
            next: simulated.next.map(|id| id.to_string()).unwrap_or_default(),
            left_out,
            decision_id,
        })
    }

    fn agent_status(
        &self,
        request: Request<v1::StatusRequest>,
    ) -> Result<v1::StatusResponse, Failure> {
        operator(request)?;
        let service = self.api.continuation.status();
        let agent = self.source.view();
        Ok(v1::StatusResponse {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            spiffe_id: agent
                .spiffe_id
                .as_ref()
                .map(ToString::to_string)
                .unwrap_or_default(),
            epoch: service.epoch,
            ready: agent.not_ready.is_empty(),
            not_ready: agent.not_ready,
            policy_generation: service.policy_generation,
            policy_error: agent.policy_error.unwrap_or_default(),
            audit_records: agent.audit_records,
            live_legs: count(service.live_legs),
            uptime_ms: convert::duration_ms(service.uptime),
            revocation_subscribers: count(service.subscribers),
            revoked_ids: service
                .revoked_ids
                .iter()
                .map(ToString::to_string)
                .collect(),
            revoked_ids_kept: count(service.revoked_ids_kept),
            revoked_ids_lifted: count(service.revoked_ids_lifted),
            revoked_ids_max: count(service.revoked_ids_max),
        })
    }

    /// As many records as fit into one reply; numbers have no gaps, so the caller sees where to go on.
    async fn read_audit(
        &self,
        request: Request<v1::AuditRequest>,
    ) -> Result<v1::AuditResponse, Failure> {
        let (_operator, message) = operator(request)?;
        let limit = self.api.limits.rows(message.limit)?;
        let from = RecordNumber(message.from);
        let events = self.api.continuation.audit(from, limit).await?;
        let mut page = Page::new(self.api.limits.reply_bytes);
        for event in events {
            if !page.push(convert::record(event)) {
                break;
            }
        }
        Ok(v1::AuditResponse { records: page.rows })
    }
}

fn count(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

/// Where a page begins.
fn after(text: &str) -> Result<Option<TaskId>, Failure> {
    match text {
        "" => Ok(None),
        text => Ok(Some(
            TaskId::parse(text)
                .ok_or(FormError::TaskId)
                .field("after")?,
        )),
    }
}

/// The operator is a process on this node: the socket's mode says which.
fn operator<T>(request: Request<T>) -> Result<(Arc<LocalPeer>, T), Failure> {
    match caller(request)? {
        (Peer::Local(local), message) => Ok((local, message)),
        (Peer::Remote(_), _) => {
            let what = "only for processes on this node";
            Err(Failure::Invalid(what.to_owned()))
        }
    }
}
