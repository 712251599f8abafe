//! SPIRE's agent is away: what each call answers meanwhile, and that nothing is lost by it.

use crate::actor::{Actor, No};
use crate::cast::{Cast, Leg, Step, Task, end, hold, issue, issue_name, report_by, start};
use crate::world::{Setup, World, number, ready};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// `spiffe.reattest_interval`, at its default.
const REATTEST: Duration = Duration::from_secs(10);

/// What there is when SPIRE goes away.
struct Stage {
    task: Task,
    other: Task,
    leg: Leg,
    create_token: Value,
    cancel_token: Value,
    step: Step,
}

impl Stage {
    fn set(cast: &mut Cast) -> Self {
        let (task, other) = (cast.create("away"), cast.create("other"));
        let leg = start(&mut cast.worker, &task).expect("a leg");
        hold(&mut cast.worker, &leg).expect("a hold");
        let cancel = issue_name(&mut cast.owner, "issue_cancel", &other);
        Self {
            create_token: cast.ask_create("late").expect("a create token"),
            cancel_token: cancel.expect("a cancel token"),
            step: issue(&mut cast.worker, &leg, 1).expect("a step's token"),
            task,
            other,
            leg,
        }
    }
}

#[test]
fn without_spires_agent_reads_go_on_for_ten_seconds_and_legs_stay() {
    let Some(programs) = ready() else {
        return;
    };
    let mut world = World::start(&programs, Setup::default());
    let mut cast = Cast::start(&world);
    let stage = Stage::set(&mut cast);
    let me = cast.tool.must("whoami", json!({}));
    assert_eq!(
        me["assurance"], "process",
        "SPIRE has just answered about the tool"
    );

    world.spire.stop_agent();
    let stopped = Instant::now();
    let fresh = reads_go_on(&mut cast, &stage);
    assert!(
        stopped.elapsed() < REATTEST,
        "this machine is too slow for the test"
    );
    nothing_begins_or_ends(&mut cast, &stage);
    // An answer lives for ten seconds at most, and SPIRE was asked about nobody after the stop.
    world.wait_for("the end of SPIRE's answers", || {
        (stopped.elapsed() > REATTEST + Duration::from_secs(1)).then_some(())
    });
    nothing_is_answered(&mut cast, &stage, &fresh);
    assert_eq!(cast.worker.notice(Duration::ZERO), None, "the leg stays");

    world.restart_spire_agent();
    let Stage { leg, .. } = &stage;
    let step = world.wait_for("SPIRE", || issue(&mut cast.worker, leg, 2).ok());
    let fresh = world.wait_for("SPIRE", || cast.check(&step).ok());
    assert_eq!(fresh["answer"], "fresh", "the same leg: {fresh}");
    assert_eq!(cast.worker.notice(Duration::ZERO), None, "the leg stays");
    let late = world.wait_for("SPIRE", || cast.register("late", &stage.create_token).ok());
    start(&mut cast.worker, &late).expect("a leg of the task that had to wait");
    assert!(world.is_ready());
}

/// Reads, and whatever is asked about a token that is out already.
fn reads_go_on(cast: &mut Cast, stage: &Stage) -> Value {
    let Stage {
        task, other, leg, ..
    } = stage;
    let read = cast.query(task).expect("a query");
    assert_eq!(read["answer"], "read", "{read}");
    cast.server.must("get", json!({ "task_id": task.id }));
    let fresh = cast.check(&stage.step).expect("an answer");
    assert_eq!(fresh["answer"], "fresh", "{fresh}");
    let report = report_by(&mut cast.tool, &task.id, &fresh).expect("a report");
    assert_eq!(report["state"], "done");
    hold(&mut cast.worker, leg).expect("a second hold");
    let cancelled = cast.check_name("check_cancel", other, &stage.cancel_token);
    let cancelled = cancelled.expect("an answer");
    assert_eq!(cancelled["answer"], "fresh", "{cancelled}");
    fresh
}

fn nothing_begins_or_ends(cast: &mut Cast, stage: &Stage) {
    let Stage { task, leg, .. } = stage;
    let finish = json!({ "task_id": task.id, "request_id": "finish", "leg_fence": leg.fence });
    let registered = cast.register("late", &stage.create_token);
    for (what, answer) in [
        ("Issue(create)", cast.ask_create("none").err()),
        ("Create", registered.err()),
        (
            "Issue(cancel)",
            issue_name(&mut cast.owner, "issue_cancel", task).err(),
        ),
        ("Start", start(&mut cast.worker, task).err()),
        ("Issue(step)", issue(&mut cast.worker, leg, 2).err()),
        ("End", end(&mut cast.worker, leg, "yielded").err()),
        ("Finish", cast.server.ask("finish", finish).err()),
    ] {
        assert!(
            answer.as_ref().is_some_and(No::is_unavailable),
            "{what}: {answer:?}"
        );
    }
    let me = cast.worker.must("whoami", json!({}));
    assert_eq!(me["spiffe_ids"], json!([]), "{me}");
}

fn nothing_is_answered(cast: &mut Cast, stage: &Stage, fresh: &Value) {
    let Stage {
        task, other, leg, ..
    } = stage;
    for (what, answer) in [
        ("Issue(query)", cast.query(task).err()),
        (
            "Get",
            cast.server.ask("get", json!({ "task_id": task.id })).err(),
        ),
        (
            "Check(cancel)",
            cast.check_name("check_cancel", other, &stage.cancel_token)
                .err(),
        ),
        ("Check(step)", cast.check(&stage.step).err()),
        ("Report", report_by(&mut cast.tool, &task.id, fresh).err()),
        ("Hold", hold(&mut cast.worker, leg).err()),
    ] {
        assert!(
            answer.as_ref().is_some_and(No::is_unavailable),
            "{what}: {answer:?}"
        );
    }
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

#[test]
fn an_agent_that_starts_before_spires_waits_and_then_gives_the_leg_back() {
    let Some(programs) = ready() else {
        return;
    };
    let mut world = World::start(&programs, Setup::default());
    let mut cast = Cast::start(&world);
    let task = cast.create("before");
    let leg = start(&mut cast.worker, &task).expect("a leg");
    cast.effect(&leg, 1);
    let mut twin = Actor::start(&world, "worker", number("worker"));
    let no = start(&mut twin, &task).unwrap_err();
    assert!(no.is("FailedPrecondition", "held"), "{no:?}");

    world.kill_agent();
    world.spire.stop_agent();
    world.start_agent();
    world.wait_for("its word about what it waits for", || {
        let waits = world.log().contains("not ready: waiting for an identity");
        waits.then_some(())
    });
    assert!(!world.is_ready());
    for (what, answer) in [
        ("query", cast.query(&task).err()),
        ("Start", start(&mut cast.worker, &task).err()),
    ] {
        assert!(
            answer.as_ref().is_some_and(No::is_unavailable),
            "{what}: {answer:?}"
        );
    }

    world.restart_spire_agent();
    world.wait_until_ready();
    let no = start(&mut twin, &task).unwrap_err();
    assert!(no.is("FailedPrecondition", "held"), "{no:?}");
    let again = start(&mut cast.worker, &task).expect("the leg");
    assert_eq!(again.number, leg.number);
    assert!(again.fence > leg.fence, "{again:?}");
    cast.effect(&again, 2);
}
