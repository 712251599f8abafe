//! Every state against every command, decided by the rules and printed into `docs/states.md`.
//!
//! `UPDATE_DOCS=1` writes the page; without it a stale page fails.

use crate::fixture::{World, permit, second_worker, tool, twin, worker};
use crate::task_table::{self, Cell, finished, table, waiting};
use handfast::domain::decide::check::StepChecked;
use handfast::domain::decide::end::{self, Ending, LegEnding};
use handfast::domain::decide::report::Outcome;
use handfast::domain::decide::step::StepAsked;
use handfast::domain::denial::Reason;
use handfast::domain::evidence::Evidence;
use handfast::domain::id::{Epoch, LegNumber};
use handfast::domain::role::{AsPerformer, Held};
use handfast::domain::step::StepState;

pub(crate) fn started(world: &mut World, who: &Evidence) -> Result<String, Reason> {
    world.start(who).map(|started| {
        if started.reattached {
            format!("re-attach: same leg, fence {}", started.fence.0)
        } else {
            format!("leg {}, fence {}", started.leg.0, started.fence.0)
        }
    })
}

fn step(world: &mut World, who: &Evidence, number: u32, rest: (u8, u8)) -> Result<String, Reason> {
    let leg = world.lineage.known(&world.now())?.legs.0.max(1);
    world
        .issue(who, (leg, number), rest)
        .map(|asked| match asked {
            StepAsked::Issue { claims, .. } => {
                format!(
                    "issued ({}), fence {}",
                    claims.operation.name(),
                    claims.fence.0
                )
            }
            StepAsked::Pending { .. } => "pending approval".to_owned(),
            StepAsked::Repeat(state) => format!("repeat {}", word(state)),
        })
}

fn ended_by_holder(world: &mut World, ending: LegEnding) -> Result<String, Reason> {
    let task = world.lineage.known(&world.now())?;
    let held = Held::<AsPerformer>::check(task, &worker())?;
    end::end(task, &held, (LegNumber(1), ending), &permit(), &world.now())
        .map(|done| format!("leg ends, task {}", task_table::word(done.effect)))
}

pub(crate) fn word(state: StepState) -> &'static str {
    match state {
        StepState::Issued => "issued",
        StepState::Used => "running",
        StepState::Done => "done",
        StepState::NotDone => "not_done",
        StepState::Unknown => "unknown",
        StepState::Void => "void",
    }
}

fn leg_up() -> World {
    let mut world = World::new();
    world.start(&worker()).unwrap();
    world
}

fn suspended() -> World {
    let mut world = leg_up();
    world.epoch = Epoch(2);
    world
}

fn ended_after_leg() -> World {
    let mut world = leg_up();
    let revoked = end::revoke(world.task(), &world.now());
    world.apply(revoked);
    world
}

/// A leg whose step 1 is in the named state.
fn step_in(state: StepState) -> World {
    let mut world = leg_up();
    let token = world.token(1);
    if state == StepState::Void {
        world.later(30_000);
        return world;
    }
    if state == StepState::Issued {
        return world;
    }
    world.check(&tool(), &token, 1).unwrap();
    match state {
        StepState::Done => drop(world.report(&token, Outcome::Done).unwrap()),
        StepState::NotDone => drop(world.report(&token, Outcome::NotDone).unwrap()),
        StepState::Unknown => drop(world.report(&token, Outcome::Unknown).unwrap()),
        StepState::Issued | StepState::Used | StepState::Void => {}
    }
    world
}

/// The token of step 1, as the worker had it.
fn first_token(world: &World) -> handfast::domain::decide::Presented {
    let mut again = leg_up();
    let token = again.token(1);
    assert!(world.records.iter().any(|row| row.jti == token.claims.jti));
    token
}

fn at_tool(world: &mut World, who: &Evidence, arguments: u8) -> Result<String, Reason> {
    let token = first_token(world);
    world
        .check(who, &token, arguments)
        .map(|answer| match answer {
            StepChecked::Fresh(_) => "used, `fresh`".to_owned(),
            StepChecked::Repeat(state) => format!("repeat {}", word(state)),
        })
}

fn reported(world: &mut World, outcome: Outcome) -> Result<String, Reason> {
    let token = first_token(world);
    world
        .report(&token, outcome)
        .map(|state| word(state).to_owned())
}

fn leg_table() -> String {
    let columns = vec![
        ("no leg", World::new()),
        ("no leg, input_required", waiting(World::new())),
        ("live", leg_up()),
        ("live, input_required", waiting(leg_up())),
        ("suspended", suspended()),
        ("task terminal", ended_after_leg()),
    ];
    let rows: [(&str, Cell); 12] = [
        ("Start by the holder's process", |w| started(w, &worker())),
        ("Start by another process of the performer", |w| {
            started(w, &second_worker())
        }),
        ("the same, holder gone or window over", |w| {
            w.holder_may_act = false;
            started(w, &second_worker())
        }),
        ("Start by a twin without the evidence", |w| {
            started(w, &twin())
        }),
        ("Issue step 1", |w| step(w, &worker(), 1, (1, 1))),
        ("Issue step 1 by another process of the performer", |w| {
            step(w, &second_worker(), 1, (1, 1))
        }),
        ("Issue step 1 by a twin", |w| step(w, &twin(), 1, (1, 1))),
        ("Issue step 2", |w| step(w, &worker(), 2, (1, 1))),
        ("End yielded", |w| ended_by_holder(w, LegEnding::Yielded)),
        ("End completed", |w| {
            ended_by_holder(w, LegEnding::Task(Ending::Completed))
        }),
        ("Finish without fence", |w| finished(w, None)),
        ("Finish with the fence of the last Start", |w| {
            let fence = w.task().leg.as_ref().map(|leg| leg.fence);
            finished(w, fence)
        }),
    ];
    table("Leg", &columns, &rows)
}

fn step_table() -> String {
    let columns = vec![
        ("issued", step_in(StepState::Issued)),
        ("used", step_in(StepState::Used)),
        ("done", step_in(StepState::Done)),
        ("not_done", step_in(StepState::NotDone)),
        ("unknown", step_in(StepState::Unknown)),
        ("expired", step_in(StepState::Void)),
    ];
    let rows: [(&str, Cell); 18] = [
        ("Check, all right", |w| at_tool(w, &tool(), 1)),
        ("Check, other arguments", |w| at_tool(w, &tool(), 2)),
        ("Check by another caller", |w| at_tool(w, &worker(), 1)),
        ("Check while the task waits for input", |w| {
            *w = waiting(w.clone());
            at_tool(w, &tool(), 1)
        }),
        ("Check after cancel", |w| {
            let revoked = end::revoke(w.task(), &w.now());
            w.apply(revoked);
            at_tool(w, &tool(), 1)
        }),
        ("Check after the leg ended", |w| {
            let lost = handfast::domain::decide::leg::lose(w.task(), LegNumber(1));
            w.apply(lost);
            at_tool(w, &tool(), 1)
        }),
        ("Check after re-attachment", |w| {
            w.start(&worker())?;
            at_tool(w, &tool(), 1)
        }),
        ("Check after a restart", |w| {
            w.epoch = Epoch(2);
            at_tool(w, &tool(), 1)
        }),
        ("Check past `exp`", |w| {
            w.later(30_000);
            at_tool(w, &tool(), 1)
        }),
        ("Report done", |w| reported(w, Outcome::Done)),
        ("Report not_done", |w| reported(w, Outcome::NotDone)),
        ("Report unknown", |w| reported(w, Outcome::Unknown)),
        ("Report done, after cancel", |w| {
            let revoked = end::revoke(w.task(), &w.now());
            w.apply(revoked);
            reported(w, Outcome::Done)
        }),
        ("Issue the step again, same request", |w| {
            step(w, &worker(), 1, (1, 1))
        }),
        ("Issue the step again, other request", |w| {
            step(w, &worker(), 1, (1, 2))
        }),
        ("Issue the step again, other arguments", |w| {
            step(w, &worker(), 1, (2, 2))
        }),
        ("Issue the next step", |w| step(w, &worker(), 2, (1, 3))),
        ("`act_by` + grace passes, then Check", |w| {
            w.later(7_000);
            at_tool(w, &tool(), 1)
        }),
    ];
    table("Step and its token", &columns, &rows)
}

#[test]
fn the_tables_in_the_docs_are_what_the_rules_decide() {
    let page = format!(
        "# States\n\nWritten by `tests/domain/tables.rs` (`UPDATE_DOCS=1 cargo test --test domain`): \
         each cell is what the rules answered.\nU = \"unknown task\", alike for unknown, foreign and \
         forgotten.\n\n{}{}{}{}## Diagrams\n\nDrawn from every sequence of up to four or five commands \
         (`tests/domain/enumeration`). What ends a leg leads to `[*]`.\n\n{}",
        task_table::task_table(),
        leg_table(),
        step_table(),
        crate::enumeration::wider_tables(),
        crate::enumeration::changes().print().trim_end()
    ) + "\n";
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/states.md");
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(path, &page).unwrap();
    }
    let written = std::fs::read_to_string(path).unwrap_or_default();
    assert!(written == page, "docs/states.md is stale");
}
