//! The development provider behaves like a SPIRE agent where that matters.

use crate::world::{World, agent_entry, entry, id, standing, within};
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED, UnparsedPublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use handfast::dev::{DevConfig, DevError, DevProvider};
use handfast::domain::id::TrustDomain;
use handfast::identity::Standing;
use spiffe::WorkloadApiClient;
use std::time::Duration;

const CHILD_ENDPOINT: &str = "HANDFAST_TEST_CHILD_ENDPOINT";

async fn client(world: &World) -> WorkloadApiClient {
    let endpoint = format!("unix://{}", world.config.workload_socket.display());
    WorkloadApiClient::connect_to(endpoint).await.unwrap()
}

async fn key_digest(client: &WorkloadApiClient) -> String {
    let svid = client.fetch_x509_svid().await.unwrap();
    let digest =
        aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, svid.private_key().as_bytes());
    handfast::domain::id::Hex(digest.as_ref()).to_string()
}

#[tokio::test]
async fn an_x509_source_gets_the_identity_of_its_process() {
    let world = World::start(&entry("/other", "unix:uid:4000000")).await;
    let identity = world.identity().await;
    assert_eq!(*identity.spiffe_id(), id("/handfast"));
    assert_eq!(identity.trust_domain().as_str(), "dev.test");
    assert!(identity.is_usable());
    assert!(identity.not_after().unwrap().0 > 0);

    within(identity.shutdown()).await;
    assert_eq!(identity.standing(), Standing::Closed);
    assert!(!identity.is_usable());
}

/// The fact that the whole design stands on: an SVID does not tell two processes of an entry apart.
#[tokio::test]
async fn two_processes_of_one_entry_share_one_key() {
    let world = World::start("").await;
    let child = std::process::Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "provider::prints_its_key_digest_as_a_child",
            "--nocapture",
        ])
        .env(CHILD_ENDPOINT, &world.config.workload_socket)
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let child_pid = child.id();
    let output = within(tokio::task::spawn_blocking(|| {
        child.wait_with_output().unwrap()
    }))
    .await
    .unwrap();
    let printed = String::from_utf8(output.stdout).unwrap();
    assert_ne!(child_pid, std::process::id());
    let own = key_digest(&client(&world).await).await;
    assert!(printed.contains(&format!("key={own}")), "{printed}");
}

/// The other process of the test above; does nothing when it is run as a test.
#[tokio::test]
async fn prints_its_key_digest_as_a_child() {
    if let Ok(socket) = std::env::var(CHILD_ENDPOINT) {
        let client = WorkloadApiClient::connect_to(format!("unix://{socket}")).await;
        println!("key={}", key_digest(&client.unwrap()).await);
    }
}

#[tokio::test]
async fn svids_rotate_with_a_new_key_at_half_life() {
    let world = World::with("", |config| config.svid_ttl = Duration::from_secs(4)).await;
    let identity = world.identity().await;
    let (key, end) = (
        key_digest(&client(&world).await).await,
        identity.not_after().unwrap(),
    );

    let mut updates = identity.updated();
    assert_eq!(
        within(updates.changed()).await,
        Standing::Usable { revision: 1 }
    );
    assert_ne!(key_digest(&client(&world).await).await, key);
    assert!(identity.not_after().unwrap() > end);
    assert!(identity.counts().updates >= 1);
}

#[tokio::test]
async fn a_withdrawn_entry_withdraws_the_identity_until_it_is_back() {
    let world = World::start("").await;
    let identity = world.identity().await;

    world.entries("");
    standing(&identity, |now| now == Standing::Withdrawn).await;
    assert!(!identity.is_usable());
    assert!(identity.not_after().is_err());

    world.entries(&agent_entry());
    standing(&identity, |now| matches!(now, Standing::Usable { .. })).await;
    assert_eq!(*identity.spiffe_id(), id("/handfast"));
}

#[tokio::test]
async fn another_identity_never_takes_the_place_of_the_first() {
    let world = World::start("").await;
    let identity = world.identity().await;
    world.entries(&agent_entry().replace("/handfast", "/renamed"));
    standing(&identity, |now| now == Standing::Unusable).await;
    assert_eq!(*identity.spiffe_id(), id("/handfast"));
}

#[tokio::test]
async fn jwt_svids_verify_for_their_audience_only() {
    let world = World::start("").await;
    let client = client(&world).await;
    let svid = client.fetch_jwt_svid(&["tool"], None).await.unwrap();
    assert_eq!(*svid.spiffe_id(), id("/handfast"));

    let valid = client
        .validate_jwt_token("tool", svid.token())
        .await
        .unwrap();
    assert_eq!(*valid.spiffe_id(), id("/handfast"));
    client
        .validate_jwt_token("other", svid.token())
        .await
        .unwrap_err();

    // Offline too, against the published key.
    let bundles = client.fetch_jwt_bundles().await.unwrap();
    let bundle = bundles.get(&world.config.trust_domain).unwrap();
    let authority = bundle.find_jwt_authority(svid.key_id()).unwrap();
    let jwk: serde_json::Value = serde_json::from_slice(authority.jwk_json()).unwrap();
    let decode = |text: &str| URL_SAFE_NO_PAD.decode(text).unwrap();
    let coordinate = |name: &str| decode(jwk[name].as_str().unwrap());
    let point = [vec![4], coordinate("x"), coordinate("y")].concat();
    let (signed, signature) = svid.token().rsplit_once('.').unwrap();
    let key = UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point);
    key.verify(signed.as_bytes(), &decode(signature)).unwrap();
    key.verify(b"other", &decode(signature)).unwrap_err();
}

#[tokio::test]
async fn calls_without_the_security_header_are_refused() {
    let world = World::start("").await;
    let endpoint = format!("unix://{}", world.config.workload_socket.display());
    let endpoint = spiffe::transport::Endpoint::parse(&endpoint).unwrap();
    let channel = spiffe::transport::connector::connect(&endpoint)
        .await
        .unwrap();
    let mut grpc = tonic::client::Grpc::new(channel);
    grpc.ready().await.unwrap();
    let asked: Result<tonic::Response<handfast::dev::pb::workload::JwtsvidResponse>, _> = grpc
        .unary(
            tonic::Request::new(handfast::dev::pb::workload::JwtsvidRequest {
                audience: vec!["tool".into()],
                spiffe_id: String::new(),
            }),
            "/SpiffeWorkloadAPI/FetchJWTSVID".parse().unwrap(),
            tonic_prost::ProstCodec::default(),
        )
        .await;
    assert_eq!(asked.unwrap_err().code(), tonic::Code::InvalidArgument);
}

#[tokio::test]
async fn trust_domains_that_could_be_real_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("entries.toml"), "").unwrap();
    for (trust_domain, served) in [
        ("dev.test", true),
        ("a.b.example", true),
        ("x.invalid", true),
        ("my.localhost", true),
        ("example.org", false),
        ("test.example.com", false),
        ("contest", false),
        ("prod.internal", false),
    ] {
        let provider = DevProvider::bind(DevConfig::new(
            TrustDomain::new(trust_domain).unwrap(),
            folder.path().join("w.sock"),
            folder.path().join("b.sock"),
            folder.path().join("entries.toml"),
        ));
        match provider {
            Ok(_provider) => assert!(served, "{trust_domain}"),
            Err(error) => {
                assert!(matches!(error, DevError::TrustDomain(_)), "{error:?}");
                assert!(!served, "{trust_domain}");
            }
        }
    }
}

#[tokio::test]
async fn a_live_socket_and_a_plain_file_are_left_alone() {
    let world = World::start("").await;
    let second = DevProvider::bind(world.config.clone());
    assert!(matches!(second, Err(DevError::Bind { .. })), "{second:?}");

    let mut config = world.config.clone();
    config.workload_socket = world.path("entries.toml");
    assert!(matches!(
        DevProvider::bind(config),
        Err(DevError::Bind { .. })
    ));
    assert!(world.path("entries.toml").exists());
}
