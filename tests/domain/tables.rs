//! Every state against every command, decided by the rules and printed into `docs/states.md`.
//!
//! `UPDATE_DOCS=1` writes the page; without it a stale page fails.

use crate::fixture::{
    PRINCIPAL, World, id, owner, owner_claims, permit, present, second_worker, server, tool, twin,
    worker,
};
use handfast::domain::claims::Operation;
use handfast::domain::decide::check::{self, OwnerChecked, StepChecked};
use handfast::domain::decide::end::{self, Ending, LegEnding};
use handfast::domain::decide::owner::{self as ask, AskOwner};
use handfast::domain::decide::report::Outcome;
use handfast::domain::decide::step::StepAsked;
use handfast::domain::denial::Reason;
use handfast::domain::evidence::Evidence;
use handfast::domain::id::{Digest, Epoch, Fence, Jti, LegNumber};
use handfast::domain::lineage::Lineage;
use handfast::domain::role::{AsOwner, AsOwnerPrincipalDue, AsPerformer, AsServer, Held};
use handfast::domain::step::StepState;
use handfast::domain::time::Time;
use std::fmt::Write as _;

type Cell = fn(&mut World) -> Result<String, Reason>;

fn table(title: &str, columns: &[(&str, World)], rows: &[(&str, Cell)]) -> String {
    let mut text = format!("## {title}\n\n| command |");
    for (name, _) in columns {
        write!(text, " {name} |").unwrap();
    }
    text.push_str("\n|---|");
    text.push_str(&"---|".repeat(columns.len()));
    text.push('\n');
    for (name, cell) in rows {
        write!(text, "| {name} |").unwrap();
        for (_, world) in columns {
            let answer = match cell(&mut world.clone()) {
                Ok(answer) => answer,
                Err(Reason::Unknown | Reason::NotHeld(_)) => "U".to_owned(),
                Err(reason) => format!("refused `{}`", reason.name()),
            };
            write!(text, " {answer} |").unwrap();
        }
        text.push('\n');
    }
    text.push('\n');
    text
}

fn absent() -> World {
    let mut world = World::new();
    world.lineage = Lineage::default();
    world
}

fn ended() -> World {
    let mut world = World::new();
    let revoked = end::revoke(world.task(), &world.now());
    world.apply(revoked);
    world
}

fn forgotten() -> World {
    let mut world = ended();
    world.later(u64::try_from(world.limits.retention.as_millis()).unwrap());
    world
}

fn owner_ask() -> AskOwner {
    AskOwner {
        jti: Jti([7; 16]),
        certificate: Digest([8; 32]),
        certificate_ends: Time(u64::MAX),
    }
}

fn asked(world: &mut World, who: &Evidence, cancel: bool) -> Result<String, Reason> {
    let task = world.lineage.known(&world.now())?;
    let held = Held::<AsOwnerPrincipalDue>::check(task, who)?;
    let ask = owner_ask();
    let issue = if cancel {
        ask::issue_cancel
    } else {
        ask::issue_query
    };
    issue(task, &held, &ask, &permit(), &world.now()).map(|_| "token".to_owned())
}

fn checked(world: &mut World, principal: Digest, cancel: bool) -> Result<String, Reason> {
    if cancel && world.lineage.task.is_some() {
        asked_and_applied(world)?;
    }
    let rows = world.rows(None, world.lineage.task.as_ref().map(|task| task.fence));
    let task = rows.known(&world.now())?;
    let operation = if cancel {
        Operation::Cancel
    } else {
        Operation::Query
    };
    let token = present(owner_claims(world, operation, task.fence));
    let held = Held::<AsServer>::check(task, &server())?;
    let owner = Held::<AsOwner>::with_principal(task, Some(&id("assistant")), Some(principal))?;
    let answer = if cancel {
        check::cancel(
            &rows,
            (&held, &owner),
            Some(&token),
            &permit(),
            &world.now(),
        )?
    } else {
        check::query(task, (&held, &owner), Some(&token), &permit(), &world.now())?
    };
    Ok(match answer.effect {
        OwnerChecked::Cancelled => "cancelled; leg ends, issued tokens void".to_owned(),
        OwnerChecked::Ended(_) => "acknowledged, no change".to_owned(),
        OwnerChecked::Read(_) => "read".to_owned(),
    })
}

fn asked_and_applied(world: &mut World) -> Result<(), Reason> {
    let held = Held::<AsOwnerPrincipalDue>::check(world.task(), &owner())?;
    let ask = owner_ask();
    let issued = ask::issue_cancel(world.task(), &held, &ask, &permit(), &world.now())?;
    world.apply(issued);
    Ok(())
}

fn finished(world: &mut World, fence: Option<Fence>) -> Result<String, Reason> {
    let task = world.lineage.known(&world.now())?;
    let held = Held::<AsServer>::check(task, &server())?;
    end::finish(
        task,
        &held,
        (Ending::Completed, fence),
        &permit(),
        &world.now(),
    )
    .map(|done| format!("{:?}", done.effect).to_lowercase())
}

fn started(world: &mut World, who: &Evidence) -> Result<String, Reason> {
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
            StepAsked::Repeat(state) => format!("repeat {}", word(state)),
        })
}

fn ended_by_holder(world: &mut World, ending: LegEnding) -> Result<String, Reason> {
    let task = world.lineage.known(&world.now())?;
    let held = Held::<AsPerformer>::check(task, &worker())?;
    end::end(task, &held, (LegNumber(1), ending), &permit(), &world.now()).map(|done| {
        format!(
            "leg ends, task {}",
            format!("{:?}", done.effect).to_lowercase()
        )
    })
}

fn word(state: StepState) -> &'static str {
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

fn task_table() -> String {
    let columns = [
        ("none", absent()),
        ("working", World::new()),
        ("terminal", ended()),
        ("forgotten", forgotten()),
    ];
    let rows: [(&str, Cell); 12] = [
        ("Issue(query)", |w| asked(w, &owner(), false)),
        ("Check(query)", |w| checked(w, PRINCIPAL, false)),
        ("Issue(cancel)", |w| asked(w, &owner(), true)),
        ("Check(cancel)", |w| checked(w, PRINCIPAL, true)),
        ("Finish(completed), no leg", |w| finished(w, None)),
        ("Start by a performer", |w| started(w, &worker())),
        ("Issue(query) by a thief", |w| asked(w, &worker(), false)),
        ("Issue(cancel) by a thief", |w| asked(w, &worker(), true)),
        ("Check(query), other principal", |w| {
            checked(w, Digest([1; 32]), false)
        }),
        ("Check(cancel), other principal", |w| {
            checked(w, Digest([1; 32]), true)
        }),
        ("Start by a twin without the evidence", |w| {
            started(w, &twin())
        }),
        ("Start by anybody else", |w| started(w, &owner())),
    ];
    table("Task", &columns, &rows)
}

fn leg_table() -> String {
    let columns = [
        ("no leg", World::new()),
        ("live", leg_up()),
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
    let columns = [
        ("issued", step_in(StepState::Issued)),
        ("used", step_in(StepState::Used)),
        ("done", step_in(StepState::Done)),
        ("not_done", step_in(StepState::NotDone)),
        ("unknown", step_in(StepState::Unknown)),
        ("expired", step_in(StepState::Void)),
    ];
    let rows: [(&str, Cell); 17] = [
        ("Check, all right", |w| at_tool(w, &tool(), 1)),
        ("Check, other arguments", |w| at_tool(w, &tool(), 2)),
        ("Check by another caller", |w| at_tool(w, &worker(), 1)),
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
         forgotten.\n\n{}{}{}",
        task_table(),
        leg_table(),
        step_table()
    );
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/states.md");
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(path, &page).unwrap();
    }
    let written = std::fs::read_to_string(path).unwrap_or_default();
    assert!(written == page, "docs/states.md is stale");
}
