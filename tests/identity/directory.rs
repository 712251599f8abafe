//! How each possible answer of the Broker API is read, against a provider that gives exactly that
//! answer.

use crate::served::{serve, serve_on};
use crate::world::{directory_config, id, within};
use handfast::attest::broker::BrokerDirectory;
use handfast::attest::directory::{ATTESTATION_AUDIENCE, DirectoryConfig};
use handfast::dev::pb::broker::api_server::{Api, ApiServer};
use handfast::dev::pb::broker::{
    FetchJwtsvidRequest, FetchJwtsvidResponse, Jwtsvid, SubscribeToJwtBundlesRequest,
    SubscribeToJwtBundlesResponse, SubscribeToX509BundlesRequest, SubscribeToX509BundlesResponse,
    SubscribeToX509svidRequest, SubscribeToX509svidResponse,
};
use handfast::domain::id::SpiffeId;
use handfast::service::ports::{DirectoryError, ProcessDirectory as _};
use hyper_util::rt::TokioIo;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::watch;
use tonic::transport::{Channel, Endpoint, Uri};
use tonic::{Code, Request, Response, Status};

type Stream<T> = tokio_stream::Empty<Result<T, Status>>;

/// What the provider does with every question.
#[derive(Clone, Debug)]
enum Answer {
    Names(Vec<String>),
    Refusal(Status),
    Silence,
}

/// Gives one answer to every question and keeps the last question.
#[derive(Clone)]
struct Scripted {
    answer: Answer,
    asked: Arc<Mutex<Option<FetchJwtsvidRequest>>>,
}

#[tonic::async_trait]
impl Api for Scripted {
    type SubscribeToX509SVIDStream = Stream<SubscribeToX509svidResponse>;
    type SubscribeToX509BundlesStream = Stream<SubscribeToX509BundlesResponse>;
    type SubscribeToJWTBundlesStream = Stream<SubscribeToJwtBundlesResponse>;

    async fn subscribe_to_x509svid(
        &self,
        _request: Request<SubscribeToX509svidRequest>,
    ) -> Result<Response<Self::SubscribeToX509SVIDStream>, Status> {
        Err(Status::unimplemented("only JWT-SVIDs are asked for"))
    }

    async fn subscribe_to_x509_bundles(
        &self,
        _request: Request<SubscribeToX509BundlesRequest>,
    ) -> Result<Response<Self::SubscribeToX509BundlesStream>, Status> {
        Err(Status::unimplemented("only JWT-SVIDs are asked for"))
    }

    async fn subscribe_to_jwt_bundles(
        &self,
        _request: Request<SubscribeToJwtBundlesRequest>,
    ) -> Result<Response<Self::SubscribeToJWTBundlesStream>, Status> {
        Err(Status::unimplemented("only JWT-SVIDs are asked for"))
    }

    async fn fetch_jwtsvid(
        &self,
        request: Request<FetchJwtsvidRequest>,
    ) -> Result<Response<FetchJwtsvidResponse>, Status> {
        *self.asked.lock().unwrap() = Some(request.into_inner());
        let names = match self.answer.clone() {
            Answer::Names(names) => names,
            Answer::Refusal(status) => return Err(status),
            Answer::Silence => return std::future::pending().await,
        };
        let svids = names
            .into_iter()
            .map(|spiffe_id| Jwtsvid {
                spiffe_id,
                svid: "eyJ.secret.token".to_owned(),
                hint: String::new(),
            })
            .collect();
        Ok(Response::new(FetchJwtsvidResponse { svids }))
    }
}

async fn ask(
    answer: Answer,
    config: DirectoryConfig,
) -> (
    Result<Vec<SpiffeId>, DirectoryError>,
    Option<FetchJwtsvidRequest>,
) {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("api.sock");
    let scripted = Scripted {
        answer,
        asked: Arc::default(),
    };
    let asked = Arc::clone(&scripted.asked);
    let _served = serve(
        &socket,
        tonic::service::Routes::new(ApiServer::new(scripted)),
    );
    let (_sender, channel) = watch::channel(plain_channel(socket));
    let directory = BrokerDirectory::new(channel, config);
    let found = within(directory.spiffe_ids(41)).await;
    let asked = asked.lock().unwrap().take();
    (found, asked)
}

fn plain_channel(socket: std::path::PathBuf) -> Channel {
    Endpoint::from_static("http://broker.invalid").connect_with_connector_lazy(tower::service_fn(
        move |_address: Uri| {
            let socket = socket.clone();
            async move {
                let stream = tokio::net::UnixStream::connect(socket).await?;
                Ok::<_, std::io::Error>(TokioIo::new(stream))
            }
        },
    ))
}

fn names(names: &[&str]) -> Answer {
    Answer::Names(names.iter().map(|&name| name.to_owned()).collect())
}

fn status(code: Code, message: &str) -> Answer {
    Answer::Refusal(Status::new(code, message))
}

#[tokio::test]
async fn a_complete_answer_names_the_identities_sorted_and_once() {
    let answer = names(&[
        "spiffe://dev.test/b",
        "spiffe://dev.test/a",
        "spiffe://dev.test/b",
    ]);
    let (found, _asked) = ask(answer, directory_config()).await;
    assert_eq!(found, Ok(vec![id("/a"), id("/b")]));
}

#[tokio::test]
async fn only_a_clear_no_means_not_entitled() {
    for answer in [
        names(&[]),
        status(Code::PermissionDenied, "no identity issued"),
        status(Code::PermissionDenied, ""),
    ] {
        let (found, _asked) = ask(answer.clone(), directory_config()).await;
        assert_eq!(found, Err(DirectoryError::NotEntitled), "{answer:?}");
    }
}

#[tokio::test]
async fn everything_else_decides_nothing() {
    let good = "spiffe://dev.test/a";
    for answer in [
        status(Code::Internal, "process does not exist"),
        status(Code::NotFound, "process does not exist"),
        status(Code::Unavailable, "workload attestation failed"),
        status(Code::Unauthenticated, "no identity issued"),
        status(
            Code::InvalidArgument,
            "security header missing from request",
        ),
        status(Code::ResourceExhausted, "rate limit"),
        status(Code::Unimplemented, ""),
        status(Code::Unknown, ""),
        status(Code::PermissionDenied, "broker `x` is not authorized"),
        status(
            Code::PermissionDenied,
            "broker \"x\" is not allowed to use reference type \"y\"",
        ),
        status(
            Code::PermissionDenied,
            "caller not configured as an authorized delegate",
        ),
        names(&[good, ""]),
        names(&[good, "dev.test/b"]),
        names(&[good, "spiffe://dev.test"]),
        names(&[good, "spiffe://other.test/a"]),
    ] {
        let (found, _asked) = ask(answer.clone(), directory_config()).await;
        let unavailable = matches!(found, Err(DirectoryError::Unavailable(_)));
        assert!(unavailable, "{answer:?} {found:?}");
        assert!(!format!("{found:?}").contains("secret"), "{found:?}");
    }
}

#[tokio::test]
async fn an_answer_over_its_limits_is_refused_whole() {
    let two = || names(&["spiffe://dev.test/a", "spiffe://dev.test/b"]);
    let mut config = directory_config();
    config.identities_max = 2;
    assert!(ask(two(), config.clone()).await.0.is_ok());
    config.identities_max = 1;
    let (found, _asked) = ask(two(), config).await;
    assert!(
        matches!(found, Err(DirectoryError::Unavailable(_))),
        "{found:?}"
    );

    let mut config = directory_config();
    config.answer_bytes_max = 32;
    let (found, _asked) = ask(two(), config).await;
    assert!(
        matches!(found, Err(DirectoryError::Unavailable(_))),
        "{found:?}"
    );
}

#[tokio::test]
async fn silence_ends_at_the_deadline() {
    let mut config = directory_config();
    config.deadline = Duration::from_millis(100);
    let (found, _asked) = ask(Answer::Silence, config).await;
    assert!(
        matches!(found, Err(DirectoryError::Unavailable(_))),
        "{found:?}"
    );
}

/// SPIRE restarts, and the connection that was idle until then is dead when it is used next.
#[tokio::test]
async fn a_connection_that_breaks_is_made_again_once() {
    for (broken, answered) in [(1, true), (2, false)] {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("api.sock");
        let listener = tokio::net::UnixListener::bind(&socket).unwrap();
        let scripted = Scripted {
            answer: names(&["spiffe://dev.test/a"]),
            asked: Arc::default(),
        };
        let routes = tonic::service::Routes::new(ApiServer::new(scripted));
        let serving = tokio::spawn(async move {
            for _connection in 0..broken {
                drop(listener.accept().await.unwrap());
            }
            serve_on(listener, routes)
        });
        let (_sender, channel) = watch::channel(plain_channel(socket));
        let directory = BrokerDirectory::new(channel, directory_config());
        let found = within(directory.spiffe_ids(41)).await;
        assert_eq!(found.is_ok(), answered, "{found:?}");
        let _served = within(serving).await.unwrap();
    }
}

#[tokio::test]
async fn a78_the_directory_asks_for_the_attestation_audience_and_nothing_else() {
    let (_found, asked) = ask(names(&["spiffe://dev.test/a"]), directory_config()).await;
    let asked = asked.unwrap();
    assert_eq!(asked.audience, [ATTESTATION_AUDIENCE]);
    assert_eq!(asked.spiffe_id, "");
    let reference = asked.reference.unwrap().reference.unwrap();
    assert_eq!(
        reference.type_url,
        "type.googleapis.com/spiffe.broker.WorkloadPIDReference"
    );
}
