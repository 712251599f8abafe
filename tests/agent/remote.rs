//! A tool on another node: `Enforcement` over TCP with mutual TLS, and nothing else there.

use crate::job::{Job, TOOL, export, text};
use crate::node::Options;
use handfast::proto::v1;
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use spiffe::X509Source;
use spiffe_rustls::TrustDomainPolicy;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Status};
use tonic_types::StatusExt as _;
use v1::check_response::Answer;
use v1::enforcement_client::EnforcementClient;

const AGENT_ID: &str = "spiffe://demo.test/handfast/agent";
const PATIENCE: Duration = Duration::from_secs(30);

type Remote = InterceptedService<Channel, fn(Request<()>) -> Result<Request<()>, Status>>;

#[expect(clippy::unnecessary_wraps, reason = "the signature of an interceptor")]
fn mark(mut request: Request<()>) -> Result<Request<()>, Status> {
    let yes = tonic::metadata::MetadataValue::from_static("true");
    request.metadata_mut().insert("handfast.io", yes);
    Ok(request)
}

/// Makes this very process the holder of an identity, as its own registration entry would.
pub(crate) fn become_(job: &Job, spiffe_id: &str) {
    entitle(job, spiffe_id, &std::env::current_exe().unwrap());
}

/// Gives an identity to whoever runs this program.
pub(crate) fn entitle(job: &Job, spiffe_id: &str, program: &Path) {
    let program = program.display();
    entries(job, |text| {
        format!(
            "{text}[[entry]]\nspiffe_id = \"{spiffe_id}\"\nselectors = [\"unix:path:{program}\"]\n"
        )
    });
}

/// Changes the registration entries. They are replaced whole: the provider may read at any moment.
pub(crate) fn entries(job: &Job, change: impl FnOnce(String) -> String) {
    let (path, next) = (job.node.path("entries.toml"), job.node.path("entries.next"));
    let entries = change(fs::read_to_string(&path).unwrap());
    fs::write(&next, entries).unwrap();
    fs::rename(next, path).unwrap();
}

async fn identity(job: &Job) -> X509Source {
    let endpoint = format!(
        "unix://{}",
        job.node.path("spiffe/public/api.sock").display()
    );
    let source = X509Source::builder().endpoint(endpoint).build();
    tokio::time::timeout(PATIENCE, source)
        .await
        .unwrap()
        .unwrap()
}

async fn connect(source: X509Source, port: u16) -> Result<Remote, tonic::transport::Error> {
    let domain = spiffe::TrustDomain::new("demo.test").unwrap();
    let tls: ClientConfig = spiffe_rustls::mtls_client(source)
        .authorize(|id: &spiffe::SpiffeId| id.to_string() == AGENT_ID)
        .trust_domain_policy(TrustDomainPolicy::LocalOnly(domain))
        .with_alpn_protocols([b"h2"])
        .build()
        .unwrap();
    let tls = TlsConnector::from(Arc::new(tls));
    let connector = tower::service_fn(move |_uri: http::Uri| {
        let tls = tls.clone();
        async move {
            let tcp = TcpStream::connect(("127.0.0.1", port)).await?;
            let name = ServerName::try_from("agent.invalid").unwrap();
            tls.connect(name, tcp).await.map(TokioIo::new)
        }
    });
    let channel = Endpoint::from_static("http://agent.invalid")
        .connect_with_connector(connector)
        .await?;
    Ok(InterceptedService::new(channel, mark))
}

fn with_listener() -> (Job, u16) {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = free.local_addr().unwrap().port();
    drop(free);
    let job = Job::with(&Options {
        config: format!("[enforcement]\nlisten = \"127.0.0.1:{port}\"\nallowed = [\"{TOOL}\"]\n"),
        ..Options::default()
    });
    (job, port)
}

fn bytes(hex: &str) -> Vec<u8> {
    let digits = |pair: &[u8]| std::str::from_utf8(pair).unwrap().to_owned();
    hex.as_bytes()
        .chunks_exact(2)
        .map(|pair| u8::from_str_radix(&digits(pair), 16).unwrap())
        .collect()
}

fn check(token: &str, certificate: &str) -> v1::CheckRequest {
    let call = export();
    v1::CheckRequest {
        token: token.to_owned(),
        proof: Some(v1::Proof {
            proof: Some(v1::proof::Proof::PeerCertificate(bytes(certificate))),
        }),
        principal: None,
        operation: Some(v1::check_request::Operation::Step(v1::ToolCall {
            audience: text(&call, "audience"),
            tool: text(&call, "tool"),
            arguments: call["arguments"].to_string().into_bytes(),
            tool_definition_s256: Vec::new(),
        })),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tool_elsewhere_checks_and_reports_over_mutual_tls_and_reaches_nothing_else() {
    let (mut job, port) = tokio::task::block_in_place(with_listener);
    let (leg, token) = tokio::task::block_in_place(|| {
        let task = job.create();
        let leg = job.start_leg(&task);
        let token = job.step_token(&leg, 1);
        (leg, token)
    });
    become_(&job, TOOL);
    let remote = connect(identity(&job).await, port).await.unwrap();
    let mut enforcement = EnforcementClient::new(remote.clone());
    let mut ask = async || {
        let answer = enforcement.check(check(&token, &leg.certificate)).await;
        answer.unwrap().into_inner().answer.unwrap()
    };
    let Answer::Fresh(fresh) = ask().await else {
        panic!("the rightful tool was not told `fresh`");
    };
    assert!(matches!(ask().await, Answer::Repeat(_)));
    let step = fresh.step.unwrap();
    let report = v1::ReportRequest {
        task_id: fresh.task.unwrap().task_id,
        step: step.step,
        fence: step.fence,
        jti: step.jti,
        outcome: v1::report_request::Outcome::Done.into(),
    };
    let reported = EnforcementClient::new(remote.clone()).report(report).await;
    assert_eq!(reported.unwrap().into_inner().state(), v1::StepState::Done);

    // The control of what is refused below: this request reaches the agent and is told what is wrong.
    let malformed = EnforcementClient::new(remote.clone())
        .check(check("x", "00"))
        .await
        .unwrap_err();
    assert_eq!(malformed.code(), Code::InvalidArgument);
    assert!(malformed.get_details_error_info().is_some());

    let start = v1::StartRequest::default();
    let legs = v1::legs_client::LegsClient::new(remote.clone())
        .start(start)
        .await;
    assert_eq!(legs.unwrap_err().code(), Code::Unimplemented);
    let list = v1::ListTasksRequest::default();
    let tasks = v1::operator_client::OperatorClient::new(remote)
        .list_tasks(list)
        .await;
    assert_eq!(tasks.unwrap_err().code(), Code::Unimplemented);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_workload_that_is_not_listed_gets_no_connection() {
    let (job, port) = tokio::task::block_in_place(with_listener);
    become_(&job, "spiffe://demo.test/thief");
    let refused = match connect(identity(&job).await, port).await {
        Err(_) => true,
        // In TLS 1.3 the refusal may surface at the first request only, as whatever the transport makes of a
        // closed connection. A request that had reached the agent would be told what is wrong with it.
        Ok(remote) => {
            let asked = EnforcementClient::new(remote).check(check("x", "00")).await;
            asked.is_err_and(|status| status.get_details_error_info().is_none())
        }
    };
    assert!(refused);
}
