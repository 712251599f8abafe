//! One process that is owner, server, worker and tool at once, by the library.

use crate::job::Job;
use crate::node::Options;
use handfast::client::{
    Agent, AgentConfig, Caller, Create, Effect, Grant, Hand, Leg, PeerProof, Register,
    RevocationFeed, StepIssued, TaskName, Token, ToolCall, Watched, mint_handle, peer, tls,
};
use spiffe::X509Source;
use std::fmt::Write as _;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;

/// This very process, in every role.
const ALL: &str = "spiffe://demo.test/all";
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);
const ALPN: &[&[u8]] = &[b"h2"];

/// The roles of the main job in one process, with a task in hand.
pub(crate) struct Solo {
    pub(crate) agent: Agent,
    pub(crate) hand: Hand,
    pub(crate) proof: PeerProof,
    /// The task, as its owner names it.
    pub(crate) task: TaskName,
    pub(crate) leg: Leg,
    step: u32,
}

impl Solo {
    pub(crate) async fn begin(job: &Job) -> Self {
        let endpoint = format!(
            "unix://{}",
            job.node.path("spiffe/public/api.sock").display()
        );
        let source = X509Source::builder().endpoint(endpoint).build();
        let source = tokio::time::timeout(PATIENCE, source)
            .await
            .unwrap()
            .unwrap();
        let agent = Agent::connect(AgentConfig::new(job.node.socket()))
            .await
            .unwrap();
        let hand = Hand::generate(Duration::from_secs(600)).unwrap();
        let proof = proof_of(source, &hand).await;
        let call = ToolCall::new(ALL, "measure", "{}").unwrap();
        let create = Create::by(call.clone())
            .granting(Grant::nothing().tool(ALL, "measure"))
            .performed_by(ALL);
        let issued = agent.owner().issue_create(&hand, create).await.unwrap();
        let token = issued.token.unwrap();
        let handle = mint_handle().unwrap();
        let task = TaskName::new(ALL, handle.clone());
        let register = Register::new(Caller::with_token(&token, &proof), call, handle);
        let registered = agent.server().create(register).await.unwrap();
        let leg = agent
            .worker()
            .start(registered.work_reference(), &hand)
            .await
            .unwrap();
        Self {
            agent,
            hand,
            proof,
            task,
            leg,
            step: 0,
        }
    }

    /// A feed of this tool's that has caught up.
    pub(crate) async fn feed(&self) -> RevocationFeed {
        let feed = RevocationFeed::start(&self.agent.tool(), PATIENCE);
        tokio::time::timeout(PATIENCE, feed.caught_up())
            .await
            .unwrap();
        feed
    }

    /// Begins the effect of the next step.
    pub(crate) async fn begin_effect(&mut self, feed: &RevocationFeed) -> Effect {
        let (token, call) = self.token().await;
        let watched = feed.check(&token, &self.proof, call).await.unwrap();
        match watched {
            Watched::Fresh(effect) => *effect,
            other @ (Watched::Denied(_) | Watched::Repeat(_)) => panic!("{other:?}"),
        }
    }

    /// A token for the next step.
    pub(crate) async fn token(&mut self) -> (Token, ToolCall) {
        self.step = self.step.saturating_add(1);
        self.again().await
    }

    /// A token for the last step.
    pub(crate) async fn again(&self) -> (Token, ToolCall) {
        let call = ToolCall::new(ALL, "measure", "{}").unwrap();
        let issued = self.leg.issue(self.step, call.clone(), None).await.unwrap();
        let StepIssued::Token(issued) = issued else {
            panic!("{issued:?}");
        };
        (issued.token, call)
    }
}

async fn proof_of(source: X509Source, hand: &Hand) -> PeerProof {
    let server = source.svid().unwrap().spiffe_id().clone();
    let accepting = Arc::new(peer::server_config(source.clone(), ALPN).unwrap());
    let connecting = Arc::new(tls::client_config(source, &server, hand, ALPN).unwrap());
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let accept = async {
        let (stream, _) = listener.accept().await.unwrap();
        peer::accept(stream, accepting, PATIENCE).await.unwrap()
    };
    let connect = async { tls::connect(address, connecting, PATIENCE).await.unwrap() };
    let (_stream, (_accepted, proof)) = tokio::join!(connect, accept);
    proof
}

/// A node on which this very process has every role.
pub(crate) fn alone() -> Job {
    let mut config = String::from(
        "[revocation]\nheartbeat = \"200ms\"\n[tokens]\nact_by = \"300ms\"\nact_by_grace = \"100ms\"\n",
    );
    let uid = nix::unistd::geteuid().as_raw();
    write!(config, "[[workload]]\nspiffe_id = \"{ALL}\"\nuid = {uid}\n").unwrap();
    let job = Job::with(&Options {
        config,
        ..Options::default()
    });
    crate::remote::become_(&job, ALL);
    job
}
