//! A served TCP port for tests, with an authority of its own, and a client that can be made to err.

use crate::agent::{NoEntropy, PATIENCE, Shared, TestClock, TestDirectory, routes, until};
use handfast::attest::AttestLimits;
use handfast::domain::time::Time;
use handfast::grpc::observe::{ConnectionCounters, ConnectionEvent};
use handfast::grpc::serve::{Drained, ServeLimits, Serving};
use handfast::service::ports::Clock;
use http::Request;
use http_body_util::{BodyExt, Empty};
use hyper::body::Bytes;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose, SanType,
};
use rustls::client::Resumption;
use rustls::client::WebPkiServerVerifier;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_util::sync::CancellationToken;

const SERVER: &str = "agent.test";
pub(crate) const OWN: &str = "spiffe://a.test/tool";

type Identity = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

/// A certificate authority of the test's own.
pub(crate) struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let key = KeyPair::generate().unwrap();
        Self(CertifiedIssuer::self_signed(params, key).unwrap())
    }

    pub(crate) fn roots(&self) -> Arc<RootCertStore> {
        let mut roots = RootCertStore::empty();
        roots.add(self.0.der().clone()).unwrap();
        Arc::new(roots)
    }

    pub(crate) fn issue(&self, names: &[&str], not_after: Time) -> Identity {
        let mut params = CertificateParams::new([SERVER.to_owned()]).unwrap();
        for name in names {
            let uri = (*name).try_into().unwrap();
            params.subject_alt_names.push(SanType::URI(uri));
        }
        let ends = Duration::from_millis(not_after.0);
        params.not_after = (std::time::SystemTime::UNIX_EPOCH + ends).into();
        params.extended_key_usages = vec![
            ExtendedKeyUsagePurpose::ClientAuth,
            ExtendedKeyUsagePurpose::ServerAuth,
        ];
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.0).unwrap();
        let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        (vec![certificate.der().clone()], key)
    }
}

pub(crate) fn provider() -> Arc<rustls::crypto::CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}

pub(crate) fn server_config(authority: &Authority, clock: &TestClock) -> ServerConfig {
    let verifier = WebPkiClientVerifier::builder_with_provider(authority.roots(), provider());
    let end = clock.now().unwrap().after(Duration::from_secs(600));
    let (chain, key) = authority.issue(&[], end);
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_client_cert_verifier(verifier.build().unwrap())
        .with_single_cert(chain, key)
        .unwrap();
    config.alpn_protocols = vec![b"h2".to_vec()];
    config.send_tls13_tickets = 0;
    config
}

/// A served TCP port.
pub(crate) struct Port {
    pub(crate) address: SocketAddr,
    pub(crate) authority: Authority,
    pub(crate) clock: Arc<TestClock>,
    pub(crate) counters: Arc<ConnectionCounters>,
    pub(crate) config: Arc<Mutex<Option<Arc<ServerConfig>>>>,
    pub(crate) shared: Shared,
    pub(crate) drain: CancellationToken,
    pub(crate) served: JoinHandle<Drained>,
}

impl Port {
    pub(crate) async fn open() -> Self {
        let authority = Authority::new();
        let clock = TestClock::new();
        let counters = Arc::new(ConnectionCounters::default());
        let shared = Shared::new(&TestDirectory::new(), &clock, &AttestLimits::default());
        let config = Arc::new(Mutex::new(Some(Arc::new(server_config(
            &authority, &clock,
        )))));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let drain = CancellationToken::new();
        let limits = ServeLimits {
            handshake_timeout: Duration::from_millis(300),
            expiry_margin: Duration::ZERO,
            ..ServeLimits::default()
        };
        let serving = Serving::new(
            routes(shared.clone()),
            |path| path == "/stream",
            clock.clone(),
            Arc::new(NoEntropy),
            counters.clone(),
        )
        .with_limits(limits)
        .with_drain(drain.clone());
        let current = Arc::clone(&config);
        Self {
            address: listener.local_addr().unwrap(),
            authority,
            clock,
            counters,
            config,
            shared,
            drain,
            served: tokio::spawn(
                serving.tls(listener, Arc::new(move || current.lock().unwrap().clone())),
            ),
        }
    }

    pub(crate) async fn until(&self, event: ConnectionEvent, count: u64) {
        until(|| self.counters.count(event) >= count, event.name()).await;
    }

    pub(crate) fn end(&self) -> Time {
        self.clock.now().unwrap().after(Duration::from_secs(300))
    }

    /// Connects as a client that does everything right but for `change`.
    pub(crate) async fn connect(
        &self,
        identity: Option<Identity>,
        change: impl FnOnce(&mut ClientConfig),
    ) -> std::io::Result<TlsStream<TcpStream>> {
        let roots = self.authority.roots();
        let verifier = WebPkiServerVerifier::builder_with_provider(roots, provider());
        let builder = ClientConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&rustls::version::TLS13])
            .unwrap()
            .with_webpki_verifier(verifier.build().unwrap());
        let mut config = match identity {
            Some((chain, key)) => builder.with_client_auth_cert(chain, key).unwrap(),
            None => builder.with_no_client_auth(),
        };
        config.alpn_protocols = vec![b"h2".to_vec()];
        config.resumption = Resumption::disabled();
        change(&mut config);
        self.connect_with(Arc::new(config)).await
    }

    pub(crate) async fn connect_with(
        &self,
        config: Arc<ClientConfig>,
    ) -> std::io::Result<TlsStream<TcpStream>> {
        let stream = TcpStream::connect(self.address).await?;
        stream.set_nodelay(true)?;
        let connect = TlsConnector::from(config).connect(SERVER.try_into().unwrap(), stream);
        tokio::time::timeout(PATIENCE, connect).await.unwrap()
    }

    pub(crate) async fn own(&self, names: &[&str]) -> std::io::Result<TlsStream<TcpStream>> {
        let identity = self.authority.issue(names, self.end());
        self.connect(Some(identity), |_| {}).await
    }

    /// The positive control: the right client is served.
    pub(crate) async fn serves(&self) {
        let mut client = Client::over(self.own(&[OWN]).await.unwrap()).await.unwrap();
        assert_eq!(client.call("/now").await.unwrap(), OWN);
    }
}

pub(crate) struct Client(hyper::client::conn::http2::SendRequest<Empty<Bytes>>);

impl Client {
    pub(crate) async fn over(stream: TlsStream<TcpStream>) -> Result<Self, hyper::Error> {
        let io = TokioIo::new(stream);
        let client = hyper::client::conn::http2::Builder::new(TokioExecutor::new());
        let (sender, connection) = client.handshake(io).await?;
        tokio::spawn(connection);
        Ok(Self(sender))
    }

    /// The body of the reply, or its `grpc-status`.
    pub(crate) async fn call(&mut self, path: &str) -> Result<String, hyper::Error> {
        let uri = format!("https://{SERVER}{path}");
        let request = Request::post(uri).body(Empty::new()).unwrap();
        let response = tokio::time::timeout(PATIENCE, self.0.send_request(request)).await;
        let response = response.unwrap()?;
        if let Some(status) = response.headers().get("grpc-status") {
            return Ok(status.to_str().unwrap().to_owned());
        }
        let body = response.into_body().collect().await?.to_bytes();
        Ok(String::from_utf8(body.to_vec()).unwrap())
    }
}

/// What the other end says until it closes.
pub(crate) async fn said(stream: &mut (impl AsyncReadExt + Unpin)) -> Vec<u8> {
    let mut said = Vec::new();
    let read = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut said)).await;
    // A reset is an end like another.
    drop(read.unwrap());
    said
}
