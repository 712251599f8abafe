//! The table of tasks: every state against every command of an owner or a server.

use crate::fixture::{
    PRINCIPAL, World, id, owner, owner_claims, permit, present, server, twin, worker,
};
use crate::tables::started;
use handfast::domain::claims::Operation;
use handfast::domain::decide::check::{self, OwnerChecked};
use handfast::domain::decide::end::{self, Ending};
use handfast::domain::decide::input;
use handfast::domain::decide::owner::{self as ask, AskOwner};
use handfast::domain::denial::Reason;
use handfast::domain::evidence::Evidence;
use handfast::domain::id::{Digest, Fence, Jti};
use handfast::domain::lineage::Lineage;
use handfast::domain::role::{AsOwner, AsOwnerPrincipalDue, AsServer, Held};
use handfast::domain::task::TaskState;
use handfast::domain::time::Time;
use std::fmt::Write as _;

pub(crate) type Cell = fn(&mut World) -> Result<String, Reason>;

pub(crate) fn table(title: &str, columns: &[(&str, World)], rows: &[(&str, Cell)]) -> String {
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

pub(crate) fn ended() -> World {
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

fn asked(world: &mut World, who: &Evidence, operation: Operation) -> Result<String, Reason> {
    let task = world.lineage.known(&world.now())?;
    let held = Held::<AsOwnerPrincipalDue>::check(task, who)?;
    let issue = match operation {
        Operation::Cancel => ask::issue_cancel,
        Operation::Update => ask::issue_update,
        Operation::Create | Operation::Query | Operation::Retry | Operation::Step => {
            ask::issue_query
        }
    };
    let issued = issue(&world.lineage, &held, &owner_ask(), &permit(), &world.now())?;
    world.apply(issued);
    Ok("token".to_owned())
}

fn checked(world: &mut World, principal: Digest, operation: Operation) -> Result<String, Reason> {
    if operation != Operation::Query && world.lineage.task.is_some() {
        // Refused for an ended task: then `Check` gets a token from before.
        drop(asked(world, &owner(), operation));
    }
    let rows = world.rows(None, world.lineage.task.as_ref().map(|task| task.fence));
    let task = rows.known(&world.now())?;
    let token = present(owner_claims(world, operation, task.fence));
    let held = Held::<AsServer>::check(task, &server())?;
    let owner = Held::<AsOwner>::with_principal(task, Some(&id("assistant")), Some(principal))?;
    let (roles, token, now) = ((&held, &owner), Some(&token), world.now());
    let answer = match operation {
        Operation::Cancel => check::cancel(&rows, roles, token, &permit(), &now)?,
        Operation::Update => check::update(&rows, roles, token, &permit(), &now)?,
        Operation::Create | Operation::Query | Operation::Retry | Operation::Step => {
            check::query(task, roles, token, &permit(), &now)?
        }
    };
    Ok(match (operation, answer.effect) {
        (_, OwnerChecked::Ordered(..)) => "carried out".to_owned(),
        (_, OwnerChecked::Cancelled) => "cancelled; leg ends, issued tokens void".to_owned(),
        (_, OwnerChecked::Ended(_)) | (Operation::Update, OwnerChecked::Read(_)) => {
            "acknowledged, no change".to_owned()
        }
        (_, OwnerChecked::Read(_)) => "read".to_owned(),
        (_, OwnerChecked::Updated(state)) => format!("taken, {}", word(state)),
    })
}

fn required(world: &mut World, who: &Evidence, fence: Option<Fence>) -> Result<String, Reason> {
    let task = world.lineage.known(&world.now())?;
    let held = Held::<AsServer>::check(task, who)?;
    let keys = ["amount".to_owned()];
    let required = input::require(task, &held, (&keys, fence), &permit(), &world.now())?;
    let unchanged = required.writes.is_empty();
    let state = word(world.apply(required));
    Ok(if unchanged {
        format!("{state}, no change")
    } else {
        state.to_owned()
    })
}

/// The state as MCP spells it.
pub(crate) fn word(state: TaskState) -> &'static str {
    match state {
        TaskState::Cancelled => "cancelled",
        TaskState::Completed => "completed",
        TaskState::Expired | TaskState::Failed => "failed",
        TaskState::InputRequired => "input_required",
        TaskState::Working => "working",
    }
}

/// The task waits for its owner's answer.
pub(crate) fn waiting(mut world: World) -> World {
    let fence = world.task().leg.as_ref().map(|leg| leg.fence);
    required(&mut world, &server(), fence).unwrap();
    world
}

pub(crate) fn finished(world: &mut World, fence: Option<Fence>) -> Result<String, Reason> {
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

pub(crate) fn task_table() -> String {
    let columns = vec![
        ("none", absent()),
        ("working", World::new()),
        ("input_required", waiting(World::new())),
        ("terminal", ended()),
        ("forgotten", forgotten()),
    ];
    let rows: [(&str, Cell); 18] = [
        ("Issue(query)", |w| asked(w, &owner(), Operation::Query)),
        ("Check(query)", |w| checked(w, PRINCIPAL, Operation::Query)),
        ("Issue(update)", |w| asked(w, &owner(), Operation::Update)),
        ("Check(update)", |w| {
            checked(w, PRINCIPAL, Operation::Update)
        }),
        ("Issue(cancel)", |w| asked(w, &owner(), Operation::Cancel)),
        ("Check(cancel)", |w| {
            checked(w, PRINCIPAL, Operation::Cancel)
        }),
        ("RequireInput, no leg", |w| required(w, &server(), None)),
        ("Finish(completed), no leg", |w| finished(w, None)),
        ("Start by a performer", |w| started(w, &worker())),
        ("Issue(query) by a thief", |w| {
            asked(w, &worker(), Operation::Query)
        }),
        ("Issue(update) by a thief", |w| {
            asked(w, &worker(), Operation::Update)
        }),
        ("Issue(cancel) by a thief", |w| {
            asked(w, &worker(), Operation::Cancel)
        }),
        ("Check(query), other principal", |w| {
            checked(w, Digest([1; 32]), Operation::Query)
        }),
        ("Check(update), other principal", |w| {
            checked(w, Digest([1; 32]), Operation::Update)
        }),
        ("Check(cancel), other principal", |w| {
            checked(w, Digest([1; 32]), Operation::Cancel)
        }),
        ("RequireInput by anybody else", |w| {
            required(w, &owner(), None)
        }),
        ("Start by a twin without the evidence", |w| {
            started(w, &twin())
        }),
        ("Start by anybody else", |w| started(w, &owner())),
    ];
    table("Task", &columns, &rows)
}
