//! Asking the provider about processes, over the Broker API.

use crate::world::{
    Sleeper, World, agent_entry, directory_config, entry, eventually, id, standing, within,
};
use base64::Engine as _;
use handfast::attest::broker::BrokerDirectory;
use handfast::attest::directory::{ATTESTATION_AUDIENCE, SelfTestError, self_test};
use handfast::identity::{AgentRule, Identity, IdentityError, PeerRules, Standing, UnixEndpoint};
use handfast::service::ports::{DirectoryError, ProcessDirectory as _};
use spiffe::broker_api::SecurityHeader;
use spiffe::broker_api::pb::spiffe::broker::api_client::ApiClient;
use spiffe::broker_api::pb::spiffe::broker::{
    FetchJwtsvidRequest, SubscribeToX509svidRequest, WorkloadPidReference,
};
use std::time::Duration;

fn own_pid() -> i32 {
    i32::try_from(std::process::id()).unwrap()
}

fn is_unavailable<T>(answer: &Result<T, DirectoryError>) -> bool {
    matches!(answer, Err(DirectoryError::Unavailable(_)))
}

#[tokio::test]
async fn a_process_number_is_answered_with_every_identity_of_that_process() {
    let mut sleeper = Sleeper::start();
    let workload = sleeper.selector();
    let world = World::start(&format!(
        "{}{}{}",
        entry("/z-worker", &workload),
        entry("/a-worker", &workload),
        entry("/other", "unix:uid:4000000"),
    ))
    .await;
    let identity = world.identity().await;
    let directory = world.directory(&identity);

    let expected = Ok(vec![id("/a-worker"), id("/z-worker")]);
    assert_eq!(directory.spiffe_ids(sleeper.pid()).await, expected);
    assert_eq!(
        directory.spiffe_ids(own_pid()).await,
        Ok(vec![id("/handfast")])
    );
    self_test(&directory, identity.spiffe_id()).await.unwrap();

    for nobody in [0, -1, i32::MIN] {
        assert!(
            is_unavailable(&directory.spiffe_ids(nobody).await),
            "{nobody}"
        );
    }
    let pid = sleeper.pid();
    sleeper.end();
    // Gone is not "no": the caller holds the process and knows better.
    assert!(is_unavailable(&directory.spiffe_ids(pid).await));
}

#[tokio::test]
async fn a_process_without_entry_is_not_entitled_from_one_call_to_the_next() {
    let sleeper = Sleeper::start();
    let worker = entry("/worker", &sleeper.selector());
    let world = World::start(&worker).await;
    let identity = world.identity().await;
    let directory = world.directory(&identity);
    assert_eq!(
        directory.spiffe_ids(sleeper.pid()).await,
        Ok(vec![id("/worker")])
    );

    world.entries(&agent_entry());
    eventually(Err(DirectoryError::NotEntitled), || {
        directory.spiffe_ids(sleeper.pid())
    })
    .await;
}

#[tokio::test]
async fn the_self_test_fails_for_an_agent_that_spire_takes_for_another() {
    let world = World::start("").await;
    let identity = world.identity().await;
    let directory = world.directory(&identity);
    let expected = id("/somebody-else");
    assert_eq!(
        self_test(&directory, &expected).await,
        Err(SelfTestError::OtherProcess { expected })
    );
}

#[tokio::test]
async fn a_provider_with_another_id_is_refused() {
    let world = World::start("").await;
    let identity = world.identity().await;
    let own = world.config.provider_id().unwrap();
    for (agent, answers) in [
        (AgentRule::Exact(own), true),
        (AgentRule::Exact(id("/spire/agent/other")), false),
        (AgentRule::Below("/spire/agent/".to_owned()), true),
        (AgentRule::Below("/spire/agent/k8s_psat/".to_owned()), false),
        (AgentRule::Exact(id("/handfast")), false),
        (AgentRule::AnySpireAgent, true),
    ] {
        let channel = identity.broker_channel(&world.channel_config(agent.clone()));
        let directory = BrokerDirectory::new(channel.unwrap(), directory_config());
        let answer = directory.spiffe_ids(own_pid()).await;
        assert_eq!(answer.is_ok(), answers, "{agent:?} {answer:?}");
        assert!(answers || is_unavailable(&answer), "{answer:?}");
    }
    let foreign = spiffe::SpiffeId::new("spiffe://other.test/spire/agent/dev").unwrap();
    let config = world.channel_config(AgentRule::Exact(foreign));
    let refused = identity.broker_channel(&config);
    assert!(matches!(refused, Err(IdentityError::ForeignAgent(_))));
}

/// A workload's own certificate is of the right trust domain, and still no SPIRE agent's.
#[tokio::test]
async fn a_workload_cannot_pose_as_the_broker_provider() {
    let world = World::start("").await;
    let identity = world.identity().await;
    let rules = PeerRules {
        trust_domains: [identity.trust_domain().clone()].into(),
        ..Default::default()
    };
    let acceptor = tokio_rustls::TlsAcceptor::from(identity.server_tls(&rules).unwrap());
    let socket = world.path("impostor.sock");
    let listener = tokio::net::UnixListener::bind(&socket).unwrap();
    let impostor = tokio::spawn(async move {
        let (stream, _unnamed) = listener.accept().await.unwrap();
        acceptor.accept(stream).await.map(|_stream| ())
    });
    let mut config = world.channel_config(AgentRule::AnySpireAgent);
    config.endpoint = UnixEndpoint::parse(&format!("unix://{}", socket.display())).unwrap();
    let channel = identity.broker_channel(&config).unwrap();
    let directory = BrokerDirectory::new(channel, directory_config());
    let asked = tokio::spawn(async move { directory.spiffe_ids(own_pid()).await });
    assert!(within(impostor).await.unwrap().is_err());
    assert!(is_unavailable(&within(asked).await.unwrap()));
}

#[tokio::test]
async fn an_unlisted_broker_gets_no_answer_and_no_verdict() {
    let world = World::start("").await;
    let identity = world.identity().await;
    let directory = world.directory(&identity);
    directory.spiffe_ids(own_pid()).await.unwrap();

    world.entries(&agent_entry().replace("broker = true", "broker = false"));
    // Not `NotEntitled`: it is this agent that may not ask, and nothing was said about the process.
    within(async {
        while directory.spiffe_ids(own_pid()).await.is_ok() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert!(is_unavailable(&directory.spiffe_ids(own_pid()).await));
}

#[tokio::test]
async fn rotation_is_not_noticed_by_those_who_ask() {
    let world = World::with("", |config| config.svid_ttl = Duration::from_secs(4)).await;
    let identity = world.identity().await;
    let directory = world.directory(&identity);
    let mut updates = identity.updated();
    for _rotation in 0..2 {
        let rotated = async {
            loop {
                directory.spiffe_ids(own_pid()).await.unwrap();
                tokio::select! {
                    biased;
                    standing = updates.changed() => return standing,
                    () = tokio::task::yield_now() => {}
                }
            }
        };
        assert!(matches!(within(rotated).await, Standing::Usable { .. }));
    }
    directory.spiffe_ids(own_pid()).await.unwrap();
}

/// Calls move to a new connection, made under the new SVID; the old connection is not kept for
/// ever.
#[tokio::test]
async fn rotation_replaces_the_channel() {
    let world = World::with("", |config| config.svid_ttl = Duration::from_secs(4)).await;
    let identity = world.identity().await;
    let config = world.channel_config(AgentRule::AnySpireAgent);
    let mut channel = identity.broker_channel(&config).unwrap();
    within(channel.changed()).await.unwrap();
    let directory = BrokerDirectory::new(channel, directory_config());
    assert_eq!(
        directory.spiffe_ids(own_pid()).await,
        Ok(vec![id("/handfast")])
    );
}

/// A listener that accepts and then says nothing.
#[tokio::test]
async fn a_handshake_that_never_ends_is_bounded_by_the_deadline() {
    let world = World::start("").await;
    let identity = world.identity().await;
    let socket = world.path("silent.sock");
    let _listener = tokio::net::UnixListener::bind(&socket).unwrap();
    let mut config = world.channel_config(AgentRule::AnySpireAgent);
    config.endpoint = UnixEndpoint::parse(&format!("unix://{}", socket.display())).unwrap();
    config.connect_timeout = Duration::from_secs(3600);
    let mut limits = directory_config();
    limits.deadline = Duration::from_millis(100);
    let directory = BrokerDirectory::new(identity.broker_channel(&config).unwrap(), limits);
    assert!(is_unavailable(
        &within(directory.spiffe_ids(own_pid())).await
    ));
}

#[tokio::test]
async fn after_withdrawal_nothing_is_asked_any_more() {
    let world = World::start("").await;
    let identity = world.identity().await;
    let directory = world.directory(&identity);
    directory.spiffe_ids(own_pid()).await.unwrap();
    // The provider would still answer this broker: it is the agent that stops.
    world.entries(&agent_entry().replace("unix:path:", "unix:path:/nowhere"));
    standing(&identity, |now| now == Standing::Withdrawn).await;
    let unavailable = || async { is_unavailable(&directory.spiffe_ids(own_pid()).await) };
    eventually(true, unavailable).await;
    assert!(is_unavailable(&directory.spiffe_ids(own_pid()).await));
    let config = world.channel_config(AgentRule::AnySpireAgent);
    assert!(matches!(
        identity.broker_channel(&config),
        Err(IdentityError::Tls(_))
    ));
}

#[tokio::test]
async fn a_restarted_provider_is_found_again() {
    let mut world = World::start("").await;
    let identity = world.identity().await;
    let directory = world.directory(&identity);
    directory.spiffe_ids(own_pid()).await.unwrap();

    world.stop().await;
    assert!(is_unavailable(&directory.spiffe_ids(own_pid()).await));
    assert!(identity.is_usable(), "an outage is no withdrawal");

    // With a new authority: nothing of the first provider is valid any more.
    world.run().await;
    eventually(Ok(vec![id("/handfast")]), || {
        directory.spiffe_ids(own_pid())
    })
    .await;
}

fn api(world: &World, identity: &Identity) -> tonic::transport::Channel {
    let config = world.channel_config(AgentRule::AnySpireAgent);
    let channel = identity.broker_channel(&config).unwrap();
    channel.borrow().clone()
}

fn jwt_request(audience: &str) -> FetchJwtsvidRequest {
    FetchJwtsvidRequest {
        reference: Some(WorkloadPidReference { pid: own_pid() }.into()),
        audience: vec![audience.to_owned()],
        spiffe_id: String::new(),
    }
}

#[tokio::test]
async fn the_broker_header_and_a_process_reference_are_required() {
    let world = World::start("").await;
    let identity = world.identity().await;
    let channel = api(&world, &identity);
    let mut bare = ApiClient::new(channel.clone());
    let refused = bare.fetch_jwtsvid(jwt_request("tool")).await.unwrap_err();
    assert_eq!(refused.code(), tonic::Code::InvalidArgument);

    let mut client = ApiClient::with_interceptor(channel, SecurityHeader::new());
    client.fetch_jwtsvid(jwt_request("tool")).await.unwrap();
    let kubernetes = spiffe::broker_api::pb::spiffe::broker::KubernetesObjectReference::default();
    for reference in [None, Some(kubernetes.into())] {
        let request = FetchJwtsvidRequest {
            reference,
            ..jwt_request("tool")
        };
        let refused = client.fetch_jwtsvid(request).await.unwrap_err();
        assert_eq!(refused.code(), tonic::Code::InvalidArgument);
    }
}

#[tokio::test]
async fn an_x509_subscription_answers_an_empty_list_where_nothing_matches() {
    let sleeper = Sleeper::start();
    let world = World::start(&entry("/worker", &sleeper.selector())).await;
    let identity = world.identity().await;
    let mut client = ApiClient::with_interceptor(api(&world, &identity), SecurityHeader::new());
    let request = SubscribeToX509svidRequest {
        reference: Some(WorkloadPidReference { pid: sleeper.pid() }.into()),
    };
    let mut answers = client
        .subscribe_to_x509svid(request)
        .await
        .unwrap()
        .into_inner();
    let first = within(answers.message()).await.unwrap().unwrap();
    assert_eq!(first.svids[0].spiffe_id, id("/worker").to_string());
    world.entries(&agent_entry());
    let second = within(answers.message()).await.unwrap().unwrap();
    assert!(second.svids.is_empty());
}

/// What attestation brings along is no login: its audience is one that nobody has.
#[tokio::test]
async fn a78_the_jwt_svid_of_attestation_is_good_for_no_endpoint() {
    let world = World::start("").await;
    let identity = world.identity().await;
    let mut client = ApiClient::with_interceptor(api(&world, &identity), SecurityHeader::new());
    let answer = client
        .fetch_jwtsvid(jwt_request(ATTESTATION_AUDIENCE))
        .await;
    let token = answer.unwrap().into_inner().svids.remove(0).svid;
    let payload = base64::engine::general_purpose::URL_SAFE_NO_PAD
        .decode(token.split('.').nth(1).unwrap())
        .unwrap();
    let claims: serde_json::Value = serde_json::from_slice(&payload).unwrap();
    assert_eq!(
        claims["aud"],
        serde_json::json!(["urn:handfast:attestation"])
    );
    // No SPIFFE ID, no URL: nothing that an endpoint would call itself.
    assert!(spiffe::SpiffeId::new(ATTESTATION_AUDIENCE).is_err());
    assert!(!ATTESTATION_AUDIENCE.contains("//"));

    let endpoint = format!("unix://{}", world.config.workload_socket.display());
    let workload = spiffe::WorkloadApiClient::connect_to(endpoint)
        .await
        .unwrap();
    for audience in [
        "spiffe://dev.test/handfast",
        "spiffe://dev.test/mcp-server",
        "https://mcp.example.test/mcp",
        "handfast",
    ] {
        let verdict = workload.validate_jwt_token(audience, &token).await;
        assert!(verdict.is_err(), "{audience}");
    }
    let control = workload
        .validate_jwt_token(ATTESTATION_AUDIENCE, &token)
        .await;
    assert!(control.is_ok(), "the token itself is sound");
}
