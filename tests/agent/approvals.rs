//! A person is asked before a step: the whole way, and every way around it.

use crate::consent::{World, nonce, options, step_with};
use crate::job::{HANDLE, assert_unknown, check_op, report_op, step_op, text};
use crate::node::{Role, distinct_uids};
use serde_json::{Value, json};

#[test]
fn a_person_is_asked_and_the_step_goes_on_with_the_answer() {
    if !distinct_uids("a_person_is_asked_and_the_step_goes_on_with_the_answer") {
        return;
    }
    let mut world = World::start();
    let (task, leg) = world.leg();
    world
        .job
        .server
        .ok(&json!({ "op": "watch", "task_id": task.id }));
    world.job.server.event();
    world.approver.ok(&json!({ "op": "approval_watch" }));
    let id = world.ask(&step_op(&leg, 1));
    // A repeat is the same request.
    assert_eq!(world.ask(&step_op(&leg, 1)), id);
    // The server shows it, and so hears its client.
    let told = world.job.server.event()["notice"].take();
    let waits = json!({ "state": "input_required", "inputs": [{ "approval": id }] });
    assert_eq!(told, waits);
    let read = world.job.owner("query", HANDLE);
    assert_eq!(read["task"]["state"], "input_required");
    // The approver hears of it, and sees exactly what is about to be done.
    let seen = world.approver.event()["notice"].take();
    assert_eq!(seen["approval_id"], id);
    assert_eq!(seen["text"], r#"{"table":"sales"}"#);
    assert_eq!(seen["tool"], "export");
    let listed = world.approver.ok(&json!({ "op": "approval_list" }));
    assert_eq!(listed["approvals"], json!([seen]));
    // An answer of the owner is not a person's consent.
    assert_eq!(world.job.owner("update", HANDLE)["answer"], "read");
    assert_eq!(world.ask(&step_op(&leg, 1)), id);
    assert_eq!(world.decide(&id, "approve")["state"], "approved");
    let told = world.job.server.event()["notice"].take();
    assert_eq!(told, json!({ "state": "working", "inputs": [] }));
    let token = world.job.step_token(&leg, 1);
    let fresh = world.job.check(&leg, &token);
    assert_eq!(fresh["answer"], "fresh", "{fresh}");
    assert_eq!(world.seen(&id)["state"], "used");
    let listed = world.approver.ok(&json!({ "op": "approval_list" }));
    assert_eq!(listed["approvals"], json!([]));
}

#[test]
fn a25_consent_is_good_for_one_token() {
    if !distinct_uids("a25_consent_is_good_for_one_token") {
        return;
    }
    let mut world = World::start();
    let (_, leg) = world.leg();
    let token = world.approved_token(&leg);
    // The reply was lost: the same request gets a token in place of the first, which is void.
    let again = world.job.step_token(&leg, 1);
    assert_eq!(world.job.check(&leg, &token)["reason"], "token_void");
    let fresh = world.job.check(&leg, &again);
    assert_eq!(fresh["answer"], "fresh");
    assert_eq!(world.job.check(&leg, &again)["answer"], "repeat");
    // Never for a retry, and never for the next step.
    world.job.tool.ok(&report_op(&fresh, "not_done"));
    let mut retry = step_op(&leg, 1);
    retry["request_id"] = "retry".into();
    let second = world.ask(&retry);
    world.decide(&second, "approve");
    let token = text(&world.job.worker.ok(&retry), "token");
    let fresh = world.job.check(&leg, &token);
    assert_eq!(fresh["answer"], "fresh", "{fresh}");
    world.job.tool.ok(&report_op(&fresh, "done"));
    let third = world.ask(&step_op(&leg, 2));
    assert_ne!(third, second);
}

#[test]
fn a27_one_changed_byte_of_the_digest_decides_nothing() {
    if !distinct_uids("a27_one_changed_byte_of_the_digest_decides_nothing") {
        return;
    }
    let mut world = World::start();
    let (_, leg) = world.leg();
    let id = world.ask(&step_op(&leg, 1));
    let good = world.decision(&id, "approve");
    let digest = text(&good, "digest");
    let (kept, last) = digest.split_at(62);
    let changed = format!("{kept}{}", if last == "00" { "01" } else { "00" });
    let mut op = good.clone();
    op["digest"] = changed.clone().into();
    // The login was for the digest that the person saw, so this one is nobody's word.
    assert_eq!(world.approver.err(&op)["reason"], "person");
    // And with a login for it, it is not what is asked.
    op["id_token"] = world.provider.login("person-1", &nonce(&changed)).into();
    assert_eq!(world.approver.err(&op)["reason"], "approval_differs");
    op["digest"] = kept.into();
    assert_eq!(world.approver.err(&op)["code"], "InvalidArgument");
    assert_eq!(world.seen(&id)["state"], "open");
    assert_eq!(world.approver.ok(&good)["state"], "approved");
}

#[test]
fn a26_consent_to_other_content_is_void() {
    if !distinct_uids("a26_consent_to_other_content_is_void") {
        return;
    }
    let mut world = World::start();
    let (_, leg) = world.leg();
    let id = world.ask(&step_with(
        &leg,
        1,
        json!({ "rows": 9_007_199_254_740_991_u64 }),
    ));
    world.decide(&id, "approve");
    // One large integer, one less: another request, and the old one is gone.
    let other = step_with(&leg, 1, json!({ "rows": 9_007_199_254_740_990_u64 }));
    let second = world.ask(&other);
    assert_ne!(second, id);
    assert_unknown(
        &world
            .approver
            .err(&json!({ "op": "approval_get", "approval_id": id })),
    );
    // What cannot be told apart is not even asked about.
    let collides = step_with(&leg, 1, "9007199254740993".into());
    assert_eq!(world.job.worker.err(&collides)["code"], "InvalidArgument");
    // Replaced too often in a row: a pause.
    let third = step_with(&leg, 1, json!({ "rows": 1 }));
    let paused = world.job.worker.err(&third);
    assert_eq!(paused["reason"], "approval_pause");
    assert!(paused["retry_after_ms"].as_u64() > Some(0), "{paused}");
    world.decide(&second, "approve");
    let token = text(&world.job.worker.ok(&other), "token");
    let mut check = check_op(&leg, &token);
    check["call"] = other["call"].clone();
    assert_eq!(world.job.tool.ok(&check)["answer"], "fresh");
}

#[test]
fn a51_another_tool_definition_voids_the_consent() {
    if !distinct_uids("a51_another_tool_definition_voids_the_consent") {
        return;
    }
    let mut world = World::start();
    let (_, leg) = world.leg();
    let with = |definition: &str| {
        let mut op = step_op(&leg, 1);
        op["call"]["tool_definition_s256"] = definition.repeat(32).into();
        op
    };
    let id = world.ask(&with("01"));
    world.decide(&id, "approve");
    let second = world.ask(&with("02"));
    assert_ne!(second, id);
    world.decide(&second, "approve");
    let token = text(&world.job.worker.ok(&with("02")), "token");
    let mut check = check_op(&leg, &token);
    // The tool as it is now, and as it was when the person saw it.
    check["call"]["tool_definition_s256"] = "01".repeat(32).into();
    assert_eq!(world.job.tool.ok(&check)["reason"], "call_differs");
    check["call"]["tool_definition_s256"] = "02".repeat(32).into();
    assert_eq!(world.job.tool.ok(&check)["answer"], "fresh");
}

#[test]
fn a28_no_party_to_the_task_decides_in_it() {
    if !distinct_uids("a28_no_party_to_the_task_decides_in_it") {
        return;
    }
    // Everybody is an approver by configuration.
    let mut everybody = options();
    for name in ["client", "server", "worker", "tool"] {
        everybody.config = format!(
            "[[approver]]\nspiffe_id = \"spiffe://demo.test/{name}\"\n{}",
            everybody.config
        );
    }
    let mut world = World::with(&everybody);
    let (_, leg) = world.leg();
    let id = world.ask(&step_op(&leg, 1));
    let op = world.decision(&id, "approve");
    let job = &mut world.job;
    for party in [&mut job.client, &mut job.server, &mut job.worker] {
        let refused = party.err(&op);
        assert_unknown(&refused);
        let truth = job.node.explain(&text(&refused, "decision_id"));
        assert_eq!(truth["reason"], "not_apart", "{truth}");
        let listed = party.ok(&json!({ "op": "approval_list" }));
        assert_eq!(listed["approvals"], json!([]));
    }
    // Not the tool: it is no party that asks. But nor is it somebody else's twin.
    assert_eq!(world.approver.ok(&op)["state"], "approved");
    world.job.step_token(&leg, 1);
}

#[test]
fn a28_consent_through_an_approver_that_lost_its_role_is_void() {
    if !distinct_uids("a28_consent_through_an_approver_that_lost_its_role_is_void") {
        return;
    }
    let mut world = World::start();
    let (_, leg) = world.leg();
    let id = world.ask(&step_op(&leg, 1));
    world.decide(&id, "approve");
    // Its row is gone when the agent comes back.
    assert_eq!(world.job.node.stop_agent(), Some(0));
    let config = world.job.node.path("handfast.toml");
    let text_before = std::fs::read_to_string(&config).unwrap();
    let row = "[[approver]]\nspiffe_id = \"spiffe://demo.test/approver\"\n";
    assert!(text_before.contains(row));
    std::fs::write(&config, text_before.replace(row, "")).unwrap();
    world.job.node.start_agent();
    world
        .job
        .worker
        .ok(&crate::job::start_op(&leg.task, "worker"));
    let asked = world.job.worker.ok(&step_op(&leg, 1));
    assert_eq!(asked["state"], "pending_approval");
    assert_ne!(asked["approval_id"], id);
    assert_unknown(&world.approver.err(&json!({ "op": "approval_list" })));
    // With its row again, consent counts again.
    assert_eq!(world.job.node.stop_agent(), Some(0));
    std::fs::write(&config, text_before).unwrap();
    world.job.node.start_agent();
    world
        .job
        .worker
        .ok(&crate::job::start_op(&leg.task, "worker"));
    let second = text(&asked, "approval_id");
    assert_eq!(world.ask(&step_op(&leg, 1)), second);
    world.decide(&second, "approve");
    world.job.step_token(&leg, 1);
}

#[test]
fn a69_a_worker_that_runs_the_approvers_program_decides_nothing() {
    if !distinct_uids("a69_a_worker_that_runs_the_approvers_program_decides_nothing") {
        return;
    }
    let mut world = World::start();
    let (_, leg) = world.leg();
    let id = world.ask(&step_op(&leg, 1));
    let digest = text(&world.seen(&id), "digest");
    let token_file = world.job.node.path("id-token");
    let token = world.provider.login("person-1", &nonce(&digest));
    std::fs::write(&token_file, format!("{token}\n")).unwrap();
    world.job.node.give_cli_to("approver");
    let node = &world.job.node;
    let token_file = token_file.to_str().unwrap().to_owned();
    let decide = [
        "approval",
        "decide",
        &id,
        "--digest",
        &digest,
        "--approve",
        "--id-token-file",
        &token_file,
    ];
    let by = |role: &Role| node.cli_as(role, &decide);
    let approver = node.role("approver");
    // The approver's own command line, with a person's own login, under the worker's user.
    let mut hijacked = approver.clone();
    hijacked.uid = node.role("worker").uid;
    let refused = by(&hijacked);
    assert!(!refused.status.success());
    let complaint = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(complaint.contains("unknown_task"), "{complaint}");
    let listed = node.cli_as(&hijacked, &["approval", "list"]);
    assert!(!listed.status.success());
    // The same by the right hand.
    let listed = node.cli_as(&approver, &["approval", "list"]);
    let listed: Value = serde_json::from_slice(&listed.stdout).unwrap();
    assert!(listed.to_string().contains(&id), "{listed}");
    let shown = node.cli_as(&approver, &["approval", "show", &id]);
    let shown: Value = serde_json::from_slice(&shown.stdout).unwrap();
    assert_eq!(shown["digest"], digest.as_str());
    assert_eq!(shown["nonce"], nonce(&digest).as_str());
    let decided = by(&approver);
    let complaint = String::from_utf8_lossy(&decided.stderr).into_owned();
    assert!(decided.status.success(), "{complaint}");
    world.job.step_token(&leg, 1);
}

#[test]
fn a69_an_approver_under_the_workers_user_is_not_apart() {
    if !distinct_uids("a69_an_approver_under_the_workers_user_is_not_apart") {
        return;
    }
    // The configuration gives the approver the worker's user: another ID, and no other hand.
    let mut shared = options();
    let worker = shared.roles.iter().find(|role| role.name == "worker");
    let uid = worker.unwrap().uid;
    shared.roles.last_mut().unwrap().uid = uid;
    let mut world = World::with(&shared);
    let (_, leg) = world.leg();
    let id = world.ask(&step_op(&leg, 1));
    let get = json!({ "op": "approval_get", "approval_id": id });
    let refused = world.approver.err(&get);
    assert_unknown(&refused);
    let truth = world.job.node.explain(&text(&refused, "decision_id"));
    assert_eq!(truth["reason"], "not_apart", "{truth}");
}

#[test]
fn a70_one_owner_has_so_many_requests_open_and_pauses_after_a_refusal() {
    if !distinct_uids("a70_one_owner_has_so_many_requests_open_and_pauses_after_a_refusal") {
        return;
    }
    let mut few = options();
    few.config
        .push_str("[limits]\napprovals_per_owner = 2\n[approvals]\npause = \"1h\"\n");
    let mut world = World::with(&few);
    let mut legs = Vec::new();
    for number in 0..3 {
        let task = world
            .job
            .create_as(&format!("7q2mZr0Yt5kW9xB3vN8s{number:04}"));
        legs.push(world.job.start_leg(&task));
    }
    let first = world.ask(&step_op(&legs[0], 1));
    world.ask(&step_op(&legs[1], 1));
    let full = world.job.worker.err(&step_op(&legs[2], 1));
    assert_eq!(full["reason"], "limit", "{full}");
    assert!(text(&full, "message").contains("limits.approvals_per_owner"));
    // A task that ends asks for nothing any more.
    world.job.owner("cancel", &legs[1].task.handle);
    let third = world.ask(&step_op(&legs[2], 1));
    // Refused: nothing of this owner is put before a person for a while, the same step least of all.
    assert_eq!(world.decide(&first, "refuse")["state"], "refused");
    let paused = world.job.worker.err(&step_op(&legs[0], 1));
    assert_eq!(paused["reason"], "approval_pause", "{paused}");
    assert_eq!(world.seen(&first)["state"], "refused");
    // What was open before is still decided, and a yes ends the pause.
    world.decide(&third, "approve");
    world.job.step_token(&legs[2], 1);
    world.ask(&step_op(&legs[0], 1));
}
