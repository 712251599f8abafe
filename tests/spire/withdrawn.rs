//! A registration entry is deleted: a worker's in mid-leg, and the agent's own.

use crate::cast::{Cast, end, hold, issue, start};
use crate::world::{Setup, World, number, ready};
use std::time::{Duration, Instant};

/// `spiffe.reattest_interval`, and SPIRE's way from server to agent, about 3 s.
const WITHDRAWN_WITHIN: Duration = Duration::from_secs(13);
/// What a loaded machine may add.
const SLOW: Duration = Duration::from_secs(10);

#[test]
fn a33_a_leg_ends_with_the_registration_entry_of_its_worker() {
    let Some(programs) = ready() else {
        return;
    };
    let mut world = World::start(&programs, Setup::default());
    let mut cast = Cast::start(&world);
    let task = cast.create("withdrawn");
    let leg = start(&mut cast.worker, &task).expect("a leg");
    hold(&mut cast.worker, &leg).expect("a hold");
    cast.effect(&leg, 1);
    let step = issue(&mut cast.worker, &leg, 2).expect("a step's token");

    world.withdraw("worker");
    let withdrawn = Instant::now();
    let said = cast.worker.notice(WITHDRAWN_WITHIN + SLOW);
    assert_eq!(
        said.as_deref(),
        Some("revoked"),
        "after {:?}",
        withdrawn.elapsed()
    );
    let denied = cast.check(&step).expect("an answer");
    assert_eq!(
        denied["answer"], "denied",
        "the token died with the leg: {denied}"
    );
    for no in [
        issue(&mut cast.worker, &leg, 2).unwrap_err(),
        start(&mut cast.worker, &task).unwrap_err(),
        end(&mut cast.worker, &leg, "completed").unwrap_err(),
    ] {
        assert!(no.is("Unauthenticated", "no_identity"), "{no:?}");
    }
    let read = cast.query(&task).expect("a query");
    assert_eq!(read["task"]["state"], "working", "the task goes on: {read}");

    world.register("worker", &format!("unix:gid:{}", number("worker")));
    let leg = world.wait_for("the new entry", || start(&mut cast.worker, &task).ok());
    assert_eq!(leg.number, 2);
    cast.effect(&leg, 2);
}

#[test]
fn without_its_own_entry_the_agent_is_not_ready_and_decides_nothing() {
    own_entry("broker");
}

#[test]
fn without_its_own_entry_the_agent_is_no_delegate_and_decides_nothing() {
    own_entry("delegated");
}

fn own_entry(attestation: &'static str) {
    let Some(programs) = ready() else {
        return;
    };
    let setup = Setup {
        attestation,
        settings: &["spiffe.reattest_interval = '1s'"],
        ..Setup::default()
    };
    let mut world = World::start(&programs, setup);
    let mut cast = Cast::start(&world);
    let task = cast.create("own");
    let leg = start(&mut cast.worker, &task).expect("a leg");
    hold(&mut cast.worker, &leg).expect("a hold");
    cast.query(&task).expect("a query");

    world.withdraw("handfast/agent");
    world.wait_for("the withdrawal", || (!world.is_ready()).then_some(()));
    for (what, answer) in [
        ("Issue(create)", cast.ask_create("none").err()),
        ("Start", start(&mut cast.worker, &task).err()),
        ("Issue(step)", issue(&mut cast.worker, &leg, 1).err()),
        ("query", cast.query(&task).err()),
    ] {
        let no = answer.expect(what);
        assert!(no.is_unavailable(), "{what}: {no:?}");
    }
    // Long enough for the agent to ask about the holder of the leg, in vain.
    let said = cast.worker.notice(Duration::from_secs(4));
    assert_eq!(said, None, "nobody refused the worker");

    world.register(
        "handfast/agent",
        &format!("unix:uid:{}", crate::world::AGENT),
    );
    world.wait_until_ready();
    world.wait_for("a query", || cast.query(&task).ok());
    cast.effect(&leg, 1);
    assert_eq!(cast.worker.notice(Duration::ZERO), None, "the leg stays");
}
