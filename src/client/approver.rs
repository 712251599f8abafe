//! The approver's side: show a person exactly what is about to be done, and bring the decision.
//!
//! Names `proto`. The one thing to know: a person decides about a digest. Show [`Approval::text`] whole, log the
//! person in with [`Approval::nonce`], and send the same digest back; whatever differs by one byte is refused.

use super::agent::Stub;
use super::error::ClientError;
use crate::domain::id::Hex;
use crate::proto::v1 as proto;
use crate::proto::v1::approvals_client::ApprovalsClient;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use secrecy::{ExposeSecret, SecretString};
use tonic::Streaming;

/// What an approver asks of its agent. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Approver(ApprovalsClient<Stub>);

/// A request for a person's consent to one exact step.
#[derive(Clone, PartialEq, Eq)]
pub struct Approval {
    /// Names the request.
    pub id: String,
    /// Where it is.
    pub state: ApprovalState,
    /// SHA-256 of everything that is consented to.
    pub digest: Vec<u8>,
    /// The task.
    pub task_id: String,
    /// The step.
    pub step: u32,
    /// SPIFFE ID of the owner; `None` where the owner is a principal alone.
    pub owner: Option<String>,
    /// SPIFFE ID of the MCP server.
    pub server: String,
    /// SPIFFE ID of whoever carries the step out.
    pub performer: String,
    /// SPIFFE ID of the tool's workload.
    pub audience: String,
    /// The tool.
    pub tool: String,
    /// The arguments, whole, with every deceptive character escaped.
    pub text: String,
    /// When it was asked, in milliseconds since the Unix epoch.
    pub opened_at_ms: u64,
    /// Nobody can decide at or after this time.
    pub decide_by_ms: u64,
    /// Once approved: when it lapses unused; 0 before.
    pub use_by_ms: u64,
}

/// Where a request is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ApprovalState {
    /// A person said yes; it was not used yet.
    Approved,
    /// Not decided, or not used, in time.
    Lapsed,
    /// It waits for a person.
    Open,
    /// A person said no.
    Refused,
    /// A step was issued by it; it is good for no other.
    Used,
}

/// A person's decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Yes, once.
    Approve,
    /// No.
    Refuse,
}

/// An open watch of requests.
#[derive(Debug)]
pub struct ApprovalWatch(Streaming<proto::Approval>);

impl Approver {
    pub(super) fn new(stub: Stub) -> Self {
        Self(ApprovalsClient::new(stub))
    }

    /// Every open request that this process may decide.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn list(&self) -> Result<Vec<Approval>, ClientError> {
        let (mut open, mut after) = (Vec::new(), String::new());
        loop {
            let request = proto::ListApprovalsRequest { after, limit: 0 };
            let page = self.0.clone().list(request).await?.into_inner();
            for approval in page.approvals {
                open.push(Approval::read(approval)?);
            }
            if page.next.is_empty() {
                return Ok(open);
            }
            after = page.next;
        }
    }

    /// One request.
    ///
    /// # Errors
    /// See [`ClientError`]; one that is not for this process is unknown.
    pub async fn get(&self, id: impl Into<String>) -> Result<Approval, ClientError> {
        let approval_id = id.into();
        let request = proto::GetApprovalRequest { approval_id };
        let reply = self.0.clone().get(request).await?.into_inner();
        Approval::read(reply.approval.ok_or(ClientError::Reply("approval"))?)
    }

    /// Watches requests: those that are open, and each new one.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn watch(&self) -> Result<ApprovalWatch, ClientError> {
        let request = proto::WatchApprovalsRequest {};
        Ok(ApprovalWatch(
            self.0.clone().watch(request).await?.into_inner(),
        ))
    }

    /// Brings a person's decision about the digest that the person saw, with the ID token of a login whose
    /// `nonce` was that digest's [`Approval::nonce`].
    ///
    /// # Errors
    /// See [`ClientError`]: too late, another digest, decided before, or a token that is not good.
    pub async fn decide(
        &self,
        id: impl Into<String>,
        digest: &[u8],
        verdict: Verdict,
        id_token: &SecretString,
    ) -> Result<ApprovalState, ClientError> {
        use proto::decide_request::Verdict as Wire;
        let verdict = match verdict {
            Verdict::Approve => Wire::Approve,
            Verdict::Refuse => Wire::Refuse,
        };
        let request = proto::DecideRequest {
            approval_id: id.into(),
            digest: digest.to_vec(),
            verdict: verdict.into(),
            id_token: id_token.expose_secret().to_owned(),
        };
        let reply = self.0.clone().decide(request).await?.into_inner();
        ApprovalState::read(reply.state)
    }
}

impl ApprovalWatch {
    /// The next request; `None` where the agent closes the stream: open another.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn next(&mut self) -> Result<Option<Approval>, ClientError> {
        self.0.message().await?.map(Approval::read).transpose()
    }
}

impl Approval {
    /// What the login has to carry as `nonce`: for an approval base64url of the digest, for a refusal the same after
    /// `refuse.`.
    #[must_use]
    pub fn nonce(&self, verdict: Verdict) -> String {
        let digest = URL_SAFE_NO_PAD.encode(&self.digest);
        match verdict {
            Verdict::Approve => digest,
            Verdict::Refuse => format!("refuse.{digest}"),
        }
    }

    fn read(wire: proto::Approval) -> Result<Self, ClientError> {
        Ok(Self {
            id: wire.approval_id,
            state: ApprovalState::read(wire.state)?,
            digest: wire.digest,
            task_id: wire.task_id,
            step: wire.step,
            owner: Some(wire.owner).filter(|owner| !owner.is_empty()),
            server: wire.server,
            performer: wire.performer,
            audience: wire.audience,
            tool: wire.tool,
            text: wire.text,
            opened_at_ms: wire.opened_at_ms,
            decide_by_ms: wire.decide_by_ms,
            use_by_ms: wire.use_by_ms,
        })
    }
}

impl std::fmt::Debug for Approval {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Approval")
            .field("id", &self.id)
            .field("state", &self.state)
            .field("digest", &Hex(&self.digest).to_string())
            .field("tool", &self.tool)
            .finish_non_exhaustive()
    }
}

impl ApprovalState {
    /// The state in one lower-case word.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Approved => "approved",
            Self::Lapsed => "lapsed",
            Self::Open => "open",
            Self::Refused => "refused",
            Self::Used => "used",
        }
    }

    fn read(wire: i32) -> Result<Self, ClientError> {
        match proto::ApprovalState::try_from(wire) {
            Ok(proto::ApprovalState::Approved) => Ok(Self::Approved),
            Ok(proto::ApprovalState::Lapsed) => Ok(Self::Lapsed),
            Ok(proto::ApprovalState::Open) => Ok(Self::Open),
            Ok(proto::ApprovalState::Refused) => Ok(Self::Refused),
            Ok(proto::ApprovalState::Used) => Ok(Self::Used),
            Ok(proto::ApprovalState::Unspecified) | Err(_) => {
                Err(ClientError::Reply("approval state"))
            }
        }
    }
}
