//! The TLS listener: TLS 1.3 for HTTP/2 with a certificate on both sides, or nothing.

use crate::agent::{NoEntropy, PATIENCE, Shared, TestClock, TestDirectory, routes, until};
use handfast::attest::AttestLimits;
use handfast::domain::time::Time;
use handfast::grpc::observe::{ConnectionCounters, ConnectionEvent};
use handfast::grpc::serve::{Drained, ServeLimits, Serving};
use handfast::service::ports::{Clock, Peer};
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
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_util::sync::CancellationToken;

const SERVER: &str = "agent.test";
const OWN: &str = "spiffe://a.test/tool";

type Identity = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

/// A certificate authority of the test's own.
struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let key = KeyPair::generate().unwrap();
        Self(CertifiedIssuer::self_signed(params, key).unwrap())
    }

    fn roots(&self) -> Arc<RootCertStore> {
        let mut roots = RootCertStore::empty();
        roots.add(self.0.der().clone()).unwrap();
        Arc::new(roots)
    }

    fn issue(&self, names: &[&str], not_after: Time) -> Identity {
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

fn provider() -> Arc<rustls::crypto::CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}

fn server_config(authority: &Authority, clock: &TestClock) -> ServerConfig {
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
struct Port {
    address: SocketAddr,
    authority: Authority,
    clock: Arc<TestClock>,
    counters: Arc<ConnectionCounters>,
    config: Arc<Mutex<Option<Arc<ServerConfig>>>>,
    shared: Shared,
    drain: CancellationToken,
    served: JoinHandle<Drained>,
}

impl Port {
    async fn open() -> Self {
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
            Arc::clone(&clock) as _,
            Arc::new(NoEntropy),
            Arc::clone(&counters) as _,
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

    async fn until(&self, event: ConnectionEvent, count: u64) {
        until(|| self.counters.count(event) >= count, event.name()).await;
    }

    fn end(&self) -> Time {
        self.clock.now().unwrap().after(Duration::from_secs(300))
    }

    /// Connects as a client that does everything right but for `change`.
    async fn connect(
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

    async fn connect_with(
        &self,
        config: Arc<ClientConfig>,
    ) -> std::io::Result<TlsStream<TcpStream>> {
        let stream = TcpStream::connect(self.address).await?;
        stream.set_nodelay(true)?;
        let connect = TlsConnector::from(config).connect(SERVER.try_into().unwrap(), stream);
        tokio::time::timeout(PATIENCE, connect).await.unwrap()
    }

    async fn own(&self, names: &[&str]) -> std::io::Result<TlsStream<TcpStream>> {
        let identity = self.authority.issue(names, self.end());
        self.connect(Some(identity), |_| {}).await
    }

    /// The positive control: the right client is served.
    async fn serves(&self) {
        let mut client = Client::over(self.own(&[OWN]).await.unwrap()).await.unwrap();
        assert_eq!(client.call("/now").await.unwrap(), OWN);
    }
}

struct Client(hyper::client::conn::http2::SendRequest<Empty<Bytes>>);

impl Client {
    async fn over(stream: TlsStream<TcpStream>) -> Result<Self, hyper::Error> {
        let io = TokioIo::new(stream);
        let client = hyper::client::conn::http2::Builder::new(TokioExecutor::new());
        let (sender, connection) = client.handshake(io).await?;
        tokio::spawn(connection);
        Ok(Self(sender))
    }

    /// The body of the reply, or its `grpc-status`.
    async fn call(&mut self, path: &str) -> Result<String, hyper::Error> {
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
async fn said(stream: &mut (impl AsyncReadExt + Unpin)) -> Vec<u8> {
    let mut said = Vec::new();
    let read = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut said)).await;
    // A reset is an end like another.
    drop(read.unwrap());
    said
}

#[tokio::test(flavor = "multi_thread")]
async fn a41_plaintext_is_refused() {
    let port = Port::open().await;
    port.serves().await;
    for words in [
        &b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0"[..],
        b"GET / HTTP/1.1\r\nupgrade: h2c\r\n\r\n",
    ] {
        let mut stream = TcpStream::connect(port.address).await.unwrap();
        stream.write_all(words).await.unwrap();
        let said = said(&mut stream).await;
        // At most a TLS alert, never a frame or a line.
        assert!(said.is_empty() || said[0] == 0x15, "{said:?}");
    }
    port.until(ConnectionEvent::TlsFailed, 2).await;
    assert_eq!(port.counters.count(ConnectionEvent::Opened), 1);
}

/// A ClientHello that knows TLS 1.2 and nothing newer, but would agree to anything else.
fn hello_of_tls_1_2() -> Vec<u8> {
    let suites = [0xc0, 0x2b, 0xc0, 0x2f, 0xc0, 0x2c, 0xc0, 0x30];
    let extensions = [
        &[0x00, 0x0a, 0, 4, 0, 2, 0x00, 0x17][..], // groups: P-256
        &[0x00, 0x0b, 0, 2, 1, 0],                 // point formats: uncompressed
        &[0x00, 0x0d, 0, 6, 0, 4, 0x04, 0x03, 0x08, 0x04], // signatures: ECDSA, RSA-PSS
        &[0x00, 0x10, 0, 5, 0, 3, 2, b'h', b'2'],  // ALPN: h2
        &[0x00, 0x17, 0, 0],                       // extended master secret
    ]
    .concat();
    let length = |bytes: &[u8]| u16::try_from(bytes.len()).unwrap().to_be_bytes();
    let body = [
        &[3, 3][..],
        &[7; 32],
        &[0],
        &length(&suites),
        &suites,
        &[1, 0],
        &length(&extensions),
        &extensions,
    ]
    .concat();
    let handshake = [&[1, 0][..], &length(&body), &body].concat();
    [&[22, 3, 1][..], &length(&handshake), &handshake].concat()
}

#[tokio::test(flavor = "multi_thread")]
async fn a41_tls_1_2_is_refused() {
    let port = Port::open().await;
    port.serves().await;
    let mut stream = TcpStream::connect(port.address).await.unwrap();
    stream.write_all(&hello_of_tls_1_2()).await.unwrap();
    let said = said(&mut stream).await;
    // Alert, fatal, protocol_version (RFC 8446 §6).
    assert_eq!(said, [21, 3, 3, 0, 2, 2, 70]);
    port.until(ConnectionEvent::TlsFailed, 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a41_client_without_a_certificate_is_refused() {
    let port = Port::open().await;
    port.serves().await;
    // In TLS 1.3 the client hears of the refusal only after its own handshake.
    if let Ok(mut stream) = port.connect(None, |_| {}).await {
        assert!(said(&mut stream).await.is_empty());
    }
    port.until(ConnectionEvent::TlsFailed, 1).await;
    assert_eq!(port.counters.count(ConnectionEvent::Opened), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a41_foreign_certificate_is_refused() {
    let port = Port::open().await;
    port.serves().await;
    let foreign = Authority::new().issue(&[OWN], port.end());
    if let Ok(mut stream) = port.connect(Some(foreign), |_| {}).await {
        assert!(said(&mut stream).await.is_empty());
    }
    port.until(ConnectionEvent::TlsFailed, 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a41_other_protocol_than_http2_is_refused() {
    let port = Port::open().await;
    port.serves().await;
    for offers in [vec![], vec![b"http/1.1".to_vec()]] {
        let own = port.authority.issue(&[OWN], port.end());
        let connect = port.connect(Some(own), |config| config.alpn_protocols = offers);
        if let Ok(mut stream) = connect.await {
            assert!(said(&mut stream).await.is_empty());
        }
    }
    let refused = || {
        let counters = &port.counters;
        counters.count(ConnectionEvent::TlsFailed) + counters.count(ConnectionEvent::TlsUnfit)
    };
    until(|| refused() == 2, "both to be refused").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a41_certificate_needs_exactly_one_spiffe_id() {
    let port = Port::open().await;
    port.serves().await;
    for names in [&[][..], &["https://a.test/"], &[OWN, "spiffe://a.test/x"]] {
        let mut stream = port.own(names).await.unwrap();
        assert!(said(&mut stream).await.is_empty());
    }
    port.until(ConnectionEvent::CertificateUnusable, 3).await;
    assert_eq!(port.counters.count(ConnectionEvent::Opened), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a04_resumed_session_is_refused() {
    let port = Port::open().await;
    port.serves().await;
    // The mistake that the listener must survive: a configuration that hands out tickets.
    let mut config = server_config(&port.authority, &port.clock);
    config.send_tls13_tickets = 2;
    config.session_storage = rustls::server::ServerSessionMemoryCache::new(16);
    *port.config.lock().unwrap() = Some(Arc::new(config));

    let (chain, key) = port.authority.issue(&[OWN], port.end());
    let roots = port.authority.roots();
    let verifier = WebPkiServerVerifier::builder_with_provider(roots, provider());
    let mut config = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_webpki_verifier(verifier.build().unwrap())
        .with_client_auth_cert(chain, key)
        .unwrap();
    config.alpn_protocols = vec![b"h2".to_vec()];
    let config = Arc::new(config);

    let first = port.connect_with(Arc::clone(&config)).await.unwrap();
    let mut first = Client::over(first).await.unwrap();
    assert_eq!(first.call("/now").await.unwrap(), OWN, "a full handshake");
    let mut second = port.connect_with(config).await.unwrap();
    let kind = second.get_ref().1.handshake_kind();
    assert_eq!(
        kind,
        Some(rustls::HandshakeKind::Resumed),
        "the ticket is good"
    );
    assert!(said(&mut second).await.is_empty());
    port.until(ConnectionEvent::TlsUnfit, 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a17_request_after_the_certificate_ended_is_refused() {
    let port = Port::open().await;
    let mut client = Client::over(port.own(&[OWN]).await.unwrap()).await.unwrap();
    assert_eq!(client.call("/who").await.unwrap(), "heard");
    let Peer::Remote(peer) = port.shared.peers.lock().unwrap()[0].clone() else {
        panic!("not remote");
    };
    assert_eq!(peer.spiffe_id.to_string(), OWN);
    let left = peer.not_after.since(port.clock.now().unwrap());
    port.clock.advance(left - Duration::from_secs(1));
    assert_eq!(client.call("/who").await.unwrap(), "heard");
    port.clock.advance(Duration::from_secs(1));
    assert_eq!(client.call("/who").await.unwrap(), "16", "UNAUTHENTICATED");
    assert_eq!(port.shared.peers.lock().unwrap().len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a17_open_stream_ends_with_the_certificate() {
    let port = Port::open().await;
    // Certificates count in seconds: between one and two are left.
    let soon = port.clock.now().unwrap().after(Duration::from_secs(2));
    let own = port.authority.issue(&[OWN], soon);
    let stream = port.connect(Some(own), |_| {}).await.unwrap();
    let mut client = Client::over(stream).await.unwrap();
    let open = client.call("/stream").await;
    // The handler heard that its connection closes, or was cut; either way the stream is over.
    assert!(open.is_err() || open.unwrap().starts_with("open"));
    port.until(ConnectionEvent::Closed, 1).await;
    assert!(port.clock.now().unwrap() >= Time(soon.0 / 1000 * 1000));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_configuration_rotates_between_handshakes() {
    let mut port = Port::open().await;
    port.serves().await;
    let before = port.own(&[OWN]).await.unwrap();
    let mut before = Client::over(before).await.unwrap();
    let rotated = Authority::new();
    *port.config.lock().unwrap() = Some(Arc::new(server_config(&rotated, &port.clock)));
    let old = port.authority.issue(&[OWN], port.end());
    port.authority = rotated;
    if let Ok(mut stream) = port.connect(Some(old), |_| {}).await {
        assert!(said(&mut stream).await.is_empty());
    }
    port.until(ConnectionEvent::TlsFailed, 1).await;
    port.serves().await;
    assert_eq!(before.call("/now").await.unwrap(), OWN, "open ones go on");

    *port.config.lock().unwrap() = None;
    assert!(port.own(&[OWN]).await.is_err());
    port.until(ConnectionEvent::TlsNotReady, 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn silent_and_slow_handshakes_end() {
    let port = Port::open().await;
    let mut silent = TcpStream::connect(port.address).await.unwrap();
    let mut half = TcpStream::connect(port.address).await.unwrap();
    half.write_all(&hello_of_tls_1_2()[..20]).await.unwrap();
    assert!(said(&mut silent).await.is_empty());
    assert!(said(&mut half).await.is_empty());
    port.until(ConnectionEvent::TlsTimeout, 2).await;

    // Nor do they hold up the drain.
    let _silent = TcpStream::connect(port.address).await.unwrap();
    port.serves().await;
    port.drain.cancel();
    let drained = tokio::time::timeout(PATIENCE, port.served).await;
    assert_eq!(drained.unwrap().unwrap().aborted, 0);
}
