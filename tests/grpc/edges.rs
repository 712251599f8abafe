//! What never reaches the rules: header, peer, size, and methods that are not served there.

use crate::world::{Caller, MESSAGES, OTHER, OWNER, World, call, certificate, proof};
use handfast::proto::v1;
use tonic::{Code, Status};
use v1::enforcement_client::EnforcementClient;
use v1::operator_client::OperatorClient;
use v1::requests_client::RequestsClient;
use v1::self__client::Self_Client;

fn code<T: std::fmt::Debug>(answer: Result<tonic::Response<T>, Status>) -> Code {
    answer.expect_err("is refused").code()
}

fn check(arguments: Vec<u8>) -> v1::CheckRequest {
    let mut call = call(OTHER, "pay");
    call.arguments = arguments;
    v1::CheckRequest {
        token: "a.b.c".to_owned(),
        proof: Some(proof(&certificate())),
        principal: None,
        operation: Some(v1::check_request::Operation::Step(call)),
    }
}

#[tokio::test]
async fn without_the_header_or_a_peer_nothing_is_answered() {
    let world = World::new().await;
    let bare = Caller {
        header: false,
        ..world.caller(OWNER)
    };
    let who = Self_Client::new(bare).who_am_i(v1::WhoAmIRequest {}).await;
    let status = who.expect_err("is refused");
    assert_eq!(status.code(), Code::InvalidArgument);
    assert_eq!(status.message(), "security header missing");
    let nobody = Caller {
        peer: None,
        ..world.caller(OWNER)
    };
    let who = Self_Client::new(nobody)
        .who_am_i(v1::WhoAmIRequest {})
        .await;
    assert_eq!(code(who), Code::Internal);
}

#[tokio::test]
async fn a_caller_learns_who_it_is() {
    let world = World::new().await;
    let mut me = Self_Client::new(world.caller(OWNER));
    let who = me.who_am_i(v1::WhoAmIRequest {}).await.expect("is told");
    let who = who.into_inner();
    assert_eq!(
        (who.spiffe_ids, who.assurance.as_str()),
        (vec![OWNER.to_owned()], "process")
    );
    assert_eq!(
        (who.pid, who.uid, who.executable.as_str()),
        (1001, 1001, "/usr/bin/true")
    );
    let mut stranger = Self_Client::new(world.caller("spiffe://example.test/unregistered"));
    let who = stranger
        .who_am_i(v1::WhoAmIRequest {})
        .await
        .expect("is told");
    let who = who.into_inner();
    assert!(who.spiffe_ids.is_empty() && who.assurance.is_empty() && !who.hints.is_empty());
    let issue = v1::IssueRequest {
        request_id: b"1".to_vec(),
        certificate: certificate(),
        operation: Some(v1::issue_request::Operation::Query(v1::AskName {
            server: OTHER.to_owned(),
            handle: "h".to_owned(),
        })),
    };
    let stranger = world.caller("spiffe://example.test/unregistered");
    let issued = RequestsClient::new(stranger).issue(issue).await;
    assert_eq!(code(issued), Code::Unauthenticated);
}

#[tokio::test]
async fn each_listener_serves_its_own_methods() {
    let world = World::new().await;
    let remote = world.remote_caller(OTHER);
    let status = OperatorClient::new(world.caller(OWNER))
        .status(v1::StatusRequest {})
        .await;
    assert_eq!(code(status), Code::Unimplemented);
    let status = OperatorClient::new(remote.clone())
        .status(v1::StatusRequest {})
        .await;
    assert_eq!(code(status), Code::Unimplemented);
    let issue = RequestsClient::new(remote.clone())
        .issue(v1::IssueRequest::default())
        .await;
    assert_eq!(code(issue), Code::Unimplemented);
    let who = Self_Client::new(world.at_operator_socket())
        .who_am_i(v1::WhoAmIRequest {})
        .await;
    assert_eq!(code(who), Code::Unimplemented);
    // The socket is the operator's; a peer that is no process of this node is none.
    let odd = Caller {
        routes: world.operator.clone(),
        ..remote
    };
    let status = OperatorClient::new(odd).status(v1::StatusRequest {}).await;
    assert_eq!(code(status), Code::InvalidArgument);
}

#[tokio::test]
async fn a_message_beyond_the_limit_is_refused_unread() {
    let world = World::new().await;
    let mut tool = EnforcementClient::new(world.caller(OTHER));
    let large = vec![b' '; MESSAGES.message_bytes + 1];
    assert_eq!(code(tool.check(check(large)).await), Code::OutOfRange);
    let small = [vec![b' '; MESSAGES.message_bytes / 2], b"{}".to_vec()].concat();
    let answer = tool
        .check(check(small))
        .await
        .expect("is decided")
        .into_inner();
    let Some(v1::check_response::Answer::Denied(denied)) = answer.answer else {
        panic!("is not denied: {answer:?}");
    };
    assert_eq!(
        (denied.reason.as_str(), denied.mcp_code),
        ("token_invalid", -32603)
    );
    assert!(!answer.decision_id.is_empty());
}
