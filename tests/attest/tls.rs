//! The TLS listener: TLS 1.3 for HTTP/2 with a certificate on both sides, or nothing.

use crate::agent::{PATIENCE, until};
use crate::port::{Authority, Client, OWN, Port, provider, said, server_config};
use handfast::domain::time::Time;
use handfast::grpc::observe::ConnectionEvent;
use handfast::service::ports::{Clock, Peer};
use rustls::client::WebPkiServerVerifier;
use rustls::server::WebPkiClientVerifier;
use rustls::{ClientConfig, ServerConfig};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

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

/// A `ClientHello` that knows TLS 1.2 and nothing newer, but would agree to anything else.
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

/// A client that guessed another key share is asked again, and shows its certificate all the same.
#[tokio::test(flavor = "multi_thread")]
async fn a_handshake_with_another_key_share_is_full() {
    let port = Port::open().await;
    let mut server = provider().as_ref().clone();
    server.kx_groups = vec![rustls::crypto::aws_lc_rs::kx_group::SECP384R1];
    let verifier = WebPkiClientVerifier::builder_with_provider(port.authority.roots(), provider());
    let (chain, key) = port.authority.issue(&[], port.end());
    let mut config = ServerConfig::builder_with_provider(Arc::new(server))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_client_cert_verifier(verifier.build().unwrap())
        .with_single_cert(chain, key)
        .unwrap();
    config.alpn_protocols = vec![b"h2".to_vec()];
    config.send_tls13_tickets = 0;
    *port.config.lock().unwrap() = Some(Arc::new(config));

    let stream = port.own(&[OWN]).await.unwrap();
    let kind = stream.get_ref().1.handshake_kind();
    let retried = rustls::HandshakeKind::FullWithHelloRetryRequest;
    assert_eq!(kind, Some(retried), "the first share was not one of ours");
    let mut client = Client::over(stream).await.unwrap();
    assert_eq!(client.call("/now").await.unwrap(), OWN);
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
    let second = Duration::from_secs(1);
    let left = peer
        .not_after
        .since(port.clock.now().unwrap().after(second));
    port.clock.advance(left);
    assert_eq!(client.call("/who").await.unwrap(), "heard");
    port.clock.advance(second);
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
