//! What TLS proves: the server's SPIFFE ID to the client, and the client's key to the server.

use crate::world::{Authority, HOUR, Svid, hand, id, meet, params};
use handfast::client::hand::Hand;
use handfast::client::peer::{PeerProof, PeerProofError};
use handfast::client::tls::{TlsError, client_config_with_roots};
use rcgen::{BasicConstraints, IsCa, KeyPair, KeyUsagePurpose, SanType};
use rustls::client::Resumption;
use rustls::server::ServerSessionMemoryCache;
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{ClientConfig, HandshakeKind};
use std::io;
use std::sync::Arc;

const SERVER: &str = "spiffe://example.org/server";

fn client(authority: &Authority, hand: &Hand) -> ClientConfig {
    let roots = [authority.der.clone()];
    client_config_with_roots(&roots, &id(SERVER), hand, &[]).expect("makes a configuration")
}

fn world() -> (Authority, Svid) {
    let authority = Authority::new("example.org");
    let svid = authority.svid(SERVER, |_| ());
    (authority, svid)
}

#[tokio::test]
async fn a57_a_certificate_without_its_key_fails_in_the_handshake() {
    let (authority, svid) = world();
    let server = Arc::new(svid.server());
    let (victim, thief) = (hand(), hand());

    let honest = meet(&server, &Arc::new(client(&authority, &victim))).await;
    let (proof, kind) = honest.server.expect("the victim itself is served");
    assert_eq!(proof.thumbprint(), victim.thumbprint());
    assert_eq!(proof.certificate(), victim.certificate());
    assert_eq!(kind, HandshakeKind::Full);
    assert!(honest.client.is_ok());

    let stolen = CertifiedKey::new(
        vec![victim.certificate().clone()],
        Arc::clone(&thief.certified_key().key),
    );
    let mut config = client(&authority, &thief);
    config.client_auth_cert_resolver = Arc::new(SingleCertAndKey::from(stolen));
    let seen = meet(&server, &Arc::new(config)).await;
    let refused = seen.server.expect_err("the thief is refused").to_string();
    assert!(refused.contains("BadSignature"), "{refused}");
    assert!(seen.client.is_err());
}

#[tokio::test]
async fn a_client_without_a_certificate_is_refused() {
    let (authority, svid) = world();
    let mut config = client(&authority, &hand());
    config.client_auth_cert_resolver = Arc::new(Nobody);
    let seen = meet(&Arc::new(svid.server()), &Arc::new(config)).await;
    assert!(seen.server.is_err());
    assert!(seen.client.is_err());
}

#[derive(Debug)]
struct Nobody;

impl rustls::client::ResolvesClientCert for Nobody {
    fn resolve(
        &self,
        _hints: &[&[u8]],
        _schemes: &[rustls::SignatureScheme],
    ) -> Option<Arc<CertifiedKey>> {
        None
    }

    fn has_certs(&self) -> bool {
        false
    }
}

/// A key of another kind, and a certificate that does not parse.
#[tokio::test]
async fn only_p_256_keys_and_real_certificates_are_taken() {
    let (authority, svid) = world();
    let server = Arc::new(svid.server());
    let key = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P384_SHA384).expect("makes a key");
    let certificate = params("urn:handfast:leg:x")
        .self_signed(&key)
        .expect("signs");
    let provider = rustls::crypto::aws_lc_rs::default_provider();
    let p384 = CertifiedKey::from_der(
        vec![certificate.der().clone()],
        rustls::pki_types::PrivateKeyDer::Pkcs8(key.serialize_der().into()),
        &provider,
    );
    let own = hand();
    let garbage = |bytes: Vec<u8>| {
        CertifiedKey::new(vec![bytes.into()], Arc::clone(&own.certified_key().key))
    };
    let mut trailing = own.certificate().to_vec();
    trailing.push(0);
    for shown in [
        p384.expect("key fits"),
        garbage(b"not a certificate".to_vec()),
        garbage(trailing),
        garbage(vec![0x30; 5000]),
    ] {
        let mut config = client(&authority, &own);
        config.client_auth_cert_resolver = Arc::new(SingleCertAndKey::from(shown));
        let seen = meet(&server, &Arc::new(config)).await;
        assert!(seen.server.is_err());
    }
}

/// A4: the server gives nothing to resume with, whatever the client would cache.
#[tokio::test]
async fn a04_both_handshakes_of_a_caching_client_are_full() {
    let (authority, svid) = world();
    let server = Arc::new(svid.server());
    let mut config = client(&authority, &hand());
    config.resumption = Resumption::in_memory_sessions(8);
    let config = Arc::new(config);
    for _ in 0..2 {
        let seen = meet(&server, &config).await;
        assert_eq!(seen.client.expect("is served"), HandshakeKind::Full);
        assert_eq!(seen.server.expect("serves").1, HandshakeKind::Full);
    }
}

/// A4: a server that was configured to resume after all yields no proof from a resumed session; and a client
/// of ours, which caches nothing, does not resume there.
#[tokio::test]
async fn a04_a_resumed_session_is_no_proof() {
    let (authority, svid) = world();
    let mut lax = svid.server();
    lax.session_storage = ServerSessionMemoryCache::new(8);
    lax.send_tls13_tickets = 2;
    let lax = Arc::new(lax);
    let strict_client = Arc::new(client(&authority, &hand()));
    for _ in 0..2 {
        let seen = meet(&lax, &strict_client).await;
        assert_eq!(seen.server.expect("serves").1, HandshakeKind::Full);
    }

    let mut caching = client(&authority, &hand());
    caching.resumption = Resumption::in_memory_sessions(8);
    let caching = Arc::new(caching);
    assert!(meet(&lax, &caching).await.server.is_ok());
    let refused = meet(&lax, &caching).await.server.expect_err("is refused");
    assert_eq!(refused.kind(), io::ErrorKind::PermissionDenied);
    let source = refused.get_ref().and_then(|error| error.downcast_ref());
    assert_eq!(source, Some(&PeerProofError::Resumed));
}

#[test]
fn a_connection_before_its_handshake_is_no_proof() {
    let (_, svid) = world();
    let connection = rustls::ServerConnection::new(Arc::new(svid.server())).expect("is made");
    assert_eq!(
        PeerProof::from_connection(&connection),
        Err(PeerProofError::NotReady)
    );
}

/// The client talks to the one server only, though the authority knows many.
#[tokio::test]
async fn a_server_with_another_identity_is_refused() {
    let (authority, _) = world();
    let rogue = Authority::new("example.org");
    let uri = |text: &str| SanType::URI(text.try_into().expect("is ASCII"));
    let expired = |params: &mut rcgen::CertificateParams| {
        params.not_before = rcgen::date_time_ymd(2020, 1, 1);
        params.not_after = rcgen::date_time_ymd(2020, 1, 2);
    };
    let servers = [
        ("genuine", authority.svid(SERVER, |_| ()), true),
        (
            "another ID",
            authority.svid("spiffe://example.org/other", |_| ()),
            false,
        ),
        (
            "longer path",
            authority.svid("spiffe://example.org/server/x", |_| ()),
            false,
        ),
        ("rogue authority", rogue.svid(SERVER, |_| ()), false),
        ("expired", authority.svid(SERVER, expired), false),
        (
            "two IDs",
            authority.svid(SERVER, |p| {
                p.subject_alt_names.push(uri("spiffe://example.org/other"));
            }),
            false,
        ),
        (
            "two URIs",
            authority.svid(SERVER, |p| {
                p.subject_alt_names.push(uri("https://example.org"));
            }),
            false,
        ),
        (
            "no name",
            authority.svid(SERVER, |p| p.subject_alt_names.clear()),
            false,
        ),
        (
            "an authority itself",
            authority.svid(SERVER, |p| {
                p.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
            }),
            false,
        ),
        (
            "a key that signs certificates",
            authority.svid(SERVER, |p| p.key_usages.push(KeyUsagePurpose::KeyCertSign)),
            false,
        ),
    ];
    for (what, svid, accepted) in servers {
        let config = Arc::new(client(&authority, &hand()));
        let seen = meet(&Arc::new(svid.server()), &config).await;
        assert_eq!(seen.client.is_ok(), accepted, "{what}");
        assert_eq!(seen.server.is_ok(), accepted, "{what}");
    }
}

#[test]
fn no_roots_is_an_error_and_not_an_open_door() {
    let refused = client_config_with_roots(&[], &id(SERVER), &hand(), &[]);
    assert!(matches!(refused, Err(TlsError::NoRoots { .. })));
}

#[test]
fn each_hand_is_another_and_shows_no_key() {
    let (a, b) = (hand(), hand());
    assert_ne!(a.thumbprint(), b.thumbprint());
    assert_ne!(a.certificate(), b.certificate());
    let shown = format!("{a:?} {:?}", a.certified_key().key);
    assert!(shown.contains("HandKey(…)"), "{shown}");
    assert!(Hand::generate(HOUR).expect("makes a hand").ends() > a.ends() || a.ends() == b.ends());
}
