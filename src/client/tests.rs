//! The way to the agent, against a stand-in that answers one method.

use super::{Agent, AgentConfig, ClientError};
use crate::proto::v1 as proto;
use crate::proto::v1::self__server::{Self_, Self_Server};
use std::path::Path;
use tokio::net::UnixListener;
use tokio::runtime::Runtime;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};

/// Answers with the mark that the request had.
struct StandIn;

#[tonic::async_trait]
impl Self_ for StandIn {
    async fn who_am_i(
        &self,
        request: Request<proto::WhoAmIRequest>,
    ) -> Result<Response<proto::WhoAmIResponse>, Status> {
        let mark = request.metadata().get("handfast.io");
        let mark = mark.and_then(|mark| mark.to_str().ok()).unwrap_or("none");
        Ok(Response::new(proto::WhoAmIResponse {
            assurance: mark.to_owned(),
            ..proto::WhoAmIResponse::default()
        }))
    }
}

/// A running stand-in in a runtime of its own, so that all of it ends at once, as a process does.
fn start(path: &Path) -> Runtime {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .expect("runtime");
    let listener = {
        let _inside = runtime.enter();
        UnixListener::bind(path).expect("bind")
    };
    let (accepted, incoming) = tokio::sync::mpsc::channel(1);
    runtime.spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let sent = accepted.send(Ok::<_, std::io::Error>(stream)).await;
            sent.expect("served");
        }
    });
    runtime.spawn(
        tonic::transport::Server::builder()
            .add_service(Self_Server::new(StandIn))
            .serve_with_incoming(ReceiverStream::new(incoming)),
    );
    runtime
}

/// Stops the stand-in and calls until the agent is seen to be gone.
async fn stop(runtime: Runtime, agent: &Agent, path: &Path) -> ClientError {
    runtime.shutdown_background();
    std::fs::remove_file(path).expect("remove");
    loop {
        match agent.who_am_i().await {
            Ok(_) => tokio::task::yield_now().await,
            Err(error) => break error,
        }
    }
}

#[tokio::test]
async fn a_connection_that_broke_is_made_anew() {
    let folder = tempfile::tempdir().expect("folder");
    let path = folder.path().join("agent.sock");
    let running = start(&path);
    let agent = Agent::connect(AgentConfig::new(&path))
        .await
        .expect("agent");
    assert_eq!(agent.who_am_i().await.expect("first").assurance, "true");

    let error = stop(running, &agent, &path).await;
    assert!(matches!(error, ClientError::Unavailable(_)), "{error}");
    assert!(error.to_string().starts_with("UNAVAILABLE"), "{error}");

    let other = start(&path);
    assert_eq!(agent.who_am_i().await.expect("again").assurance, "true");
    other.shutdown_background();
}

#[tokio::test]
async fn a58_a_new_connection_is_checked_like_the_first() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().expect("folder");
    let path = folder.path().join("agent.sock");
    let running = start(&path);
    let agent = Agent::connect(AgentConfig::new(&path))
        .await
        .expect("agent");
    stop(running, &agent, &path).await;

    // Somebody opens the folder, and somebody else is faster than the agent.
    let open = std::fs::Permissions::from_mode(0o777);
    std::fs::set_permissions(folder.path(), open).expect("chmod");
    let other = start(&path);
    let refused = agent.who_am_i().await.expect_err("refused");
    assert!(matches!(refused, ClientError::Unavailable(_)), "{refused}");
    let refused = refused.to_string();
    assert!(refused.contains("can be written by others"), "{refused}");
    assert!(refused.contains("0777"), "{refused}");
    other.shutdown_background();
}
