//! The load: this process is owner, server and performer of one task, and asks without pause.

use crate::Error;
use crate::figure::{Figure, Size, count, milliseconds, quantile, rounded};
use crate::node::{LOAD_ID, Node};
use handfast::client::{
    Agent, Caller, Create, Hand, PeerProof, QueryChecked, Register, Token, ToolCall, peer, tls,
};
use handfast::domain::id::Hex;
use spiffe::X509Source;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

/// Callers that ask at once, each on a connection of its own.
pub(crate) const CALLERS: usize = 16;

const HAND_LIFE: Duration = Duration::from_secs(3600);
const HANDSHAKE: Duration = Duration::from_secs(5);
const ALPN: &[&[u8]] = &[b"h2"];

/// One task, and whoever asks about it.
pub(crate) struct Load {
    /// One connection per caller.
    pub(crate) agents: Vec<Agent>,
    pub(crate) hand: Hand,
    handle: String,
    work_reference: String,
    proof: PeerProof,
}

impl Load {
    /// Makes the task as an owner and a server would, tokens and TLS connection included.
    pub(crate) async fn prepare(node: &Node) -> Result<Self, Error> {
        let source = X509Source::builder()
            .endpoint(&node.workload_api)
            .initial_sync_timeout(HANDSHAKE)
            .build()
            .await?;
        let mut agents = Vec::with_capacity(CALLERS);
        for _ in 0..CALLERS {
            agents.push(node.connect().await?);
        }
        let agent = agents.first().ok_or("no caller")?;
        let hand = Hand::generate(HAND_LIFE)?;
        let proof = proof_of(source, &hand).await?;
        let call = ToolCall::new(LOAD_ID, "measure", "{}")?;
        let create = Create::by(call.clone()).performed_by(LOAD_ID);
        let token = agent.owner().issue_create(&hand, create).await?.token;
        let token = token.ok_or("no create token")?;
        // 256 random bits, as good as any handle.
        let handle = Hex(&Hand::generate(HAND_LIFE)?.thumbprint().0).to_string();
        let caller = Caller::with_token(&token, &proof);
        let register = Register::new(caller, call, &handle);
        let work_reference = agent
            .server()
            .create(register)
            .await?
            .work_reference()
            .to_owned();
        Ok(Self {
            agents,
            hand,
            handle,
            work_reference,
            proof,
        })
    }

    /// What shows the hand.
    pub(crate) fn proof(&self) -> &PeerProof {
        &self.proof
    }

    /// `Requests.Issue(query)`: calls a second, and the slowest hundredth.
    pub(crate) async fn issue_query(&self, size: &Size) -> Result<[Figure; 2], Error> {
        let ask = || {
            let (hand, handle) = (self.hand.clone(), self.handle.clone());
            move |agent: Agent| {
                let (hand, handle) = (hand.clone(), handle.clone());
                async move {
                    agent.owner().issue_query(&hand, LOAD_ID, handle).await?;
                    Ok(())
                }
            }
        };
        let mut rounds = Rounds::default();
        closed_loop(&self.agents, size.round, ask()).await?;
        for _ in 0..size.rounds {
            rounds.add(closed_loop(&self.agents, size.round, ask()).await?);
        }
        let how = "Requests.Issue(query) for one task over the UDS: identity and policy checked, ES256 \
                   token signed";
        Ok([
            rounds.rps("issue_query_uds_rps", how),
            rounds.p99_ms("issue_query_uds_p99_ms", how),
        ])
    }

    /// `Enforcement.Check(query)` by the server: calls a second.
    pub(crate) async fn check_query(&self, size: &Size) -> Result<Figure, Error> {
        let mut rounds = Rounds::default();
        closed_loop(&self.agents, size.round, self.check().await?).await?;
        for _ in 0..size.rounds {
            let check = self.check().await?;
            rounds.add(closed_loop(&self.agents, size.round, check).await?);
        }
        let how = "Enforcement.Check(query) by the task's server over the UDS, with a query token issued \
                   for the round and the certificate of a TLS connection";
        Ok(rounds.rps("check_query_uds_rps", how))
    }

    /// `Legs.Start` by the process that has the leg, one after another.
    pub(crate) async fn start(
        &self,
        name: &'static str,
        how: &str,
        size: &Size,
    ) -> Result<Figure, Error> {
        let worker = self.agents.first().ok_or("no caller")?.worker();
        worker.start(&self.work_reference, &self.hand).await?;
        let mut samples = Vec::with_capacity(size.calls);
        for _ in 0..size.calls {
            let started = Instant::now();
            let leg = worker.start(&self.work_reference, &self.hand).await?;
            samples.push(started.elapsed());
            if !leg.reattached {
                return Err("the leg was lost between two starts".into());
            }
        }
        Ok(Figure::p50_ms(name, &samples, how))
    }

    /// Whether the owner is still served.
    pub(crate) async fn query_token(&self) -> Result<Token, Error> {
        let owner = self.agents.first().ok_or("no caller")?.owner();
        let issued = owner.issue_query(&self.hand, LOAD_ID, &self.handle).await?;
        issued.token.ok_or_else(|| "no query token".into())
    }

    async fn check(&self) -> Result<impl Asking, Error> {
        let caller = Caller::with_token(&self.query_token().await?, &self.proof);
        let handle = self.handle.clone();
        Ok(move |agent: Agent| {
            let (caller, handle) = (caller.clone(), handle.clone());
            async move {
                match agent.server().check_query(caller, handle).await? {
                    QueryChecked::Read(_) => Ok(()),
                    QueryChecked::Denied(no) => Err(Error::from(no.mcp_message)),
                }
            }
        })
    }
}

/// One call of a closed loop.
pub(crate) trait Asking: Fn(Agent) -> Self::Asked + Clone + Send + Sync + 'static {
    type Asked: Future<Output = Result<(), Error>> + Send;
}

impl<F, A> Asking for F
where
    F: Fn(Agent) -> A + Clone + Send + Sync + 'static,
    A: Future<Output = Result<(), Error>> + Send,
{
    type Asked = A;
}

/// What one round gave.
struct Round {
    latencies: Vec<Duration>,
    lasted: Duration,
}

/// Every caller asks again as soon as it has its answer, until the round is over.
async fn closed_loop(
    agents: &[Agent],
    lasting: Duration,
    ask: impl Asking,
) -> Result<Round, Error> {
    let started = Instant::now();
    let mut callers = JoinSet::new();
    for agent in agents {
        let (ask, agent) = (ask.clone(), agent.clone());
        callers.spawn(async move {
            let mut latencies = Vec::new();
            while started.elapsed() < lasting {
                let asked = Instant::now();
                ask(agent.clone()).await?;
                latencies.push(asked.elapsed());
            }
            Ok::<_, Error>(latencies)
        });
    }
    let mut latencies = Vec::new();
    while let Some(caller) = callers.join_next().await {
        latencies.extend(caller??);
    }
    Ok(Round {
        latencies,
        lasted: started.elapsed(),
    })
}

/// Each round on its own, so that one disturbed round does not spoil the median.
#[derive(Default)]
struct Rounds {
    n: usize,
    rps: Vec<f64>,
    p99_ms: Vec<f64>,
}

impl Rounds {
    fn add(&mut self, round: Round) {
        let ms: Vec<f64> = round.latencies.into_iter().map(milliseconds).collect();
        self.n = self.n.saturating_add(ms.len());
        self.rps.push(count(ms.len()) / round.lasted.as_secs_f64());
        self.p99_ms.push(quantile(&ms, 990));
    }

    fn rps(&self, name: &'static str, how: &str) -> Figure {
        self.figure((name, "1/s"), &self.rps, how)
    }

    fn p99_ms(&self, name: &'static str, how: &str) -> Figure {
        self.figure((name, "ms"), &self.p99_ms, how)
    }

    fn figure(&self, (name, unit): (&'static str, &'static str), of: &[f64], how: &str) -> Figure {
        let (rounds, cpus) = (of.len(), cpus());
        Figure {
            name,
            value: rounded(quantile(of, 500)),
            unit,
            n: self.n,
            how: format!(
                "{how}; closed loop of {CALLERS} callers in one process, a connection each, rate limits \
                 raised, agent and load on the same {cpus} CPUs; median of {rounds} rounds"
            ),
        }
    }
}

/// CPUs that the load and the agent share.
pub(crate) fn cpus() -> usize {
    std::thread::available_parallelism().map_or(0, usize::from)
}

/// Shows the hand on a real TLS connection to ourselves: only that makes a proof.
async fn proof_of(source: X509Source, hand: &Hand) -> Result<PeerProof, Error> {
    let server = source.svid()?.spiffe_id().clone();
    let accepting = Arc::new(peer::server_config(source.clone(), ALPN)?);
    let connecting = Arc::new(tls::client_config(source, &server, hand, ALPN)?);
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let address = listener.local_addr()?;
    let accept = async {
        let (stream, _) = listener.accept().await?;
        peer::accept(stream, accepting, HANDSHAKE).await
    };
    let connect = tls::connect(address, connecting, HANDSHAKE);
    let (_stream, (_accepted, proof)) = tokio::try_join!(connect, accept)?;
    Ok(proof)
}
