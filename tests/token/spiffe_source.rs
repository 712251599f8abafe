//! The same handshakes with material from a Workload API.

use crate::provider::serve;
use crate::world::{Authority, hand, id, meet};
use handfast::client::peer::server_config;
use handfast::client::tls::{client_config, client_config_with_roots};
use rustls::HandshakeKind;
use rustls::client::Resumption;
use spiffe::x509_source::X509SourceBuilder;
use std::sync::Arc;

const SERVER: &str = "spiffe://example.org/server";
const CLIENT: &str = "spiffe://example.org/client";

#[tokio::test]
async fn a57_hands_and_svids_meet_through_the_workload_api() {
    let folder = tempfile::tempdir().expect("makes a folder");
    let authority = Authority::new("example.org");
    let mut sources = Vec::new();
    let mut providers = Vec::new();
    for (name, spiffe_id) in [("server", SERVER), ("client", CLIENT)] {
        let path = folder.path().join(name);
        let svid = authority.svid(spiffe_id, |_| ());
        providers.push(serve(&path, &authority, spiffe_id, &svid));
        let endpoint = format!("unix:{}", path.display());
        let source = X509SourceBuilder::new().endpoint(endpoint).build().await;
        sources.push(source.expect("the source is filled"));
    }
    let own = hand();
    let server = server_config(sources[0].clone(), &[b"h2"]).expect("makes a configuration");
    let server = Arc::new(server);
    let mut config = client_config(sources[1].clone(), &id(SERVER), &own, &[b"h2"])
        .expect("makes a configuration");

    // The client shows its hand and not its SVID; the server its SVID. Nothing is resumed (A4).
    let seen = meet(&server, &Arc::new(config.clone())).await;
    assert_eq!(
        seen.client.expect("accepts the server"),
        HandshakeKind::Full
    );
    let (proof, _) = seen.server.expect("takes the hand");
    assert_eq!(proof.certificate(), own.certificate());
    config.resumption = Resumption::in_memory_sessions(4);
    let config = Arc::new(config);
    for _ in 0..2 {
        let seen = meet(&server, &config).await;
        assert_eq!(seen.server.expect("serves").1, HandshakeKind::Full);
    }

    // The client without a source of its own.
    let roots = [authority.der.clone()];
    let fixed = client_config_with_roots(&roots, &id(SERVER), &own, &[b"h2"]);
    let seen = meet(&server, &Arc::new(fixed.expect("makes a configuration"))).await;
    assert!(seen.client.is_ok() && seen.server.is_ok());

    // Another server is refused, though its SVID is genuine.
    let other = client_config(sources[1].clone(), &id(CLIENT), &own, &[b"h2"]);
    let seen = meet(&server, &Arc::new(other.expect("makes a configuration"))).await;
    assert!(seen.client.is_err());

    for provider in providers {
        provider.abort();
    }
}
