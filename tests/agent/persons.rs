//! What a person sees, and whose word counts.

use crate::consent::{Provider, World, nonce, step_with};
use crate::job::{HANDLE, assert_unknown, step_op, text};
use crate::node::distinct_uids;
use serde_json::json;

#[test]
fn a70_what_a_person_sees_is_whole_and_escaped() {
    if !distinct_uids("a70_what_a_person_sees_is_whole_and_escaped") {
        return;
    }
    let mut world = World::start();
    let (_, leg) = world.leg();
    let evil = json!({ "to": "bob\u{202e}gnp.\u{200b}\u{1b}[2J", "why": "a  b\u{2044}c" });
    let id = world.ask(&step_with(&leg, 1, evil));
    let shown = text(&world.seen(&id), "text");
    let wanted = r#"{"to":"bob\u{202e}gnp.\u{200b}\u001b[2J","why":"a \u{20}b\u{2044}c"}"#;
    assert_eq!(shown, wanted);
    let long = step_with(&leg, 1, json!({ "text": "x".repeat(16 * 1024) }));
    let refused = world.job.worker.err(&long);
    assert_eq!(refused["reason"], "limit");
    assert!(text(&refused, "message").contains("limits.approval_text_bytes"));
    assert_eq!(world.seen(&id)["state"], "open");
}

#[test]
fn only_a_person_of_the_configured_issuer_decides_and_the_first_wins() {
    if !distinct_uids("only_a_person_of_the_configured_issuer_decides_and_the_first_wins") {
        return;
    }
    let mut world = World::start();
    let (_, leg) = world.leg();
    let id = world.ask(&step_op(&leg, 1));
    let good = world.decision(&id, "approve");
    let digest = text(&good, "digest");
    let with = |token: String| {
        let mut op = good.clone();
        op["id_token"] = token.into();
        op
    };
    let forged = Provider::stranger().login("person-1", &nonce(&digest));
    let other_login = world.provider.login("person-1", &nonce(&"ab".repeat(32)));
    for (token, code) in [
        (forged, "PermissionDenied"),
        (other_login, "PermissionDenied"),
        ("not.a.token".to_owned(), "PermissionDenied"),
        (String::new(), "InvalidArgument"),
    ] {
        assert_eq!(world.approver.err(&with(token))["code"], code);
    }
    // A stranger with a person's own login is a stranger.
    let mut thief = world.job.node.actor_named("thief");
    assert_unknown(&thief.err(&good));
    assert_eq!(world.approver.ok(&good)["state"], "approved");
    // The same again is the same; another person, or another word, comes too late.
    assert_eq!(world.approver.ok(&good)["state"], "approved");
    let mut refuse = good.clone();
    refuse["verdict"] = "refuse".into();
    assert_eq!(world.approver.err(&refuse)["reason"], "approval_decided");
    let second = world.provider.login("person-2", &nonce(&digest));
    assert_eq!(
        world.approver.err(&with(second))["reason"],
        "approval_decided"
    );
    // Neither the login nor the person is in any log.
    let log = world.job.node.log();
    for secret in [text(&good, "id_token").as_str(), "person-1", "person-2"] {
        assert!(!log.contains(secret), "{log}");
    }
    // Nor does anybody decide about a task that has ended.
    world.job.owner("cancel", HANDLE);
    assert_eq!(world.approver.err(&refuse)["reason"], "cancelled");
}
