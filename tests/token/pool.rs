//! A77: a connection of one hand is never used for another.

use crate::world::{Authority, TIMEOUT, hand, id};
use handfast::client::hand::Hand;
use handfast::client::peer::accept;
use handfast::client::pool::{Pool, PoolKey, Shared};
use handfast::client::tls::{client_config_with_roots, connect};
use handfast::domain::id::{Hex, SpiffeId};
use http_body_util::{BodyExt as _, Empty, Full};
use hyper::client::conn::http2::SendRequest;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::ServerConfig;
use rustls::pki_types::CertificateDer;
use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use tokio::net::TcpListener;
use tokio_util::bytes::Bytes;

const SERVER: &str = "spiffe://example.org/server";

type Connection = SendRequest<Empty<Bytes>>;

/// Answers each request with the thumbprint that its connection proved.
async fn serve(listener: TcpListener, config: Arc<ServerConfig>, accepted: Arc<AtomicUsize>) {
    let mut connections = tokio::task::JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        accepted.fetch_add(1, Ordering::SeqCst);
        let config = Arc::clone(&config);
        connections.spawn(async move {
            let Ok((stream, proof)) = accept(stream, config, TIMEOUT).await else {
                return;
            };
            let service = service_fn(move |_request| {
                let text = Hex(&proof.thumbprint().0).to_string();
                async move { Ok::<_, Infallible>(Response::new(Full::new(Bytes::from(text)))) }
            });
            let _ended = hyper::server::conn::http2::Builder::new(TokioExecutor::new())
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
}

struct Caller {
    address: SocketAddr,
    pool: Pool<Connection>,
    roots: Vec<CertificateDer<'static>>,
    server: SpiffeId,
}

impl Caller {
    /// The thumbprint that the server saw on the connection of this hand's request.
    async fn ask(&self, hand: &Hand) -> String {
        let key = PoolKey::new(self.address, &self.server, hand);
        let connection = self.pool.connection(&key, async || self.open(hand).await);
        let mut connection = connection.await.expect("connects");
        connection.ready().await.expect("is ready");
        let request = Request::get("https://server/").body(Empty::new());
        let answer = connection
            .send_request(request.expect("is a request"))
            .await;
        let body = answer.expect("is answered").into_body().collect().await;
        String::from_utf8(body.expect("is whole").to_bytes().to_vec()).expect("is text")
    }

    async fn open(&self, hand: &Hand) -> io::Result<Connection> {
        let config = client_config_with_roots(&self.roots, &self.server, hand, &[]);
        let config = Arc::new(config.map_err(io::Error::other)?);
        let stream = connect(self.address, config, TIMEOUT).await?;
        let (sender, connection) =
            hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
                .await
                .map_err(io::Error::other)?;
        tokio::spawn(connection);
        Ok(sender)
    }
}

#[tokio::test]
async fn a77_each_hand_has_connections_of_its_own() {
    let authority = Authority::new("example.org");
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("binds");
    let address = listener.local_addr().expect("is bound");
    let accepted = Arc::new(AtomicUsize::new(0));
    let config = Arc::new(authority.svid(SERVER, |_| ()).server());
    let server = tokio::spawn(serve(listener, config, Arc::clone(&accepted)));
    let caller = Caller {
        address,
        pool: Pool::new(8),
        roots: vec![authority.der.clone()],
        server: id(SERVER),
    };
    let (a, b) = (hand(), hand());
    let of = |hand: &Hand| Hex(&hand.thumbprint().0).to_string();

    // Two tasks at once, to the same server at the same address.
    for _ in 0..3 {
        let (seen_a, seen_b) = tokio::join!(caller.ask(&a), caller.ask(&b));
        assert_eq!(seen_a, of(&a));
        assert_eq!(seen_b, of(&b));
    }
    // Control: a hand's own connection is used again.
    assert_eq!(accepted.load(Ordering::SeqCst), 2);
    assert_eq!(caller.pool.len(), 2);

    caller.pool.forget(a.thumbprint());
    assert_eq!(caller.pool.len(), 1);
    assert_eq!(caller.ask(&a).await, of(&a));
    assert_eq!(accepted.load(Ordering::SeqCst), 3);
    server.abort();
}

/// A connection that is only a name and a state.
#[derive(Clone, Debug)]
struct Fake {
    name: &'static str,
    open: Arc<AtomicBool>,
}

impl Shared for Fake {
    fn is_open(&self) -> bool {
        self.open.load(Ordering::SeqCst)
    }
}

fn fake(name: &'static str) -> Fake {
    Fake {
        name,
        open: Arc::new(AtomicBool::new(true)),
    }
}

async fn use_of(pool: &Pool<Fake>, key: &PoolKey, fresh: &Fake) -> &'static str {
    let connection = pool.connection(key, async || Ok::<_, Infallible>(fresh.clone()));
    connection.await.expect("connects").name
}

#[tokio::test]
async fn the_key_is_address_server_and_certificate() {
    let pool = Pool::new(8);
    let (a, b) = (hand(), hand());
    let here: SocketAddr = "127.0.0.1:1".parse().expect("is an address");
    let there: SocketAddr = "127.0.0.1:2".parse().expect("is an address");
    let other = id("spiffe://example.org/other");
    let key = PoolKey::new(here, &id(SERVER), &a);
    assert_eq!(use_of(&pool, &key, &fake("first")).await, "first");
    for (name, different) in [
        ("certificate", PoolKey::new(here, &id(SERVER), &b)),
        ("address", PoolKey::new(there, &id(SERVER), &a)),
        ("server", PoolKey::new(here, &other, &a)),
    ] {
        assert_eq!(use_of(&pool, &different, &fake(name)).await, name);
    }
    assert_eq!(use_of(&pool, &key, &fake("second")).await, "first");
    assert_eq!(key.address(), here);
}

#[tokio::test]
async fn closed_connections_are_replaced_and_the_oldest_makes_room() {
    let pool = Pool::new(2);
    let address: SocketAddr = "127.0.0.1:1".parse().expect("is an address");
    let keys = [hand(), hand(), hand()].map(|hand| PoolKey::new(address, &id(SERVER), &hand));
    let first = fake("first");
    assert!(pool.is_empty());
    assert_eq!(use_of(&pool, &keys[0], &first).await, "first");
    first.open.store(false, Ordering::SeqCst);
    assert_eq!(use_of(&pool, &keys[0], &fake("second")).await, "second");

    assert_eq!(use_of(&pool, &keys[1], &fake("third")).await, "third");
    assert_eq!(use_of(&pool, &keys[0], &fake("-")).await, "second");
    assert_eq!(use_of(&pool, &keys[2], &fake("fourth")).await, "fourth");
    assert_eq!(pool.len(), 2);
    assert_eq!(use_of(&pool, &keys[0], &fake("-")).await, "second");
    assert_eq!(use_of(&pool, &keys[1], &fake("fifth")).await, "fifth");
    assert_eq!(pool.len(), 2);

    let none = Pool::new(0);
    assert_eq!(use_of(&none, &keys[0], &fake("x")).await, "x");
    assert!(none.is_empty());
}
