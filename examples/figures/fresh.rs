//! What SPIRE's answer costs: a real server and agent, asked anew by each `Start`.

use crate::Error;
use crate::figure::{Figure, Size};
use crate::load::Load;
use crate::node::{AGENT_ID, LOAD_ID, Node, Provider, TRUST_DOMAIN};
use crate::spire::{Entry, Options, Programs, SpireNode};
use handfast::attest::broker::BrokerDirectory;
use handfast::attest::directory::DirectoryConfig;
use handfast::domain::id::SpiffeId;
use handfast::identity::{AgentRule, BrokerChannelConfig, Identity, IdentityConfig, UnixEndpoint};
use handfast::service::ports::ProcessDirectory;
use spiffe::WorkloadApiClient;
use std::path::Path;
use std::time::Instant;
use tokio::runtime::Runtime;

/// `start_fresh_p50_ms`, beside the part of it that is SPIRE's.
pub(crate) fn measure(
    runtime: &Runtime,
    programs: &Programs,
    handfast: &Path,
    size: &Size,
) -> Result<[Figure; 2], Error> {
    let options = Options {
        trust_domain: TRUST_DOMAIN.to_owned(),
        ..Options::default()
    };
    let spire = SpireNode::start(programs, &options);
    let this = std::env::current_exe()?;
    // This process is also the agent in SPIRE's eyes, so that it can ask what the agent asks.
    for (id, program) in [
        (AGENT_ID, handfast),
        (AGENT_ID, this.as_path()),
        (LOAD_ID, this.as_path()),
    ] {
        let prefix = format!("spiffe://{TRUST_DOMAIN}");
        spire.entry_create(Entry {
            path: id.strip_prefix(&prefix).ok_or("a SPIFFE ID")?,
            selectors: &[&format!("unix:path:{}", program.display())],
        });
    }
    spire.wait_for("both identities of this process", || {
        runtime.block_on(async {
            let client = WorkloadApiClient::connect_to(spire.workload_api())
                .await
                .ok()?;
            let svids = client.fetch_all_x509_svids().await.ok()?;
            (svids.len() == 2).then_some(())
        })
    });
    let provider = Provider::at(spire.workload_api(), spire.broker_socket());
    let mut node = Node::start(handfast, &provider)?;
    runtime.block_on(async {
        node.wait_until_ready().await?;
        let broker = broker_call(&provider, size).await?;
        let load = Load::prepare(&node).await?;
        let how = "Start again by the process that holds the leg (re-attached, durable), one at a time, \
                   each attested by a SPIRE agent on the same machine (unix attestor, no hashing)";
        Ok([load.start("start_fresh_p50_ms", how, size).await?, broker])
    })
}

/// The question that each `Start` asks, and nothing else.
async fn broker_call(provider: &Provider, size: &Size) -> Result<Figure, Error> {
    let own = SpiffeId::new(AGENT_ID)?;
    let identity = Identity::start(&IdentityConfig {
        spiffe_id: Some(own.clone()),
        ..IdentityConfig::new(UnixEndpoint::parse(&provider.workload_api)?)
    })
    .await?;
    let socket = format!("unix://{}", provider.broker_socket.display());
    let channel = identity.broker_channel(&BrokerChannelConfig {
        agent: AgentRule::AnySpireAgent,
        ..BrokerChannelConfig::new(UnixEndpoint::parse(&socket)?)
    })?;
    let config = DirectoryConfig::new(identity.trust_domain().clone());
    let directory = BrokerDirectory::new(channel, config);
    let pid = rustix::process::getpid().as_raw_nonzero().get();
    directory.spiffe_ids(pid).await?;
    let mut samples = Vec::with_capacity(size.calls);
    for _ in 0..size.calls {
        let started = Instant::now();
        let found = directory.spiffe_ids(pid).await?;
        samples.push(started.elapsed());
        if !found.contains(&own) {
            return Err("SPIRE takes this process for another".into());
        }
    }
    identity.shutdown().await;
    let how = "SPIFFE Broker API call to the same SPIRE agent about this process, one at a time, \
               channel kept";
    Ok(Figure::p50_ms("broker_call_p50_ms", &samples, how))
}
