//! Requests for approval of the wrong form.

use super::{check, forms};
use crate::domain::approval::Verdict;
use crate::grpc::convert::{after_approval, approval_id};
use crate::proto::v1;

fn decide() -> v1::DecideRequest {
    v1::DecideRequest {
        approval_id: "ab".repeat(32),
        digest: vec![7; 32],
        verdict: v1::decide_request::Verdict::Refuse.into(),
        id_token: "a.b.c".to_owned(),
    }
}

#[test]
fn decisions_of_the_wrong_form_are_refused() {
    let forms = forms();
    let parse = |message| forms.decide(message);
    let id = "approval_id: not an approval ID of 64 lower-case hexadecimal digits";
    let none = "approval_id: is required";
    check(parse, decide(), |m| m.approval_id.clear(), none);
    check(parse, decide(), |m| m.approval_id.push('0'), id);
    let shouted = |m: &mut v1::DecideRequest| m.approval_id = m.approval_id.to_uppercase();
    check(parse, decide(), shouted, id);
    check(parse, decide(), |m| m.digest.clear(), "digest: is required");
    let short = "digest: must be 32 bytes long";
    check(parse, decide(), |m| m.digest.truncate(31), short);
    let unnamed = "verdict: must be one of the named values";
    check(parse, decide(), |m| m.verdict = 0, unnamed);
    check(parse, decide(), |m| m.verdict = 3, unnamed);
    let none = "id_token: is required";
    check(parse, decide(), |m| m.id_token.clear(), none);
    let long = "id_token: longer than 8192 bytes";
    check(parse, decide(), |m| m.id_token = "x".repeat(8193), long);
}

#[test]
fn a_decision_means_what_it_says() {
    let ask = forms().decide(decide()).expect("is well formed");
    assert_eq!(ask.verdict, Verdict::Refused);
    assert_eq!(ask.id.to_string(), "ab".repeat(32));
    assert_eq!(ask.digest.0, [7; 32]);
    assert!(!format!("{ask:?}").contains("a.b.c"));
    assert_eq!(after_approval("").expect("begins at the beginning"), None);
    let id = approval_id(&"ab".repeat(32)).expect("is one");
    assert_eq!(after_approval(&id.to_string()).expect("is one"), Some(id));
    assert!(after_approval("x").is_err());
}
