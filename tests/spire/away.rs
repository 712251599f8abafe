//! SPIRE's agent is away: what each call answers meanwhile, and that nothing is lost by it.

use crate::actor::No;
use crate::cast::{Cast, check_by, end, hold, issue, issue_name, report_by, start};
use crate::world::{Setup, World, ready};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// `spiffe.reattest_interval`, at its default.
const REATTEST: Duration = Duration::from_secs(10);

#[test]
fn without_spires_agent_reads_go_on_for_ten_seconds_and_legs_stay() {
    let Some(programs) = ready() else {
        return;
    };
    let mut world = World::start(&programs, Setup::default());
    let mut cast = Cast::start(&world);
    let (task, other) = (cast.create("away"), cast.create("other"));
    let leg = start(&mut cast.worker, &task).expect("a leg");
    hold(&mut cast.worker, &leg).expect("a hold");
    let create_token = cast.ask_create("late").expect("a create token");
    let cancel_token = issue_name(&mut cast.owner, "issue_cancel", &other).expect("a token");
    let step = issue(&mut cast.worker, &leg, 1).expect("a step's token");
    let me = cast.tool.must("whoami", json!({}));
    assert_eq!(
        me["assurance"], "process",
        "SPIRE has just answered about the tool"
    );

    world.spire.stop_agent();
    let stopped = Instant::now();
    // Reads, and the tool's calls about a token that is out already.
    let read = cast.query(&task).expect("a query");
    assert_eq!(read["answer"], "read", "{read}");
    cast.server.must("get", json!({ "task_id": task.id }));
    let fresh = check_by(&mut cast.tool, &step).expect("an answer");
    assert_eq!(fresh["answer"], "fresh", "{fresh}");
    let state = report_by(&mut cast.tool, &task.id, &fresh).expect("a report");
    assert_eq!(state["state"], "done");
    hold(&mut cast.worker, &leg).expect("a second hold");
    let cancelled = cast
        .check_name("check_cancel", &other, &cancel_token)
        .expect("an answer");
    assert_eq!(cancelled["answer"], "fresh", "{cancelled}");
    assert!(
        stopped.elapsed() < REATTEST,
        "this machine is too slow for the test"
    );
    // Whatever begins or ends something.
    let finish = json!({ "task_id": task.id, "request_id": "finish", "leg_fence": leg.fence });
    for (what, answer) in [
        ("Issue(create)", cast.ask_create("none")),
        (
            "Create",
            cast.register("late", &create_token)
                .map(|_task| Value::Null),
        ),
        (
            "Issue(cancel)",
            issue_name(&mut cast.owner, "issue_cancel", &task),
        ),
        (
            "Start",
            start(&mut cast.worker, &task).map(|_leg| Value::Null),
        ),
        (
            "Issue(step)",
            issue(&mut cast.worker, &leg, 2).map(|_step| Value::Null),
        ),
        ("End", end(&mut cast.worker, &leg, "yielded")),
        ("Finish", cast.server.ask("finish", finish)),
    ] {
        let no = answer.expect_err(what);
        assert!(no.is_unavailable(), "{what}: {no:?}");
    }
    let me = cast.worker.must("whoami", json!({}));
    assert_eq!(me["spiffe_ids"], json!([]), "{me}");

    // An answer lives for ten seconds at most: about none of them was SPIRE asked after the stop.
    world.wait_for("the end of SPIRE's last answers", || {
        cast.query(&task)
            .is_err_and(|no| no.is_unavailable())
            .then_some(())
    });
    assert!(
        stopped.elapsed() < REATTEST + Duration::from_secs(5),
        "{:?}",
        stopped.elapsed()
    );
    let silent = |what: &str, answer: Result<Value, No>| {
        let no = answer.expect_err(what);
        assert!(no.is_unavailable(), "{what}: {no:?}");
    };
    world.wait_for("the end of the answer about the server", || {
        cast.server.ask("get", json!({ "task_id": task.id })).err()
    });
    silent(
        "Check(cancel)",
        cast.check_name("check_cancel", &other, &cancel_token),
    );
    world.wait_for("the end of the answer about the tool", || {
        check_by(&mut cast.tool, &step).err()
    });
    silent("Report", report_by(&mut cast.tool, &task.id, &fresh));
    silent("Hold", hold(&mut cast.worker, &leg).map(|()| Value::Null));
    assert_eq!(cast.worker.notice(Duration::ZERO), None, "the leg stays");

    world.restart_spire_agent();
    let step = world.wait_for("SPIRE's answer", || issue(&mut cast.worker, &leg, 2).ok());
    let fresh = world.wait_for("SPIRE's answer about the tool", || cast.check(&step).ok());
    assert_eq!(fresh["answer"], "fresh", "the same leg: {fresh}");
    assert_eq!(cast.worker.notice(Duration::ZERO), None, "the leg stays");
    let again = world.wait_for("a task", || cast.register("late", &create_token).ok());
    start(&mut cast.worker, &again).expect("a leg of the task that had to wait");
    assert!(world.is_ready());
}

#[test]
fn a_hanging_spire_agent_is_as_good_as_none_and_holds_nobody_up() {
    let Some(programs) = ready() else {
        return;
    };
    let world = World::start(&programs, Setup::default());
    let mut cast = Cast::start(&world);
    let task = cast.create("hanging");
    let leg = start(&mut cast.worker, &task).expect("a leg");
    hold(&mut cast.worker, &leg).expect("a hold");
    cast.query(&task).expect("a query");

    world.spire.hang_agent(true);
    let hung = Instant::now();
    let read = cast.query(&task).expect("a query");
    assert_eq!(read["answer"], "read", "{read}");
    let asked = Instant::now();
    let no = issue(&mut cast.worker, &leg, 1).unwrap_err();
    assert!(no.is_unavailable(), "{no:?}");
    // `spiffe.deadline` twice and once more for the queue, and what a loaded machine adds.
    assert!(
        asked.elapsed() < Duration::from_secs(6 + 5),
        "{:?}",
        asked.elapsed()
    );
    world.wait_for("the end of SPIRE's last answer", || {
        (hung.elapsed() > REATTEST + Duration::from_secs(1)).then_some(())
    });
    let no = cast.query(&task).unwrap_err();
    assert!(no.is_unavailable(), "{no:?}");

    world.spire.hang_agent(false);
    world.wait_for("SPIRE's answer", || cast.query(&task).ok());
    cast.effect(&leg, 1);
    assert_eq!(cast.worker.notice(Duration::ZERO), None, "the leg stays");
}
