//! Each refused form beside its accepted neighbour.

use super::asks::{CheckAsk, IssueAsk};
use super::*;
use crate::domain::decide::end::{Ending, LegEnding};
use crate::domain::decide::report::Outcome;
use crate::domain::evidence::Assurance;
use crate::domain::grant::{ArgumentConstraint, AudienceAssurance};
use crate::domain::id::Digest;
use crate::domain::step::StepState;
use crate::domain::task::TaskState;
use crate::proto::v1;
use crate::service::OwnerOperation;
use secrecy::ExposeSecret as _;
use std::time::Duration;

const SERVER: &str = "spiffe://example.test/server";
const URL: &str = "https://mcp.example.test/mcp";
const TASK: &str = "0197f0a1b2c37d4e8f00112233445566";

fn forms() -> Forms {
    let id = SpiffeId::new(SERVER).expect("is one");
    Forms {
        audiences: [(URL.to_owned(), id)].into_iter().collect(),
        ..Forms::default()
    }
}

fn certificate() -> Vec<u8> {
    let made = rcgen::generate_simple_self_signed(vec!["hand".to_owned()]).expect("can be made");
    made.cert.der().to_vec()
}

fn call() -> v1::ToolCall {
    v1::ToolCall {
        audience: SERVER.to_owned(),
        tool: "transfer".to_owned(),
        arguments: b"{\"amount\": 1.0}".to_vec(),
        tool_definition_s256: vec![7; 32],
    }
}

fn proof() -> Option<v1::Proof> {
    Some(v1::Proof {
        proof: Some(v1::proof::Proof::PeerCertificate(certificate())),
    })
}

fn principal() -> Option<v1::Principal> {
    Some(v1::Principal {
        issuer: "https://login.example.test".to_owned(),
        subject: "alice".to_owned(),
    })
}

fn ask_create() -> v1::AskCreate {
    v1::AskCreate {
        call: Some(call()),
        asked: Some(v1::Grant {
            permissions: vec![v1::Permission {
                audience: URL.to_owned(),
                tool: "read".to_owned(),
                arguments: None,
            }],
            not_after_ms: Some(5),
            audience_must_be_local: true,
        }),
        performers: vec!["spiffe://example.test/worker".to_owned()],
        lifetime_ms: 0,
    }
}

fn issue(ask: v1::AskCreate) -> v1::IssueRequest {
    v1::IssueRequest {
        request_id: b"1".to_vec(),
        certificate: certificate(),
        operation: Some(v1::issue_request::Operation::Create(ask)),
    }
}

fn query(server: &str, handle: &str) -> v1::IssueRequest {
    v1::IssueRequest {
        request_id: Vec::new(),
        certificate: certificate(),
        operation: Some(v1::issue_request::Operation::Query(v1::AskName {
            server: server.to_owned(),
            handle: handle.to_owned(),
        })),
    }
}

fn create() -> v1::CreateRequest {
    v1::CreateRequest {
        token: "a.b.c".to_owned(),
        proof: proof(),
        call: Some(call()),
        handle: "3f0c5f0e-5d5a-4a3f-9d3c-0a8d3e0e6b51".to_owned(),
        ..v1::CreateRequest::default()
    }
}

fn check_query() -> v1::CheckRequest {
    v1::CheckRequest {
        token: "a.b.c".to_owned(),
        proof: proof(),
        principal: principal(),
        operation: Some(v1::check_request::Operation::Query(v1::CheckName {
            handle: "h".to_owned(),
        })),
    }
}

fn check_step() -> v1::CheckRequest {
    v1::CheckRequest {
        principal: None,
        operation: Some(v1::check_request::Operation::Step(call())),
        ..check_query()
    }
}

fn step() -> v1::IssueStepRequest {
    v1::IssueStepRequest {
        task_id: TASK.to_owned(),
        leg: 1,
        step: 1,
        call: Some(call()),
        request_id: vec![0; 64],
    }
}

fn report() -> v1::ReportRequest {
    v1::ReportRequest {
        task_id: TASK.to_owned(),
        step: 1,
        fence: 3,
        jti: vec![1; 16],
        outcome: v1::report_request::Outcome::NotDone.into(),
    }
}

/// A message is accepted; after the change it is refused, and the text names the field.
#[track_caller]
fn check<M: Clone, T>(
    parse: impl Fn(M) -> Result<T, InvalidField>,
    good: M,
    change: impl FnOnce(&mut M),
    says: &str,
) {
    let mut bad = good.clone();
    change(&mut bad);
    if let Err(invalid) = parse(good) {
        panic!("the neighbour of `{says}` is refused: {invalid}");
    }
    match parse(bad) {
        Ok(_) => panic!("`{says}` is accepted"),
        Err(invalid) => assert_eq!(invalid.to_string(), says),
    }
}

#[test]
fn calls_of_the_wrong_form_are_refused() {
    let forms = forms();
    let refuse = |change: fn(&mut v1::ToolCall), says: &str| {
        let change = |message: &mut v1::IssueStepRequest| {
            change(message.call.as_mut().expect("has one"));
        };
        check(|message| forms.step(message), step(), change, says);
    };
    let ids = "not the SPIFFE ID of a workload (`spiffe://trust-domain/path`)";
    let urls = "neither a SPIFFE ID nor a URL that an `[[audience]]` row maps";
    refuse(|call| call.audience.clear(), "call.audience: is required");
    for (audience, what) in [
        ("spiffe://example.test", ids),
        ("spiffe://example.test/server/", ids),
        ("spiffe:server", ids),
        ("https://mcp.example.test/mcp/", urls),
        ("server", urls),
    ] {
        let change = |message: &mut v1::IssueStepRequest| {
            message.call.as_mut().expect("has one").audience = audience.to_owned();
        };
        let says = format!("call.audience: {what}");
        check(|message| forms.step(message), step(), change, &says);
    }
    // Scheme and trust domain are case-insensitive (SPIFFE-ID §2.1), the path is not.
    let id = field::spiffe_id("spiffe://Example.test/server").expect("is one");
    assert_eq!(id.to_string(), SERVER);
    let id = |path: usize| format!("spiffe://example.test/{}", "p".repeat(path));
    assert!(field::spiffe_id(&id(2048 - 22)).is_ok());
    assert!(field::spiffe_id(&id(2049 - 22)).is_err());
    refuse(|call| call.tool.clear(), "call.tool: is required");
    refuse(
        |call| call.tool = "t".repeat(257),
        "call.tool: longer than 256 bytes",
    );
    let characters = "call.tool: holds a character that is not printable ASCII";
    refuse(|call| call.tool = "two words".to_owned(), characters);
    refuse(|call| call.tool = "caf\u{e9}".to_owned(), characters);
    refuse(
        |call| call.tool_definition_s256 = vec![7; 31],
        "call.tool_definition_s256: must be 32 bytes long",
    );
    refuse(
        |call| call.tool_definition_s256 = vec![7; 33],
        "call.tool_definition_s256: must be 32 bytes long",
    );
    let arguments = |json: &'static str, says: &str| {
        let change = |message: &mut v1::IssueStepRequest| {
            message.call.as_mut().expect("has one").arguments = json.as_bytes().to_vec();
        };
        let says = format!("call.arguments: {says}");
        check(|message| forms.step(message), step(), change, &says);
    };
    arguments("", "is required");
    arguments("{", "not JSON at byte 1");
    arguments(
        r#"{"a":1,"a":1}"#,
        "member given twice in the object that ends at byte 13",
    );
    arguments(
        "9007199254740993",
        "number at byte 16 cannot be held exactly",
    );
}

#[test]
fn both_sides_of_each_length() {
    let forms = forms();
    let name = |tool: usize| {
        let mut message = step();
        message.call.as_mut().expect("has one").tool = "t".repeat(tool);
        forms.step(message).is_ok()
    };
    assert!(name(256) && !name(257));
    let request_id = |len: usize| {
        let message = v1::IssueStepRequest {
            request_id: vec![1; len],
            ..step()
        };
        forms.step(message).is_ok()
    };
    assert!(!request_id(0) && request_id(1) && request_id(64) && !request_id(65));
    let handle = |len: usize| forms.issue(query(URL, &"h".repeat(len))).is_ok();
    assert!(!handle(0) && handle(1) && handle(512) && !handle(513));
    let subject = |len: usize| {
        let mut message = check_query();
        message.principal.as_mut().expect("has one").subject = "s".repeat(len);
        forms.check(message).is_ok()
    };
    assert!(!subject(0) && subject(1) && subject(512) && !subject(513));
    let token = |len: usize| {
        let token = "t".repeat(len);
        forms
            .check(v1::CheckRequest {
                token,
                ..check_step()
            })
            .is_ok()
    };
    assert!(token(8192) && !token(8193));
    let reference = |len: usize| {
        let message = v1::StartRequest {
            work_reference: "w".repeat(len),
            certificate: certificate(),
            request_id: Vec::new(),
        };
        forms.start(message).is_ok()
    };
    assert!(!reference(0) && reference(1) && reference(256) && !reference(257));
    // What a leg certificate holds is for the service; its size is not.
    let size = |len: usize| {
        let message = v1::StartRequest {
            work_reference: "w".to_owned(),
            certificate: vec![0; len],
            request_id: Vec::new(),
        };
        forms.start(message).is_ok()
    };
    assert!(!size(0) && size(4096) && !size(4097));
    let reason = |len: usize| forms.reason("r".repeat(len)).is_ok();
    assert!(!reason(0) && reason(1) && reason(1024) && !reason(1025));
}

#[test]
fn owners_requests_of_the_wrong_form_are_refused() {
    let forms = forms();
    let parse = |message| forms.issue(message);
    let created = |ask| issue(ask);
    let required = "request_id: is required";
    check(
        parse,
        created(ask_create()),
        |m| m.request_id.clear(),
        required,
    );
    check(
        parse,
        query(URL, "h"),
        |m| m.operation = None,
        "operation: is required",
    );
    let bad = query(URL, "");
    check(
        parse,
        query(URL, "h"),
        |m| *m = bad,
        "query.handle: is required",
    );
    let bad = query("", "h");
    check(
        parse,
        query(URL, "h"),
        |m| *m = bad,
        "query.server: is required",
    );
    // A query may go without a name; a cancel may not.
    let cancel = |request_id: &[u8]| {
        let name = v1::AskName {
            server: SERVER.to_owned(),
            handle: "h".to_owned(),
        };
        v1::IssueRequest {
            request_id: request_id.to_vec(),
            operation: Some(v1::issue_request::Operation::Cancel(name)),
            ..query(URL, "h")
        }
    };
    check(parse, cancel(b"1"), |m| m.request_id.clear(), required);
    let grant = |change: fn(&mut v1::AskCreate), says: &str| {
        let mut bad = ask_create();
        change(&mut bad);
        check(parse, issue(ask_create()), |m| *m = issue(bad), says);
    };
    grant(|ask| ask.call = None, "create.call: is required");
    grant(
        |ask| ask.performers.push(URL.to_owned()),
        "create.performers[1]: not the SPIFFE ID of a workload (`spiffe://trust-domain/path`)",
    );
    grant(
        |ask| {
            let grant = ask.asked.as_mut().expect("has one");
            grant.permissions.push(v1::Permission::default());
        },
        "create.asked.permissions[1].audience: is required",
    );
    grant(
        |ask| {
            let grant = ask.asked.as_mut().expect("has one");
            grant.permissions[0].arguments = Some(Vec::new());
        },
        "create.asked.permissions[0].arguments: is required",
    );
}

#[test]
fn a_token_and_its_proof_come_together() {
    let forms = forms();
    let parse = |message| forms.create(message);
    let beside = "proof: is only for a request with a token";
    check(parse, create(), |m| m.token.clear(), beside);
    check(parse, create(), |m| m.proof = None, "proof: is required");
    let none = |m: &mut v1::CreateRequest| m.proof = Some(v1::Proof { proof: None });
    check(parse, create(), none, "proof: is required");
    let der = |der: Vec<u8>| {
        Some(v1::Proof {
            proof: Some(v1::proof::Proof::PeerCertificate(der)),
        })
    };
    let not_one = "proof.peer_certificate: not exactly one X.509 certificate in DER";
    check(parse, create(), |m| m.proof = der(vec![0x30, 0]), not_one);
    let two = [certificate(), certificate()].concat();
    check(parse, create(), |m| m.proof = der(two), not_one);
    let large = "proof.peer_certificate: longer than 4096 bytes";
    check(parse, create(), |m| m.proof = der(vec![0; 4097]), large);
    // Without a token the principal is needed, and a name for the request.
    let vouched = || v1::CreateRequest {
        request_id: b"1".to_vec(),
        token: String::new(),
        proof: None,
        principal: principal(),
        ..create()
    };
    let nothing = "token or principal: is required";
    check(parse, vouched(), |m| m.principal = None, nothing);
    let unnamed = "request_id: is required";
    check(parse, vouched(), |m| m.request_id.clear(), unnamed);
    let issuer = |m: &mut v1::CreateRequest| m.principal.as_mut().expect("has one").issuer.clear();
    check(parse, vouched(), issuer, "principal.issuer: is required");
    let keep = |m: &mut v1::CreateRequest| {
        m.keep = Some(v1::Keep {
            permissions: vec![v1::Permission::default()],
        });
    };
    check(
        parse,
        create(),
        keep,
        "keep.permissions[0].audience: is required",
    );
}

#[test]
fn checks_of_the_wrong_form_are_refused() {
    let forms = forms();
    let parse = |message| forms.check(message);
    check(
        parse,
        check_query(),
        |m| m.operation = None,
        "operation: is required",
    );
    check(
        parse,
        check_step(),
        |m| m.principal = principal(),
        "principal: is only for a request of a query or cancel",
    );
    let bare = |m: &mut v1::CheckRequest| {
        m.token.clear();
        m.proof = None;
    };
    check(parse, check_step(), bare, "token: is required");
    let nobody = |m: &mut v1::CheckRequest| {
        bare(m);
        m.principal = None;
    };
    check(
        parse,
        check_query(),
        nobody,
        "token or principal: is required",
    );
    // A principal alone is enough for a query.
    let mut alone = check_query();
    bare(&mut alone);
    assert!(forms.check(alone).is_ok());
}

#[test]
fn names_and_numbers_of_the_wrong_form_are_refused() {
    let forms = forms();
    let parse = |message| forms.step(message);
    let id = "task_id: not a task ID of 32 lower-case hexadecimal digits";
    check(parse, step(), |m| m.task_id.clear(), "task_id: is required");
    check(parse, step(), |m| m.task_id = TASK.to_uppercase(), id);
    check(parse, step(), |m| m.task_id.push('0'), id);
    check(parse, step(), |m| m.leg = 0, "leg: is counted from 1");
    check(parse, step(), |m| m.step = 0, "step: is counted from 1");
    let parse = |message: v1::ReportRequest| forms.report(&message);
    check(
        parse,
        report(),
        |m| m.jti.push(0),
        "jti: must be 16 bytes long",
    );
    check(parse, report(), |m| m.jti.clear(), "jti: is required");
    let unnamed = "outcome: must be one of the named values";
    check(parse, report(), |m| m.outcome = 0, unnamed);
    check(parse, report(), |m| m.outcome = 4, unnamed);
    let end = v1::EndRequest {
        task_id: TASK.to_owned(),
        leg: 1,
        outcome: v1::end_request::Outcome::Yielded.into(),
        request_id: Vec::new(),
    };
    let parse = |message| forms.end(message);
    check(parse, end.clone(), |m| m.outcome = 0, unnamed);
    check(parse, end.clone(), |m| m.outcome = -1, unnamed);
    let long = "request_id: longer than 64 bytes";
    check(parse, end, |m| m.request_id = vec![0; 65], long);
}

#[test]
fn no_error_shows_what_was_sent() {
    let forms = forms();
    let secret = "bd6bd2f24a8f";
    let mut message = create();
    message.call.as_mut().expect("has one").audience = secret.to_owned();
    let error = forms.create(message).expect_err("is no audience");
    assert!(!format!("{error} {error:?}").contains(secret));
    let task_id = secret.to_owned();
    let error = forms
        .step(v1::IssueStepRequest { task_id, ..step() })
        .expect_err("is no task ID");
    assert!(!format!("{error} {error:?}").contains(secret));
}

#[test]
fn a_create_means_what_it_says() {
    let IssueAsk::Create(ask) = forms().issue(issue(ask_create())).expect("is good") else {
        panic!("is a create");
    };
    assert_eq!(ask.lifetime, Duration::MAX);
    assert_eq!(ask.asked.not_after, Some(crate::domain::time::Time(5)));
    assert_eq!(ask.asked.audience_assurance, AudienceAssurance::Process);
    let [permission] = ask.asked.permissions.as_slice() else {
        panic!("has one permission");
    };
    assert_eq!(permission.audience.to_string(), SERVER, "the URL is mapped");
    assert_eq!(permission.arguments, ArgumentConstraint::Any);
    assert_eq!(ask.call.definition, Some(Digest([7; 32])));
    assert_eq!(ask.call.arguments, canonical::sha256(b"{\"amount\":1}"));
    let none = v1::AskCreate {
        asked: None,
        lifetime_ms: 1,
        ..ask_create()
    };
    let IssueAsk::Create(ask) = forms().issue(issue(none)).expect("is good") else {
        panic!("is a create");
    };
    assert_eq!(ask.lifetime, Duration::from_millis(1));
    assert!(ask.asked.permissions.is_empty());
}

#[test]
fn a_proof_becomes_the_thumbprint_of_its_certificate() {
    let der = certificate();
    let message = v1::CheckRequest {
        proof: Some(v1::Proof {
            proof: Some(v1::proof::Proof::PeerCertificate(der.clone())),
        }),
        ..check_query()
    };
    let CheckAsk::Owner(ask) = forms().check(message).expect("is good") else {
        panic!("is an owner's");
    };
    let proofs = ask.proofs.expect("has them");
    assert_eq!(proofs.certificate, canonical::sha256(&der));
    assert_eq!(proofs.token.expose_secret(), "a.b.c");
    assert_eq!(ask.operation, OwnerOperation::Query);
}

#[test]
fn outcomes_and_endings_keep_their_meaning() {
    let forms = forms();
    for (wire, outcome) in [
        (v1::report_request::Outcome::Done, Outcome::Done),
        (v1::report_request::Outcome::NotDone, Outcome::NotDone),
        (v1::report_request::Outcome::Unknown, Outcome::Unknown),
    ] {
        let outcome_of = wire.into();
        let ask = forms.report(&v1::ReportRequest {
            outcome: outcome_of,
            ..report()
        });
        assert_eq!(ask.expect("is good").outcome, outcome);
    }
    for (wire, ending) in [
        (v1::end_request::Outcome::Yielded, LegEnding::Yielded),
        (
            v1::end_request::Outcome::Completed,
            LegEnding::Task(Ending::Completed),
        ),
        (
            v1::end_request::Outcome::Failed,
            LegEnding::Task(Ending::Failed),
        ),
    ] {
        let ask = forms.end(v1::EndRequest {
            task_id: TASK.to_owned(),
            leg: 1,
            outcome: wire.into(),
            request_id: Vec::new(),
        });
        assert_eq!(ask.expect("is good").ending, ending);
    }
    for completed in [true, false] {
        let ask = forms.finish(v1::FinishRequest {
            task_id: TASK.to_owned(),
            completed,
            leg_fence: Some(4),
            request_id: Vec::new(),
        });
        let ask = ask.expect("is good");
        assert_eq!(ask.ending == Ending::Completed, completed);
        assert_eq!(ask.leg_fence, Some(crate::domain::id::Fence(4)));
    }
}

#[test]
fn states_and_assurances_have_their_names() {
    for (state, wire) in [
        (TaskState::Cancelled, v1::TaskState::Cancelled),
        (TaskState::Completed, v1::TaskState::Completed),
        (TaskState::Expired, v1::TaskState::Expired),
        (TaskState::Failed, v1::TaskState::Failed),
        (TaskState::Working, v1::TaskState::Working),
    ] {
        assert_eq!(task_state(state), i32::from(wire));
    }
    for (state, wire) in [
        (StepState::Issued, v1::StepState::Issued),
        (StepState::Used, v1::StepState::Running),
        (StepState::Done, v1::StepState::Done),
        (StepState::NotDone, v1::StepState::NotDone),
        (StepState::Unknown, v1::StepState::Unknown),
        (StepState::Void, v1::StepState::Void),
    ] {
        assert_eq!(step_state(state), i32::from(wire));
    }
    for (strength, name) in [
        (Assurance::Principal, "principal"),
        (Assurance::Process, "process"),
        (Assurance::Svid, "svid"),
    ] {
        assert_eq!(answers::assurance(strength), name);
    }
}
