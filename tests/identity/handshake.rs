//! Who gets through the handshake of the TCP listener, with real certificates.

use crate::ca::{Ca, Federated, Leaf};
use crate::world::within;
use handfast::domain::id::{SpiffeId, TrustDomain};
use handfast::identity::{PeerRules, PeerRulesError};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, HandshakeKind, ServerConfig, SignatureScheme};
use std::io;
use std::sync::Arc;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio_rustls::{TlsAcceptor, TlsConnector};

const WORKER: &str = "spiffe://prod.test/ns/a/sa/worker";
const FOREIGN_WORKER: &str = "spiffe://evil.test/ns/a/sa/worker";

struct Scene {
    prod: Ca,
    evil: Ca,
    agent: Federated,
}

impl Scene {
    async fn start() -> Self {
        let (prod, evil) = (Ca::new("prod.test"), Ca::new("evil.test"));
        let agent = Federated::start(&prod, "spiffe://prod.test/handfast", ("evil.test", &evil));
        Self {
            agent: agent.await,
            prod,
            evil,
        }
    }

    fn server(&self, rules: &PeerRules) -> Arc<ServerConfig> {
        self.agent.identity.server_tls(rules).unwrap()
    }
}

fn rules(ids: &[&str], federation: &[&str]) -> PeerRules {
    PeerRules {
        spiffe_ids: ids.iter().map(|id| SpiffeId::new(id).unwrap()).collect(),
        federation: federation
            .iter()
            .map(|td| TrustDomain::new(td).unwrap())
            .collect(),
        ..PeerRules::default()
    }
}

/// A client that takes any server, since here it is the server that decides.
#[derive(Debug)]
struct AnyServer;

impl ServerCertVerifier for AnyServer {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        unreachable!("TLS 1.2 was negotiated")
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = default_provider().signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, cert, dss, &algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        default_provider()
            .signature_verification_algorithms
            .supported_schemes()
    }
}

fn client(leaf: Option<Leaf>) -> ClientConfig {
    let builder = ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(AnyServer));
    let mut config = match leaf {
        Some(leaf) => builder
            .with_client_auth_cert(
                vec![leaf.certificate.into()],
                PrivateKeyDer::Pkcs8(leaf.key.into()),
            )
            .unwrap(),
        None => builder.with_no_client_auth(),
    };
    config.alpn_protocols = vec![b"h2".to_vec()];
    config
}

/// What the server made of the handshake; both sides are then closed.
async fn handshake(
    server: &Arc<ServerConfig>,
    client: ClientConfig,
) -> Result<HandshakeKind, String> {
    handshake_again(server, &Arc::new(client)).await
}

async fn handshake_again(
    server: &Arc<ServerConfig>,
    client: &Arc<ClientConfig>,
) -> Result<HandshakeKind, String> {
    let (near, far) = tokio::io::duplex(64 * 1024);
    let connector = TlsConnector::from(Arc::clone(client));
    let connecting = tokio::spawn(async move {
        let name = ServerName::try_from("handfast.invalid").unwrap();
        let mut stream = connector.connect(name, near).await?;
        // To the end, so that tickets sent after the handshake would arrive.
        stream.read_to_end(&mut Vec::new()).await?;
        Ok::<_, io::Error>(())
    });
    let accepted = within(TlsAcceptor::from(Arc::clone(server)).accept(far)).await;
    let result = match accepted {
        Ok(mut stream) => {
            let kind = stream.get_ref().1.handshake_kind().unwrap();
            assert_eq!(
                stream.get_ref().1.protocol_version(),
                Some(rustls::ProtocolVersion::TLSv1_3)
            );
            stream.shutdown().await.unwrap();
            Ok(kind)
        }
        Err(error) => Err(error.to_string()),
    };
    let seen = within(connecting).await.unwrap();
    assert_eq!(seen.is_ok(), result.is_ok(), "client saw {seen:?}");
    result
}

#[tokio::test]
async fn a18_the_same_path_in_another_trust_domain_is_somebody_else() {
    let scene = Scene::start().await;
    let server = scene.server(&rules(&[WORKER], &[]));
    handshake(&server, client(Some(scene.prod.sign(WORKER))))
        .await
        .unwrap();
    handshake(&server, client(Some(scene.evil.sign(FOREIGN_WORKER))))
        .await
        .unwrap_err();

    // Even where the other domain is federated, its workers are not ours.
    let federated = scene.server(&rules(&[WORKER], &["evil.test"]));
    handshake(&federated, client(Some(scene.prod.sign(WORKER))))
        .await
        .unwrap();
    let refused = handshake(&federated, client(Some(scene.evil.sign(FOREIGN_WORKER)))).await;
    assert!(refused.is_err());

    // And other workers of our own domain are not this one.
    for other in [
        "spiffe://prod.test/ns/a/sa/worker2",
        "spiffe://prod.test/ns/a/sa",
        "spiffe://prod.test/ns/a/sa/worker/x",
        "spiffe://prod.test/NS/a/sa/worker",
    ] {
        let refused = handshake(&server, client(Some(scene.prod.sign(other)))).await;
        assert!(refused.is_err(), "{other}");
    }
}

#[tokio::test]
async fn a19_a_federated_authority_cannot_sign_for_our_trust_domain() {
    let scene = Scene::start().await;
    let server = scene.server(&rules(&[WORKER, FOREIGN_WORKER], &["evil.test"]));

    // Positive controls: both authorities are known, each for its own.
    handshake(&server, client(Some(scene.prod.sign(WORKER))))
        .await
        .unwrap();
    handshake(&server, client(Some(scene.evil.sign(FOREIGN_WORKER))))
        .await
        .unwrap();

    handshake(&server, client(Some(scene.evil.sign(WORKER))))
        .await
        .unwrap_err();
    handshake(&server, client(Some(scene.prod.sign(FOREIGN_WORKER))))
        .await
        .unwrap_err();
}

#[tokio::test]
async fn a19_without_federation_a_foreign_bundle_counts_for_nothing() {
    let scene = Scene::start().await;
    let local = PeerRules {
        trust_domains: [TrustDomain::new("prod.test").unwrap()].into(),
        ..PeerRules::default()
    };
    let server = scene.server(&local);
    handshake(&server, client(Some(scene.prod.sign(WORKER))))
        .await
        .unwrap();
    for leaf in [scene.evil.sign(WORKER), scene.evil.sign(FOREIGN_WORKER)] {
        handshake(&server, client(Some(leaf))).await.unwrap_err();
    }
    let stranger = Ca::new("prod.test");
    handshake(&server, client(Some(stranger.sign(WORKER))))
        .await
        .unwrap_err();
    let unreachable = scene
        .agent
        .identity
        .server_tls(&rules(&[FOREIGN_WORKER], &[]));
    assert!(matches!(
        unreachable,
        Err(handfast::identity::IdentityError::PeerRules(
            PeerRulesError::NotFederated(_)
        ))
    ));
}

#[tokio::test]
async fn a41_a_client_without_certificate_is_refused() {
    let scene = Scene::start().await;
    let server = scene.server(&rules(&[WORKER], &[]));
    handshake(&server, client(Some(scene.prod.sign(WORKER))))
        .await
        .unwrap();
    let refused = handshake(&server, client(None)).await.unwrap_err();
    assert!(refused.contains("no certificates"), "{refused}");
}

#[tokio::test]
async fn a41_tls_1_2_plaintext_and_other_protocols_are_refused() {
    let scene = Scene::start().await;
    let server = scene.server(&rules(&[WORKER], &[]));
    for (what, hello, alert) in [
        ("TLS 1.2", tls12_hello(), Some(PROTOCOL_VERSION)),
        (
            "HTTP/2 without TLS",
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(),
            None,
        ),
        (
            "HTTP/1.1 without TLS",
            b"POST / HTTP/1.1\r\nhost: x\r\n\r\n".to_vec(),
            None,
        ),
    ] {
        let (mut near, far) = tokio::io::duplex(64 * 1024);
        near.write_all(&hello).await.unwrap();
        let accepted = within(TlsAcceptor::from(Arc::clone(&server)).accept(far)).await;
        assert!(accepted.is_err(), "{what}");
        let mut answer = Vec::new();
        near.read_to_end(&mut answer).await.unwrap();
        // At most an alert; never a ServerHello (handshake record, type 22).
        assert_ne!(answer.first(), Some(&22), "{what}");
        if let Some(description) = alert {
            assert_eq!(answer, [21, 3, 3, 0, 2, 2, description], "{what}");
        }
    }

    let mut http1 = client(Some(scene.prod.sign(WORKER)));
    http1.alpn_protocols = vec![b"http/1.1".to_vec()];
    handshake(&server, http1).await.unwrap_err();
}

/// Alert description `protocol_version` (RFC 8446 §6.2).
const PROTOCOL_VERSION: u8 = 70;

/// A `ClientHello` as a TLS 1.2 client sends it: no `supported_versions` (RFC 5246 §7.4.1.2).
fn tls12_hello() -> Vec<u8> {
    let extensions: &[u8] = &[
        0, 10, 0, 4, 0, 2, 0, 23, // supported_groups: secp256r1
        0, 11, 0, 2, 1, 0, // ec_point_formats: uncompressed
        0, 13, 0, 4, 0, 2, 4, 3, // signature_algorithms: ecdsa_secp256r1_sha256
        0, 23, 0, 0, // extended_master_secret
    ];
    let mut body = vec![3, 3];
    body.extend([7; 32]);
    body.extend([0, 0, 2, 0xc0, 0x2b, 1, 0]);
    body.extend(u16::try_from(extensions.len()).unwrap().to_be_bytes());
    body.extend(extensions);
    let length = u16::try_from(body.len()).unwrap();
    let mut record = vec![22, 3, 1];
    let mut handshake = vec![1, 0];
    handshake.extend(length.to_be_bytes());
    handshake.extend(body);
    record.extend(u16::try_from(handshake.len()).unwrap().to_be_bytes());
    record.extend(handshake);
    record
}

#[tokio::test]
async fn no_session_is_ever_resumed() {
    let scene = Scene::start().await;
    let server = scene.server(&rules(&[WORKER], &[]));
    let client = Arc::new(client(Some(scene.prod.sign(WORKER))));
    for _connection in 0..3 {
        let kind = handshake_again(&server, &client).await;
        assert_eq!(kind, Ok(HandshakeKind::Full));
    }
}

#[tokio::test]
async fn without_an_identity_there_is_no_handshake() {
    let scene = Scene::start().await;
    let server = scene.server(&rules(&[WORKER], &[]));
    handshake(&server, client(Some(scene.prod.sign(WORKER))))
        .await
        .unwrap();
    within(scene.agent.identity.shutdown()).await;
    handshake(&server, client(Some(scene.prod.sign(WORKER))))
        .await
        .unwrap_err();
    scene
        .agent
        .identity
        .server_tls(&rules(&[WORKER], &[]))
        .unwrap_err();
}
