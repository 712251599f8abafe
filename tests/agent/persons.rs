//! What a person sees, and whose word counts.

use crate::consent::{Provider, World, nonce, options, step_with};
use crate::fan::{Fan, child, fanning, part};
use crate::job::{HANDLE, assert_unknown, start_op, step_op, text};
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
    let forged = Provider::new().login("person-1", &nonce(&digest));
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
    // A login that was to approve is not brought as a refusal.
    let mut misused = good.clone();
    misused["verdict"] = "refuse".into();
    assert_eq!(world.approver.err(&misused)["reason"], "person");
    let refuse = world.decision_of(&text(&good, "approval_id"), "person-1", "refuse");
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

#[test]
fn a26_a_login_from_before_the_request_decides_nothing() {
    if !distinct_uids("a26_a_login_from_before_the_request_decides_nothing") {
        return;
    }
    let mut options = options();
    // `TABLES` opens a table of rows: this one comes before.
    options.config = format!("[approvals]\nlogin_skew_max = \"10s\"\n{}", options.config);
    let mut world = World::with(&options);
    let (_, leg) = world.leg();
    let id = world.ask(&step_op(&leg, 1));
    let good = world.decision(&id, "approve");
    let nonce = nonce(&text(&good, "digest"));
    // Well within what a login may be old, and before anybody could see this request.
    let mut early = good.clone();
    early["id_token"] = world.provider.login_ago("person-1", &nonce, 120).into();
    let refused = world.approver.err(&early);
    assert_eq!(refused["reason"], "person", "{refused}");
    let why = world.job.node.explain(&text(&refused, "decision_id"));
    assert!(why.to_string().contains("id_token_before_request"), "{why}");
    assert_eq!(world.seen(&id)["state"], "open");
    // The same person's login for the request counts, also by a clock that is a little behind.
    let mut behind = good;
    behind["id_token"] = world.provider.login_ago("person-1", &nonce, 5).into();
    assert_eq!(world.approver.ok(&behind)["state"], "approved");
}

#[test]
fn a36_requests_that_are_unknown_or_anothers_are_answered_alike() {
    if !distinct_uids("a36_requests_that_are_unknown_or_anothers_are_answered_alike") {
        return;
    }
    // The worker is an approver too, and a party to this task.
    let mut both = options();
    both.config = format!(
        "[[approver]]\nspiffe_id = \"spiffe://demo.test/worker\"\n{}",
        both.config
    );
    let mut world = World::with(&both);
    let (_, leg) = world.leg();
    let id = world.ask(&step_op(&leg, 1));
    let good = world.decision(&id, "approve");
    let (kept, _) = id.split_at(56);
    let never = format!("{kept}00000000");
    let other_task = format!("{}{}", "ab".repeat(16), id.split_at(32).1);
    let mut answers = Vec::new();
    for named in [&id, &never, &other_task] {
        for op in ["approval_get", "approval_decide"] {
            let mut asked = good.clone();
            asked["op"] = op.into();
            asked["approval_id"] = named.as_str().into();
            let mut refused = world.job.worker.err(&asked);
            assert_unknown(&refused);
            refused["decision_id"].take();
            answers.push(refused);
        }
    }
    assert!(answers.iter().all(|answer| *answer == answers[0]));
    assert_eq!(world.approver.ok(&good)["state"], "approved");
}

#[test]
fn of_many_decisions_at_once_the_first_counts() {
    if !distinct_uids("of_many_decisions_at_once_the_first_counts") {
        return;
    }
    let mut world = World::start();
    let (_, leg) = world.leg();
    let id = world.ask(&step_op(&leg, 1));
    let good = world.decision(&id, "approve");
    let digest = text(&good, "digest");
    let requests = (0..8).map(|number| {
        let mut op = good.clone();
        let subject = format!("person-{number}");
        let verdict = if number % 2 == 0 { "approve" } else { "refuse" };
        op["id_token"] = world.login(&digest, &subject, verdict).into();
        op["verdict"] = verdict.into();
        op
    });
    let requests: Vec<_> = requests.collect();
    let burst = json!({ "op": "burst", "requests": requests, "connections": 4 });
    let answers = world.approver.ok(&burst)["answers"].take();
    let answers = answers.as_array().unwrap();
    let decided: Vec<_> = answers.iter().filter_map(|one| one.get("ok")).collect();
    assert_eq!(decided.len(), 1, "{answers:?}");
    for late in answers.iter().filter_map(|one| one.get("err")) {
        assert_eq!(late["reason"], "approval_decided", "{late}");
    }
    assert_eq!(world.seen(&id)["state"], decided[0]["state"]);
}

#[test]
fn a25_consent_outlives_the_agent_and_no_token_does() {
    if !distinct_uids("a25_consent_outlives_the_agent_and_no_token_does") {
        return;
    }
    let mut world = World::start();
    let (_, leg) = world.leg();
    let id = world.ask(&step_op(&leg, 1));
    world.decide(&id, "approve");
    let again = |world: &mut World| {
        world.job.node.kill_agent();
        world.job.node.start_agent();
        world.job.worker.ok(&start_op(&leg.task, "worker"));
    };
    again(&mut world);
    let token = world.job.step_token(&leg, 1);
    // The token died unused with its agent, and the consent was used for it.
    again(&mut world);
    assert_eq!(world.job.check(&leg, &token)["answer"], "denied");
    let second = world.ask(&step_op(&leg, 1));
    assert_ne!(second, id);
    world.decide(&second, "approve");
    let token = world.job.step_token(&leg, 1);
    assert_eq!(world.job.check(&leg, &token)["answer"], "fresh");
}

#[test]
fn a28_consent_through_an_approver_that_was_revoked_stays_void() {
    if !distinct_uids("a28_consent_through_an_approver_that_was_revoked_stays_void") {
        return;
    }
    let mut world = World::start();
    let (_, leg) = world.leg();
    let id = world.ask(&step_op(&leg, 1));
    world.decide(&id, "approve");
    let approver = "spiffe://demo.test/approver";
    let operator = |world: &World, verb: &str| {
        let why = ["revoke", verb, approver, "--why", "test"];
        world.job.node.operator_json(&why);
    };
    operator(&world, "spiffe-id");
    let second = world.ask(&step_op(&leg, 1));
    assert_ne!(second, id);
    let get = json!({ "op": "approval_get", "approval_id": second });
    assert_eq!(world.approver.err(&get)["code"], "PermissionDenied");
    let listed = world.approver.ok(&json!({ "op": "approval_list" }));
    assert_eq!(listed["approvals"], json!([]));
    // It may act again, and what it brought before is still worth nothing.
    operator(&world, "lift");
    assert_eq!(world.ask(&step_op(&leg, 1)), second);
    world.decide(&second, "approve");
    let token = world.job.step_token(&leg, 1);
    assert_eq!(world.job.check(&leg, &token)["answer"], "fresh");
}

#[test]
fn n07_a_child_asks_for_consent_of_its_own() {
    if !distinct_uids("n07_a_child_asks_for_consent_of_its_own") {
        return;
    }
    let mut world = World::start();
    let mut fan = Fan::of(world.job);
    let root = fan.root(&fanning(1, 1, 2));
    world.job = fan.job;
    let given = world.ask(&step_op(&root, 1));
    world.decide(&given, "approve");
    // The same worker carries the child out, and asks for the same call as the same step.
    let mut fan = Fan::of(world.job);
    let children = fan.spawn(&root, "one", &[child(1)]);
    let leg = fan.spend(&children[0], &part(1));
    world.job = fan.job;
    let own = world.ask(&step_op(&leg, 1));
    assert_ne!(own, given);
    // Its parent's consent is good for its parent's step, and the child's for the child's.
    let token = world.job.step_token(&root, 1);
    assert_eq!(world.job.check(&root, &token)["answer"], "fresh");
    assert_eq!(world.ask(&step_op(&leg, 1)), own, "a person is still asked");
    world.decide(&own, "approve");
    let token = world.job.step_token(&leg, 1);
    assert_eq!(world.job.check(&leg, &token)["answer"], "fresh");
}
