//! What is refused, and what it is told.

use super::super::field;
use super::super::report as report_ask;
use super::*;

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
        principal: Some(principal()),
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
        |m| m.principal = Some(principal()),
        "principal: is only for a request of an owner",
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
    let parse = |message: v1::ReportRequest| report_ask(&message);
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
