//! The way to this node's agent, shared by the handles of all roles.
//!
//! Names `proto`. The one thing to know: the connection is made anew when it breaks (the agent restarts), and
//! each new connection is checked like the first. A process that forks connects anew in its child: the kernel
//! tells the two apart, and so does the agent.

use super::approver::Approver;
use super::error::ClientError;
use super::facts::WhoAmI;
use super::handover::Handover;
use super::owner::Owner;
use super::server::Server;
use super::socket;
use super::tool::Tool;
use super::worker::Worker;
use crate::proto::v1 as proto;
use hyper_util::rt::TokioIo;
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Mutex;
use tonic::metadata::MetadataValue;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Status};

/// Environment variable that names the agent's socket.
pub const SOCKET_VARIABLE: &str = "HANDFAST_SOCKET";

/// Where the agent's socket is where nothing says otherwise.
const SOCKET_DEFAULT: &str = "/run/handfast/public/agent.sock";

/// Metadata that a browser or a confused proxy would not send (as `workload.spiffe.io` of the Workload API).
const MARK: &str = "handfast.io";

/// Where the agent is and who it must be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AgentConfig {
    /// The agent's socket. Its folder and those above it may be written by their owners only.
    pub socket: PathBuf,
    /// Users that may run the agent, besides root. Empty: whoever owns the socket's folder.
    pub agent_uids: BTreeSet<u32>,
    /// The longest one request may take, connecting included. Streams last longer.
    pub request_timeout: Duration,
}

impl AgentConfig {
    /// The agent at this socket, run by whoever owns the socket's folder; 10 s for a request.
    #[must_use]
    pub fn new(socket: impl Into<PathBuf>) -> Self {
        Self {
            socket: socket.into(),
            agent_uids: BTreeSet::new(),
            request_timeout: Duration::from_secs(10),
        }
    }

    /// The agent at `HANDFAST_SOCKET`, else at `/run/handfast/public/agent.sock`.
    #[must_use]
    pub fn from_env() -> Self {
        Self::new(
            std::env::var_os(SOCKET_VARIABLE)
                .map_or_else(|| PathBuf::from(SOCKET_DEFAULT), PathBuf::from),
        )
    }

    /// Demands that this user (or root) runs the agent.
    #[must_use]
    pub fn run_by(mut self, uid: u32) -> Self {
        self.agent_uids.insert(uid);
        self
    }
}

/// The channel to the agent with our mark on every request.
pub type Stub = InterceptedService<Channel, fn(Request<()>) -> Result<Request<()>, Status>>;

/// The operator's methods as generated: `handfast task`, `audit` and `explain` are made of them.
pub type OperatorStub = proto::operator_client::OperatorClient<Stub>;

/// A connection to this node's agent. Cheap to clone.
#[derive(Clone)]
pub struct Agent {
    stub: Stub,
    socket: Arc<PathBuf>,
}

impl Agent {
    /// Connects, and makes sure that it is the agent that answers.
    ///
    /// # Errors
    /// [`ClientError::Socket`]: nobody listens, or it is not the agent. [`ClientError::Unavailable`]: it
    /// listens and does not speak.
    pub async fn connect(config: AgentConfig) -> Result<Self, ClientError> {
        let config = Arc::new(config);
        // The first connection is made here, so that its error is ours and not the channel's.
        let first = socket::connect(&config.socket, &config.agent_uids).await?;
        let first = Arc::new(Mutex::new(Some(first)));
        let path = Arc::new(config.socket.clone());
        let endpoint = Endpoint::from_static("http://localhost")
            .connect_timeout(config.request_timeout)
            .timeout(config.request_timeout);
        let connector = tower::service_fn(move |_uri: http::Uri| {
            let (config, first) = (Arc::clone(&config), Arc::clone(&first));
            async move {
                let stream = match first.lock().await.take() {
                    Some(stream) => stream,
                    None => socket::connect(&config.socket, &config.agent_uids).await?,
                };
                Ok::<_, socket::SocketError>(TokioIo::new(stream))
            }
        });
        let channel = endpoint
            .connect_with_connector(connector)
            .await
            .map_err(|error| Status::from_error(error.into()))?;
        Ok(Self {
            stub: InterceptedService::new(channel, mark),
            socket: path,
        })
    }

    /// What an MCP client asks: tokens for its own requests.
    #[must_use]
    pub fn owner(&self) -> Owner {
        Owner::new(self.stub.clone())
    }

    /// What an owner does with its tasks besides: hands them over, takes them back.
    #[must_use]
    pub fn handover(&self) -> Handover {
        Handover::new(self.stub.clone())
    }

    /// What an MCP server asks: to register tasks, and whether its clients may do what they ask.
    #[must_use]
    pub fn server(&self) -> Server {
        Server::new(self.stub.clone())
    }

    /// What a worker asks: to carry a task out.
    #[must_use]
    pub fn worker(&self) -> Worker {
        Worker::new(self.stub.clone())
    }

    /// What a tool asks: whether a step may take effect.
    #[must_use]
    pub fn tool(&self) -> Tool {
        Tool::new(self.stub.clone())
    }

    /// What an approver asks: what people are asked, and to bring their decisions.
    #[must_use]
    pub fn approver(&self) -> Approver {
        Approver::new(self.stub.clone())
    }

    /// What an operator asks, on the operator's socket.
    #[must_use]
    pub fn operator(&self) -> OperatorStub {
        OperatorStub::new(self.stub.clone())
    }

    /// Whether the agent is ready (`grpc.health.v1`).
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn is_ready(&self) -> Result<bool, ClientError> {
        use tonic_health::pb::health_check_response::ServingStatus;
        use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};
        let mut client = HealthClient::new(self.stub.clone());
        let reply = client.check(HealthCheckRequest::default()).await?;
        Ok(reply.into_inner().status() == ServingStatus::Serving)
    }

    /// What the agent sees of this process.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn who_am_i(&self) -> Result<WhoAmI, ClientError> {
        let mut client = proto::self__client::Self_Client::new(self.stub.clone());
        let reply = client.who_am_i(proto::WhoAmIRequest {}).await?;
        Ok(reply.into_inner().into())
    }
}

impl std::fmt::Debug for Agent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Agent")
            .field("socket", &self.socket)
            .finish_non_exhaustive()
    }
}

#[expect(clippy::unnecessary_wraps, reason = "the signature of an interceptor")]
fn mark(mut request: Request<()>) -> Result<Request<()>, Status> {
    let yes = MetadataValue::from_static("true");
    request.metadata_mut().insert(MARK, yes);
    Ok(request)
}

/// Names a request, so that a repeat after a lost reply is recognised and gets the same answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestId(Vec<u8>);

impl RequestId {
    /// The longest, in bytes.
    const BYTES_MAX: usize = 64;

    /// 128 random bits.
    ///
    /// # Errors
    /// [`ClientError::Randomness`].
    pub fn random() -> Result<Self, ClientError> {
        Ok(Self(random()?.to_vec()))
    }

    /// A name of the caller's choice, 1 to 64 bytes; `None` for another length.
    #[must_use]
    pub fn new(bytes: &[u8]) -> Option<Self> {
        (1..=Self::BYTES_MAX)
            .contains(&bytes.len())
            .then(|| Self(bytes.to_vec()))
    }

    /// The bytes of a given name, else of a random one.
    pub(super) fn or_random(given: Option<Self>) -> Result<Vec<u8>, ClientError> {
        given.map_or_else(Self::random, Ok).map(|id| id.0)
    }
}

/// 128 random bits.
pub(super) fn random() -> Result<[u8; 16], ClientError> {
    let mut bytes = [0_u8; 16];
    #[expect(
        clippy::disallowed_methods,
        reason = "the library runs in workloads, which have no Entropy port"
    )]
    aws_lc_rs::rand::fill(&mut bytes).map_err(|_unspecified| ClientError::Randomness)?;
    Ok(bytes)
}
