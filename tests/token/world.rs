//! A trust domain with a CA, servers in it, and one connection from a client to one of them.

use handfast::client::hand::Hand;
use handfast::client::peer::{PeerProof, accept, server_config_with_resolver};
use handfast::client::tls::connect;
use handfast::domain::id::SpiffeId;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyPair, KeyUsagePurpose, SanType,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{ClientConfig, HandshakeKind, ServerConfig};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

pub(crate) const TIMEOUT: Duration = Duration::from_secs(10);
pub(crate) const HOUR: Duration = Duration::from_secs(3600);

pub(crate) struct Authority {
    pub(crate) der: CertificateDer<'static>,
    issuer: Issuer<'static, KeyPair>,
}

/// A certificate of an authority, and its key in PKCS #8.
pub(crate) struct Svid {
    pub(crate) der: CertificateDer<'static>,
    pub(crate) key: Vec<u8>,
}

impl Authority {
    pub(crate) fn new(trust_domain: &str) -> Self {
        let mut params = params(&format!("spiffe://{trust_domain}"));
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        params.extended_key_usages.clear();
        let key = KeyPair::generate().expect("makes a key");
        let der = params.self_signed(&key).expect("signs").der().clone();
        Self {
            der,
            issuer: Issuer::new(params, key),
        }
    }

    /// An X.509-SVID, after `change` was made to what it would be.
    pub(crate) fn svid(&self, id: &str, change: impl FnOnce(&mut CertificateParams)) -> Svid {
        let mut params = params(id);
        change(&mut params);
        let key = KeyPair::generate().expect("makes a key");
        let certificate = params.signed_by(&key, &self.issuer).expect("signs");
        Svid {
            der: certificate.der().clone(),
            key: key.serialize_der(),
        }
    }
}

pub(crate) fn params(uri: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![
        ExtendedKeyUsagePurpose::ServerAuth,
        ExtendedKeyUsagePurpose::ClientAuth,
    ];
    params.subject_alt_names = vec![SanType::URI(uri.try_into().expect("is ASCII"))];
    params
}

impl Svid {
    pub(crate) fn server(&self) -> ServerConfig {
        let provider = rustls::crypto::aws_lc_rs::default_provider();
        let key = PrivateKeyDer::Pkcs8(self.key.clone().into());
        let certified = CertifiedKey::from_der(vec![self.der.clone()], key, &provider);
        let resolver = SingleCertAndKey::from(certified.expect("key fits the certificate"));
        server_config_with_resolver(Arc::new(resolver), &[]).expect("makes a configuration")
    }
}

pub(crate) fn id(text: &str) -> SpiffeId {
    SpiffeId::new(text).expect("is a SPIFFE ID")
}

pub(crate) fn hand() -> Hand {
    Hand::generate(HOUR).expect("makes a hand")
}

/// What each end saw of one connection on which a byte went there and back.
pub(crate) struct Seen {
    pub(crate) client: io::Result<HandshakeKind>,
    pub(crate) server: io::Result<(PeerProof, HandshakeKind)>,
}

pub(crate) async fn meet(server: &Arc<ServerConfig>, client: &Arc<ClientConfig>) -> Seen {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("binds");
    let address = listener.local_addr().expect("is bound");
    let (server, client) = tokio::join!(
        serve_once(&listener, Arc::clone(server)),
        ask_once(address, Arc::clone(client))
    );
    Seen { client, server }
}

async fn serve_once(
    listener: &TcpListener,
    config: Arc<ServerConfig>,
) -> io::Result<(PeerProof, HandshakeKind)> {
    let (stream, _) = listener.accept().await?;
    let (mut stream, proof) = accept(stream, config, TIMEOUT).await?;
    let kind = stream.get_ref().1.handshake_kind();
    let byte = stream.read_u8().await?;
    stream.write_u8(byte).await?;
    stream.shutdown().await?;
    Ok((proof, kind.expect("handshake is complete")))
}

async fn ask_once(address: SocketAddr, config: Arc<ClientConfig>) -> io::Result<HandshakeKind> {
    let mut stream = connect(address, config, TIMEOUT).await?;
    stream.write_u8(7).await?;
    stream.flush().await?;
    // Also takes in whatever else the server sends after the handshake, such as tickets.
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).await?;
    assert_eq!(rest, [7]);
    Ok(stream
        .get_ref()
        .1
        .handshake_kind()
        .expect("handshake is complete"))
}
