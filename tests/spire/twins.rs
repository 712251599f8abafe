//! Processes that SPIRE cannot tell apart: one registration entry, one SVID, one private key.

use crate::actor::Actor;
use crate::cast::{
    Cast, ask_create_by, check_by, end, hold, issue, issue_name, report_by, start, wait_until_known,
};
use crate::person::{Provider, TABLE};
use crate::twin_rows::{
    Table, WANTS_CONSENT, approvers_calls, methods, owners_calls, points_calls, servers_calls,
    spawners_call, workers_calls,
};
use crate::world::{STRANGER, Setup, World, number, ready};
use serde_json::json;
use std::fs;

#[test]
fn a02_of_two_workers_with_one_svid_one_has_the_leg_and_the_other_waits() {
    let Some(programs) = ready() else {
        return;
    };
    let setup = Setup {
        settings: &["tasks.lease_idle = '3s'"],
        ..Setup::default()
    };
    let world = World::start(&programs, setup);
    let mut cast = Cast::start(&world);
    let worker = |user| Actor::start(&world, "worker", user);
    let own = number("worker");
    let (mut second, mut stranger) = (worker(own), worker(STRANGER));

    let svid = world.svid("worker", own);
    assert!(svid["x509_svid_key"].is_string(), "{svid}");
    assert_eq!(world.svid("worker", own), svid, "of another process");
    assert_eq!(world.svid("worker", STRANGER), svid, "of another user");

    let task = cast.create("a02");
    let leg = start(&mut cast.worker, &task).expect("leg 1");
    hold(&mut cast.worker, &leg).expect("a hold");
    cast.effect(&leg, 1);
    let no = start(&mut second, &task).unwrap_err();
    assert!(no.is("FailedPrecondition", "held"), "{no:?}");
    let no = issue(&mut second, &leg, 2).unwrap_err();
    assert!(no.is("FailedPrecondition", "no_leg"), "{no:?}");
    for refused in [
        start(&mut stranger, &task).unwrap_err(),
        issue(&mut stranger, &leg, 2).unwrap_err(),
        hold(&mut stranger, &leg).unwrap_err(),
        end(&mut stranger, &leg, "yielded").unwrap_err(),
    ] {
        assert!(refused.is_unknown_task(), "{refused:?}");
    }
    cast.effect(&leg, 2);

    // The first exits.
    drop(std::mem::replace(&mut cast.worker, worker(own)));
    let leg = world.wait_for("the exit", || start(&mut second, &task).ok());
    assert_eq!(leg.number, 2);
    hold(&mut second, &leg).expect("a hold");
    let no = start(&mut cast.worker, &task).unwrap_err();
    assert!(no.is("FailedPrecondition", "held"), "{no:?}");
    assert!(start(&mut stranger, &task).unwrap_err().is_unknown_task());

    // The second ends.
    end(&mut second, &leg, "yielded").expect("the end");
    let leg = start(&mut cast.worker, &task).expect("leg 3");
    cast.effect(&leg, 3);

    // The third does nothing for `lease_idle`.
    let leg = world.wait_for("the idle lease", || start(&mut second, &task).ok());
    assert_eq!(leg.number, 4);
    end(&mut second, &leg, "completed").expect("the end");
}

const APPROVER: &str = "
[[approver]]
spiffe_id = 'spiffe://example.org/approver'
";

/// Processes with a role's SVID, each under one of these users.
fn twins(world: &World, role: &str, users: &[u32]) -> Vec<Actor> {
    let twin = |user: &u32| {
        let mut twin = Actor::start(world, role, *user);
        let me = twin.must("whoami", json!({}));
        let id = format!("spiffe://example.org/{role}");
        assert_eq!(me["spiffe_ids"], json!([id]), "it has the same SVID");
        twin.hand("o");
        twin.hand("w");
        twin
    };
    users.iter().map(twin).collect()
}

#[test]
fn a55_a_twin_of_any_role_gets_nowhere_with_any_call() {
    let Some(programs) = ready() else {
        return;
    };
    let setup = Setup {
        pinned: &["owner", "server"],
        tables: format!("{APPROVER}{TABLE}"),
        policy: WANTS_CONSENT,
        ..Setup::default()
    };
    let world = World::start(&programs, setup);
    let provider = Provider::new();
    fs::write(world.folder().join("jwks.json"), provider.jwks()).expect("jwks.json");
    let mut cast = Cast::start(&world);
    let mut approver = Actor::start(&world, "approver", number("approver"));
    wait_until_known(&world, &mut approver);
    // Another user with the same SVID; and, where a role is one process, another process of the same user.
    let mut owners = twins(&world, "owner", &[STRANGER, number("owner")]);
    let mut servers = twins(&world, "server", &[STRANGER, number("server")]);
    let mut workers = twins(&world, "worker", &[STRANGER]);
    let mut tools = twins(&world, "tool", &[STRANGER]);
    let mut approvers = twins(&world, "approver", &[STRANGER]);

    let create_token = cast.ask_create("a55").expect("a create token");
    let no = ask_create_by(&mut owners[0], "a55").unwrap_err();
    assert!(no.is("PermissionDenied", "workload_row"), "{no:?}");
    let task = cast.register("a55", &create_token).expect("a task");
    let leg = start(&mut cast.worker, &task).expect("a leg");
    hold(&mut cast.worker, &leg).expect("a hold");
    let finished = cast.create("a55-finished");
    let mut table = Table::default();
    for op in ["issue_query", "issue_cancel"] {
        let pair = (owners.as_mut_slice(), &mut cast.owner);
        table.row("Requests.Issue", pair, &|owner| {
            issue_name(owner, op, &task)
        });
    }

    let pair = (workers.as_mut_slice(), &mut cast.worker);
    let step = workers_calls(&mut table, (&task, &leg), pair);
    let pair = (tools.as_mut_slice(), &mut cast.tool);
    let fresh = table.row("Enforcement.Check", pair, &|tool| check_by(tool, &step));
    assert_eq!(fresh["answer"], "fresh", "{fresh}");
    let pair = (tools.as_mut_slice(), &mut cast.tool);
    table.row("Enforcement.Report", pair, &|tool| {
        report_by(tool, &task.id, &fresh)
    });
    owners_calls(&mut table, &mut owners, &mut cast);
    spawners_call(&mut table, &mut workers, &mut cast);
    points_calls(&mut table, (&mut tools, &mut cast.tool));
    let pair = (approvers.as_mut_slice(), &mut approver);
    approvers_calls(&mut table, pair, &mut cast, &provider);
    servers_calls(
        &mut table,
        &mut servers,
        &mut cast,
        (&create_token, &task, &finished),
    );
    assert_eq!(table.tried, methods(), "a method without a row");
}
