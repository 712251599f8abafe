//! What a worker does besides its own steps: fans out, spends a child, hands it over, asks for what a person must
//! consent to.

use super::archive::store_call;
use super::warehouse::export_call;
use super::worker::Worker;
use super::{PURGE, STORE};
use crate::harness::{self, now_ms};
use crate::wire::Said;
use crate::{Error, mcp};
use handfast::client::{
    Act, Child, Create, Delegate, Grant, HANDFAST_TOKEN, StepIssued, TaskName, ToolCall,
};
use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use spiffe::SpiffeId;

impl Worker {
    /// Makes children, each good for one task at the archive with one export.
    pub(super) async fn spawn(&mut self, count: u32) -> Result<Said, Error> {
        let leg = self.leg.as_ref().ok_or("no leg")?;
        let export = export_call(&self.settings.warehouse)?;
        let child = Child::at(&self.settings.archive, STORE)
            .granting(Grant::nothing().call(&export).steps(1));
        let children = (0..count).map(|_| child.clone());
        match leg.spawn(children, None).await {
            Ok(ids) => Ok(Said::Children { ids }),
            Err(error) => harness::denied(error),
        }
    }

    /// Spends a child: a create token for it, shown to the archive on a connection of this worker's hand.
    pub(super) async fn spend(&self, child: String) -> Result<Said, Error> {
        let create = Create::by(store_call(&self.settings.archive)?).spending(child);
        let issued = self.agent.owner().issue_create(&self.hand, create).await;
        let token = match issued {
            Ok(issued) => issued.token.ok_or("the agent gave no token")?,
            Err(error) => return harness::denied(error),
        };
        let archive = SpiffeId::new(&self.settings.archive)?;
        let port = self.settings.archive_port;
        let mut connection = mcp::connect(self.source.clone(), &archive, port, &self.hand).await?;
        let request = http::Request::post(format!("https://archive.demo.test/{STORE}"))
            .header(HANDFAST_TOKEN, token.header_value()?)
            .body(Full::<Bytes>::default())?;
        let response = connection.send_request(request).await?;
        let body = response.into_body().collect().await?.to_bytes();
        Ok(serde_json::from_slice(&body)?)
    }

    /// Hands a task that this worker owns over: to be carried out, and nothing else.
    pub(super) async fn hand_over(&self, handle: String, to: String) -> Result<Said, Error> {
        let task = TaskName::new(&self.settings.archive, handle);
        let delegate = Delegate::to(to, [Act::Perform]);
        match self.agent.handover().delegate(task, delegate).await {
            Ok(_) => Ok(Said::Done { asked_ms: now_ms() }),
            Err(error) => harness::denied(error),
        }
    }

    /// Asks for a step that policy wants a person's consent for.
    pub(super) async fn purge(&mut self, step: u32, year: u32) -> Result<Said, Error> {
        let leg = self.leg.as_ref().ok_or("no leg")?;
        let arguments = serde_json::json!({ "table": "orders", "year": year });
        let call = ToolCall::new(&self.settings.warehouse, PURGE, arguments.to_string())?;
        match leg.issue(step, call, None).await {
            Ok(StepIssued::Token(_)) => Ok(Said::Done { asked_ms: now_ms() }),
            Ok(StepIssued::Pending(asked)) => Ok(Said::Pending {
                id: asked.approval_id,
            }),
            Ok(StepIssued::Already(state)) => Err(format!("step {step} is {state:?}").into()),
            Err(error) => harness::denied(error),
        }
    }
}
