//! Sends one request and reads its answer: one arm for each method.

use crate::answer::{self, Failure};
use crate::connection::request;
use crate::{Actor, ask, grants};
use handfast::proto::v1;
use handfast::proto::v1::approvals_client::ApprovalsClient;
use handfast::proto::v1::enforcement_client::EnforcementClient;
use handfast::proto::v1::legs_client::LegsClient;
use handfast::proto::v1::requests_client::RequestsClient;
use handfast::proto::v1::self__client::Self_Client;
use handfast::proto::v1::tasks_client::TasksClient;
use handfast::proto::v1::{
    Approval, GetApprovalRequest, ListApprovalsRequest, WatchApprovalsRequest,
};
use handfast::proto::v1::{GetRequest, HoldEvent, TaskEvent, WatchTaskRequest, WhoAmIRequest};
use http::uri::PathAndQuery;
use serde_json::{Value, json};
use tonic::Streaming;
use tonic_prost::ProstCodec;

impl Actor {
    /// Asks the agent what an operation says.
    pub(crate) async fn perform(&self, op: &Value) -> Result<Value, Failure> {
        let channel = self.connections.channel(op);
        let mut requests = RequestsClient::new(channel.clone());
        let mut tasks = TasksClient::new(channel.clone());
        let mut legs = LegsClient::new(channel.clone());
        let mut enforcement = EnforcementClient::new(channel.clone());
        match ask::text(op, "op").as_str() {
            "issue_create" | "issue_query" | "issue_cancel" | "issue_update" => {
                let reply = requests.issue(request(self.issue(op)?, op)?).await?;
                Ok(answer::issued(&reply.into_inner()))
            }
            "create" => {
                let reply = tasks.create(request(self.create(op)?, op)?).await?;
                Ok(answer::created(&reply.into_inner()))
            }
            "finish" => {
                let reply = tasks.finish(request(ask::finish(op), op)?).await?;
                let reply = reply.into_inner();
                Ok(answer::state(reply.state, &reply.decision_id))
            }
            "require_input" => {
                let ask = request(ask::require_input(op), op)?;
                let reply = tasks.require_input(ask).await?.into_inner();
                Ok(answer::state(reply.state, &reply.decision_id))
            }
            "get" => {
                let task_id = ask::text(op, "task_id");
                let reply = tasks.get(request(GetRequest { task_id }, op)?).await?;
                Ok(answer::got(&reply.into_inner()))
            }
            "start" => {
                let reply = legs.start(request(self.start(op)?, op)?).await?;
                Ok(answer::started(&reply.into_inner()))
            }
            "issue_step" => {
                let reply = legs.issue(request(ask::issue_step(op)?, op)?).await?;
                Ok(answer::step_issued(&reply.into_inner()))
            }
            "spawn" => {
                let reply = legs.spawn(request(grants::spawn(op), op)?).await?;
                Ok(answer::spawned(&reply.into_inner()))
            }
            "end" => {
                let reply = legs.end(request(ask::end(op), op)?).await?;
                let reply = reply.into_inner();
                Ok(answer::state(reply.state, &reply.decision_id))
            }
            "check_query" | "check_cancel" | "check_update" | "check_step" => {
                let reply = enforcement.check(request(self.check(op)?, op)?).await?;
                answer::checked(reply.into_inner())
            }
            "report" => {
                let reply = enforcement.report(request(ask::report(op)?, op)?).await?;
                let reply = reply.into_inner();
                let state = answer::step_state(reply.state);
                Ok(json!({ "state": state, "decision_id": reply.decision_id }))
            }
            "approval_list" | "approval_get" | "approval_decide" => self.approval(op).await,
            "acknowledge" => self.acknowledge(op).await,
            "delegate" | "revoke_delegation" | "take_over" | "resolve" => self.hand_over(op).await,
            "whoami" => {
                let mut client = Self_Client::new(channel);
                let reply = client.who_am_i(request(WhoAmIRequest {}, op)?).await?;
                Ok(answer::who(&reply.into_inner()))
            }
            "raw" => self.raw(op).await,
            other => Err(Failure::own(format!("no operation `{other}`"))),
        }
    }

    /// An empty message to any method, by its `path`.
    async fn raw(&self, op: &Value) -> Result<Value, Failure> {
        let path = PathAndQuery::try_from(ask::text(op, "path")).map_err(Failure::of)?;
        let mut client = tonic::client::Grpc::new(self.connections.channel(op));
        client.ready().await.map_err(Failure::of)?;
        let codec = ProstCodec::<(), ()>::default();
        client.unary(request((), op)?, path, codec).await?;
        Ok(json!({}))
    }

    async fn approval(&self, op: &Value) -> Result<Value, Failure> {
        let mut approvals = ApprovalsClient::new(self.connections.channel(op));
        let approval_id = ask::text(op, "approval_id");
        match ask::text(op, "op").as_str() {
            "approval_list" => {
                let ask = ListApprovalsRequest {
                    after: ask::text(op, "after"),
                    limit: u32::try_from(ask::number(op, "limit")).unwrap_or(u32::MAX),
                };
                let page = approvals.list(request(ask, op)?).await?.into_inner();
                let rows: Vec<Value> = page.approvals.iter().map(answer::approval).collect();
                Ok(json!({ "approvals": rows, "next": page.next }))
            }
            "approval_get" => {
                let ask = GetApprovalRequest { approval_id };
                let reply = approvals.get(request(ask, op)?).await?.into_inner();
                Ok(answer::approval(&reply.approval.unwrap_or_default()))
            }
            _ => {
                let reply = approvals.decide(request(ask::decide(op)?, op)?).await?;
                let reply = reply.into_inner();
                let state = answer::approval_state(reply.state);
                Ok(json!({ "state": state, "decision_id": reply.decision_id }))
            }
        }
    }

    /// Opens an `Approvals.Watch` stream.
    pub(crate) async fn open_approvals(&self, op: &Value) -> Result<Streaming<Approval>, Failure> {
        let mut approvals = ApprovalsClient::new(self.connections.channel(op));
        let reply = approvals
            .watch(request(WatchApprovalsRequest {}, op)?)
            .await?;
        Ok(reply.into_inner())
    }

    /// Opens a `Tasks.Watch` stream.
    pub(crate) async fn open_watch(&self, op: &Value) -> Result<Streaming<TaskEvent>, Failure> {
        let mut tasks = TasksClient::new(self.connections.channel(op));
        let task_id = ask::text(op, "task_id");
        let reply = tasks
            .watch(request(WatchTaskRequest { task_id }, op)?)
            .await?;
        Ok(reply.into_inner())
    }

    async fn acknowledge(&self, op: &Value) -> Result<Value, Failure> {
        let mut enforcement = EnforcementClient::new(self.connections.channel(op));
        let ask = v1::AcknowledgeRevocationsRequest {
            subscription: ask::number(op, "subscription"),
            sequence: ask::number(op, "sequence"),
        };
        enforcement
            .acknowledge_revocations(request(ask, op)?)
            .await?;
        Ok(json!({}))
    }

    /// Opens an `Enforcement.WatchRevocations` stream.
    pub(crate) async fn open_revocations(
        &self,
        op: &Value,
    ) -> Result<Streaming<v1::RevocationEvent>, Failure> {
        let mut enforcement = EnforcementClient::new(self.connections.channel(op));
        let after = op.get("after").and_then(Value::as_u64);
        let mark = ask::from_hex(op, "mark").unwrap_or_default();
        let ask = v1::WatchRevocationsRequest { after, mark };
        let reply = enforcement.watch_revocations(request(ask, op)?).await?;
        Ok(reply.into_inner())
    }

    /// Opens a `Hold` stream.
    pub(crate) async fn open_hold(&self, op: &Value) -> Result<Streaming<HoldEvent>, Failure> {
        let mut legs = LegsClient::new(self.connections.channel(op));
        let reply = legs.hold(request(ask::hold(op), op)?).await?;
        Ok(reply.into_inner())
    }
}
