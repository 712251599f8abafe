//! SVIDs are renewed, each time with a new key, while a task is carried out.

use crate::cast::{Cast, hold, issue, start};
use crate::support::Options;
use crate::world::{Setup, World, number, ready};
use std::time::{Duration, Instant};

/// Life of every SVID in this test; SPIRE renews them at about half of it.
const TTL: Duration = Duration::from_secs(20);

#[test]
fn a16_a_leg_and_its_tokens_outlive_every_svid_of_the_task() {
    let Some(programs) = ready() else {
        return;
    };
    let setup = Setup {
        spire: Options {
            x509_svid_ttl: TTL,
            ..Options::default()
        },
        ..Setup::default()
    };
    let world = World::start(&programs, setup);
    let mut cast = Cast::start(&world);
    let svid = |role| world.svid(role, number(role));
    let begun = Instant::now();
    let first = (svid("worker"), svid("tool"));
    let task = cast.create("a16");
    let leg = start(&mut cast.worker, &task).expect("a leg");
    hold(&mut cast.worker, &leg).expect("a hold");
    cast.effect(&leg, 1);

    // A token from before the rotation, used after it.
    let step = issue(&mut cast.worker, &leg, 2).expect("a step's token");
    let rotated = world.wait_for("new SVIDs", || {
        let now = (svid("worker"), svid("tool"));
        let both = now.0 != first.0 && now.1 != first.1;
        both.then_some(now)
    });
    for (before, after) in [(&first.0, &rotated.0), (&first.1, &rotated.1)] {
        assert_ne!(before["x509_svid_key"], after["x509_svid_key"], "a new key");
    }
    let fresh = cast.check(&step).expect("an answer");
    assert_eq!(fresh["answer"], "fresh", "{fresh}");
    crate::cast::report_by(&mut cast.tool, &task.id, &fresh).expect("a report");

    // Every SVID of the beginning has expired, the agent's own too.
    world.wait_for("the end of the first SVIDs", || {
        assert!(world.is_ready(), "rotation is no interruption");
        (begun.elapsed() > TTL + Duration::from_secs(2)).then_some(())
    });
    assert_eq!(cast.worker.notice(Duration::ZERO), None, "the leg stays");
    cast.effect(&leg, 3);
    let read = cast.query(&task).expect("a query");
    assert_eq!(read["task"]["state"], "working", "{read}");
}
