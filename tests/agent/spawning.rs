//! Fanning out over the real agent: what a child may, what it may not, and that it dies with its line.

use crate::fan::{Fan, child, fanning, part, spawn_op, spend_op, step_op};
use crate::job::{SERVER, TOOL, WORKER, assert_unknown, export, start_op, text};
use crate::node::{Options, Role, Row};
use serde_json::{Value, json};

#[test]
fn a_child_is_spent_once_and_works_on_its_roots_authority() {
    let mut fan = Fan::start();
    let root = fan.root(&fanning(2, 1, 5));
    let children = fan.spawn(&root, "one", &[child(2), child(1)]);
    assert_eq!(children.len(), 2);
    // The same request again has the same children; the name for something else has none.
    let again = fan
        .job
        .worker
        .ok(&spawn_op(&root, "one", &[child(2), child(1)]));
    assert_eq!(again["repeat"], true);
    assert_eq!(again["children"], json!(children));
    let other = fan.job.worker.err(&spawn_op(&root, "one", &[child(1)]));
    assert_eq!(other["reason"], "repeat_differs", "{other}");

    let leg = fan.spend(&children[0], &part(1));
    let fresh = fan.step(&leg, 1);
    assert_eq!(fresh["step"]["subject"], "spiffe://demo.test/client");
    assert_eq!(fresh["step"]["performer"], WORKER);
    assert_eq!(fresh["task"]["owner"], WORKER);
    // Its task exists: the token's repeat is told so, another request that it is spent.
    let repeat = fan.job.worker.ok(&spend_op(&children[0], &part(1)));
    assert_eq!(
        (&repeat["repeat"], &repeat["token"]),
        (&json!(true), &json!(""))
    );
    let mut twice = spend_op(&children[0], &part(1));
    twice["request_id"] = "another".into();
    assert_eq!(fan.job.worker.err(&twice)["reason"], "spent");

    let shown = fan.job.node.operator_json(&["task", "show", &children[0]]);
    assert_eq!(shown["summary"]["parent"], json!(root.task.id));
    let shown = fan.job.node.operator_json(&["task", "show", &root.task.id]);
    assert_eq!(shown["summary"]["children"], 2);
}

/// What each child asks beyond its parent, and the field that the refusal names.
fn beyond() -> Vec<(Value, &'static str)> {
    let with = |path: &[&str], value: Value| {
        let mut changed = child(1);
        let mut at = &mut changed;
        for name in path {
            at = &mut at[*name];
        }
        *at = value;
        changed
    };
    let tool = |tool: &str, audience: &str| json!([{ "audience": audience, "tool": tool }]);
    vec![
        (
            with(&["asked", "permissions"], tool("drop", TOOL)),
            "permissions",
        ),
        (
            with(&["asked", "permissions"], tool("export", WORKER)),
            "permissions",
        ),
        (with(&["call", "tool"], json!("build_report")), "call"),
        (with(&["call", "audience"], json!(TOOL)), "call"),
        (
            with(&["asked", "not_after_ms"], json!(u64::MAX)),
            "not_after_ms",
        ),
        (with(&["asked", "depth"], json!(1)), "depth"),
        (with(&["asked", "children"], json!(1)), "children"),
        (with(&["asked", "children"], json!(u32::MAX)), "children"),
        (with(&["asked", "uses"], json!(4)), "uses"),
        (with(&["asked", "uses"], json!(u32::MAX)), "uses"),
    ]
}

#[test]
fn a21_child_that_asks_for_more_than_its_parent_is_refused() {
    let mut fan = Fan::start();
    let root = fan.root(&fanning(1, 1, 3));
    for (number, (asked, field)) in beyond().into_iter().enumerate() {
        let op = spawn_op(
            &root,
            &format!("beyond {number}"),
            std::slice::from_ref(&asked),
        );
        let refused = fan.job.worker.err(&op);
        assert_eq!(refused["reason"], "narrowing", "{asked}: {refused}");
        let told = text(&refused, "message");
        assert!(
            told.starts_with(&format!("children[0].{field}:")),
            "{asked}: {told}"
        );
    }
    // One too many in one request: none is made.
    let both = [child(1), child(1)];
    let refused = fan.job.worker.err(&spawn_op(&root, "both", &both));
    assert_eq!(refused["reason"], "narrowing", "{refused}");
    // Nothing was taken by any of them: the only child that there may be gets all the steps.
    let children = fan.spawn(&root, "within", &[child(3)]);
    let leg = fan.spend(&children[0], &part(1));
    fan.step(&leg, 1);
    let none_left = fan.job.worker.err(&step_op(&root, 1, &export()));
    assert_eq!(none_left["reason"], "budget", "{none_left}");
}

#[test]
fn a21_create_that_asks_for_more_than_its_child_grant_is_refused() {
    let mut fan = Fan::start();
    let root = fan.root(&fanning(3, 2, 5));
    let children = fan.spawn(&root, "one", &[child(2)]);
    let more = [
        json!({ "permissions": [{ "audience": TOOL, "tool": "drop" }] }),
        json!({ "permissions": [], "uses": 3 }),
        json!({ "permissions": [], "children": 1 }),
        json!({ "permissions": [], "depth": 1 }),
        json!({ "permissions": [], "not_after_ms": u64::MAX }),
    ];
    for (number, asked) in more.into_iter().enumerate() {
        let mut op = spend_op(&children[0], &part(1));
        op["asked"] = asked.clone();
        op["request_id"] = format!("more {number}").into();
        let refused = fan.job.worker.err(&op);
        assert_eq!(refused["reason"], "narrowing", "{asked}: {refused}");
    }
    let mut other_tool = spend_op(&children[0], &part(1));
    other_tool["call"]["tool"] = "build_report".into();
    assert_eq!(fan.job.worker.err(&other_tool)["reason"], "narrowing");
    // The server adds nothing of its own either.
    let mut op = fan.create_op(&children[0], &part(1));
    op["own"] = json!([{ "audience": TOOL, "tool": "drop" }]);
    assert_eq!(fan.job.server.err(&op)["reason"], "grant");
    op["own"] = json!([]);
    assert_eq!(fan.job.server.ok(&op)["repeat"], false);
}

#[test]
fn a22_siblings_hands_and_tokens_are_nothing_to_each_other() {
    let mut options = Options::default();
    options.roles.push(Role::new("helper", 30_006, Row::Uid));
    let mut fan = Fan::with(&options);
    let mut helper = fan.job.node.actor_named("helper");
    helper.hand("spender");
    let root = fan.root(&fanning(2, 1, 4));
    let mut helpers = child(1);
    helpers["spender"] = "spiffe://demo.test/helper".into();
    let children = fan.spawn(&root, "two", &[child(1), helpers]);
    // Each is spent by whom it names, and by nobody else.
    assert_unknown(&helper.err(&spend_op(&children[0], &part(1))));
    assert_unknown(&fan.job.worker.err(&spend_op(&children[1], &part(2))));
    let first = fan.spend(&children[0], &part(1));
    let token = helper.ok(&spend_op(&children[1], &part(2)));
    let peer = helper.ok(&json!({ "op": "certificate", "name": "spender" }));
    let handle = Fan::handle();
    let mut op = json!({
        "op": "create", "token": token["token"], "peer": peer["certificate"], "call": part(2),
        "handle": handle, "performers": ["spiffe://demo.test/helper"],
    });
    // The sibling's handle is taken, and its call is another.
    op["handle"] = first.task.handle.clone().into();
    assert_eq!(fan.job.server.err(&op)["reason"], "handle");
    op["handle"] = handle.into();
    op["call"] = part(1);
    assert_eq!(fan.job.server.err(&op)["reason"], "call_differs");
    op["call"] = part(2);
    let created = fan.job.server.ok(&op);
    // Nor may one take the other's work up, or ask about it by its handle.
    let task = crate::job::Task::created(&created, &text(&op, "handle"));
    assert_unknown(&fan.job.worker.err(&start_op(&task, "spender")));
    assert_unknown(&helper.err(&start_op(&first.task, "spender")));
    let query = |handle: &str| json!({ "op": "issue_query", "hand": "spender", "server": SERVER, "handle": handle });
    assert_unknown(&helper.err(&query(&first.task.handle)));
    helper.ok(&query(&task.handle));
    // A step's token of one leg on the other's key.
    let started = helper.ok(&start_op(&task, "spender"));
    assert_eq!(started["leg"], 1);
    let token = fan.job.worker.ok(&step_op(&first, 1, &export()));
    let mut stolen = crate::job::check_op(&first, &text(&token, "token"));
    stolen["peer"] = peer["certificate"].clone();
    assert_eq!(fan.job.tool.ok(&stolen)["reason"], "wrong_key");
    assert_eq!(
        fan.job.check(&first, &text(&token, "token"))["answer"],
        "fresh"
    );
}

#[test]
fn a23_recursive_spawner_stops_at_its_budget() {
    let mut fan = Fan::start();
    let bystander = fan.root(&fanning(1, 1, 2));
    let bomb = fan.root(&json!({
        "permissions": [
            { "audience": TOOL, "tool": "export" }, { "audience": SERVER, "tool": "build_part" },
        ],
        "children": 20, "depth": 3,
    }));
    // Every task spawns as many and as deep as it is let, and so do its children.
    let (mut made, mut line) = (0_u64, vec![(bomb, 3_u64, 20_u64)]);
    while let Some((leg, depth, budget)) = line.pop() {
        for number in 0..budget {
            let (below, left) = (depth - 1, (budget - number).saturating_sub(1) / 2);
            let mut greedy = child(0);
            greedy["asked"] = json!({
                "permissions": [
                    { "audience": TOOL, "tool": "export" },
                    { "audience": SERVER, "tool": "build_part" },
                ],
                "depth": below, "children": if below == 0 { 0 } else { left },
            });
            let op = spawn_op(&leg, &format!("greedy {number}"), &[greedy]);
            let answer = fan.job.worker.call(&op);
            let Some(spawned) = answer.get("ok") else {
                assert_eq!(answer["err"]["reason"], "narrowing", "{answer}");
                break;
            };
            made += 1;
            let id = spawned["children"][0].as_str().unwrap().to_owned();
            let spent = fan.spend(&id, &part(made));
            if below > 0 {
                line.push((spent, below, left));
            }
        }
    }
    assert_eq!(
        made, 20,
        "as many as the root's grant said, over all generations"
    );
    // Others are not affected.
    let children = fan.spawn(&bystander, "one", &[child(1)]);
    let leg = fan.spend(&children[0], &part(0));
    fan.step(&leg, 1);
}

#[test]
fn a24_nothing_of_a_cancelled_tree_goes_on() {
    let mut fan = Fan::start();
    let root = fan.root(&fanning(4, 2, 8));
    let mut parent = child(4);
    parent["asked"] = fanning(2, 1, 4);
    let children = fan.spawn(&root, "children", &[parent, child(1)]);
    let leg = fan.spend(&children[0], &part(1));
    let grandchildren = fan.spawn(&leg, "grandchildren", &[child(1), child(1)]);
    let grandchild = fan.spend(&grandchildren[0], &part(2));
    // A token that is out, an open hold, a create token that is out, grants that are unspent.
    let token = text(
        &fan.job.worker.ok(&step_op(&grandchild, 1, &export())),
        "token",
    );
    let hold = json!({ "op": "hold", "task_id": grandchild.task.id, "leg": grandchild.number });
    fan.job.worker.ok(&hold);
    assert_eq!(fan.job.worker.event()["notice"]["kind"], "holding");
    let create = fan.create_op(&grandchildren[1], &part(3));

    assert_eq!(
        fan.job.owner("cancel", &root.task.handle)["answer"],
        "fresh"
    );

    assert_eq!(fan.job.worker.event()["notice"]["kind"], "cancelled");
    let denied = fan.job.check(&grandchild, &token);
    assert_eq!(
        (&denied["answer"], &denied["reason"]),
        (&json!("denied"), &json!("cancelled"))
    );
    for dead in [&root, &leg, &grandchild] {
        let refused = fan.job.worker.err(&step_op(dead, 2, &export()));
        assert_eq!(refused["reason"], "cancelled", "{refused}");
        let refused = fan.job.worker.err(&spawn_op(dead, "late", &[child(1)]));
        assert_eq!(refused["reason"], "cancelled", "{refused}");
        assert_eq!(
            fan.job.worker.err(&start_op(&dead.task, "worker"))["reason"],
            "cancelled"
        );
    }
    assert_eq!(fan.job.server.err(&create)["reason"], "cancelled");
    let unspent = fan.job.worker.err(&spend_op(&children[1], &part(4)));
    assert_eq!(unspent["reason"], "cancelled", "{unspent}");
    let shown = fan
        .job
        .node
        .operator_json(&["task", "show", &grandchild.task.id]);
    assert_eq!(shown["summary"]["state"], "cancelled", "{shown}");
    // Another tree goes on.
    let other = fan.root(&fanning(1, 1, 1));
    fan.step(&other, 1);
}

#[test]
fn a39_a_token_that_a_server_forwards_is_nothing_at_a_tool() {
    let mut fan = Fan::start();
    let root = fan.root(&fanning(1, 1, 3));
    let children = fan.spawn(&root, "one", &[child(1)]);
    // The server has the child's create token, and the key of its own connection to the tool.
    let create = fan.create_op(&children[0], &part(1));
    let own = fan.job.server.hand("own");
    for peer in [&create["peer"], &json!(own)] {
        let forwarded = json!({
            "op": "check_step", "token": create["token"], "peer": peer, "call": export(),
        });
        let denied = fan.job.tool.ok(&forwarded);
        assert_eq!(denied["answer"], "denied", "{denied}");
    }
    // Nor may it use a step's token that reached it as the tool.
    let step = text(&fan.job.worker.ok(&step_op(&root, 1, &part(7))), "token");
    let mut at_server = crate::job::check_op(&root, &step);
    at_server["call"] = part(7);
    let mut at_tool = at_server.clone();
    at_tool["peer"] = own.into();
    assert_eq!(fan.job.tool.ok(&at_tool)["answer"], "denied");
    assert_eq!(fan.job.server.ok(&at_server)["answer"], "fresh");
    // Downstream it takes a child task of its own.
    assert_eq!(fan.job.server.ok(&create)["repeat"], false);
}

/// May export these tables, a thousand rows at most, into this folder.
fn constrained() -> Value {
    json!({ "permissions": [{
        "audience": TOOL, "tool": "export", "members": [
            { "name": "table", "required": true, "one_of": ["\"sales\"", "\"returns\""] },
            { "name": "rows", "range": { "min": "1", "max": "1000" } },
            { "name": "into", "path": "/exports/2026" },
        ],
    }] })
}

fn exporting(arguments: &Value) -> Value {
    json!({ "audience": TOOL, "tool": "export", "arguments": arguments })
}

#[test]
fn a50_injected_arguments_outside_the_constraint_are_refused() {
    let mut fan = Fan::start();
    let root = fan.root(&constrained());
    let injected = [
        json!({ "table": "wages" }),
        json!({ "table": "sales", "rows": 1001 }),
        json!({ "table": "sales", "rows": 0.5 }),
        json!({ "table": "sales", "rows": "10" }),
        json!({ "table": "sales", "into": "/exports/2026/../../etc" }),
        json!({ "table": "sales", "into": "/exports/20261" }),
        json!({ "table": "sales", "into": "/exports/2026/%2e%2e/x" }),
        json!({ "table": "sales", "to": "mallory" }),
        json!({ "table": ["sales"] }),
        json!({ "rows": 10 }),
        json!(["sales"]),
    ];
    for arguments in injected {
        let refused = fan
            .job
            .worker
            .err(&step_op(&root, 1, &exporting(&arguments)));
        assert_eq!(refused["reason"], "grant", "{arguments}: {refused}");
    }
    let inside = json!({ "table": "sales", "rows": 1000, "into": "/exports/2026/q3" });
    let token = text(
        &fan.job.worker.ok(&step_op(&root, 1, &exporting(&inside))),
        "token",
    );
    // At the tool too: the call must be the token's, and within the grant.
    let mut check = crate::job::check_op(&root, &token);
    check["call"] = exporting(&json!({ "table": "wages" }));
    assert_eq!(fan.job.tool.ok(&check)["reason"], "call_differs");
    check["call"] = exporting(&inside);
    assert_eq!(fan.job.tool.ok(&check)["answer"], "fresh");
}

#[test]
fn a50_a_number_that_two_texts_share_is_no_argument() {
    let mut fan = Fan::start();
    let root = fan.root(&fanning(2, 1, 2));
    let exact = |arguments: &str| {
        let mut asked = child(1);
        asked["asked"]["permissions"][0]["arguments"] = arguments.into();
        asked
    };
    let op = spawn_op(&root, "inexact", &[exact("{\"account\":9007199254740993}")]);
    let refused = fan.job.worker.err(&op);
    assert_eq!(refused["code"], "InvalidArgument", "{refused}");
    let told = text(&refused, "message");
    assert!(
        told.starts_with("children[0].asked.permissions[0].arguments"),
        "{told}"
    );
    let children = fan.spawn(&root, "exact", &[exact("{\"account\":9007199254740992}")]);
    let leg = fan.spend(&children[0], &part(1));
    let other = exporting(&json!({ "account": 9_007_199_254_740_990_u64 }));
    assert_eq!(
        fan.job.worker.err(&step_op(&leg, 1, &other))["reason"],
        "grant"
    );
    let same = exporting(&json!({ "account": 9_007_199_254_740_992_u64 }));
    fan.job.worker.ok(&step_op(&leg, 1, &same));
}
