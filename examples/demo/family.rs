//! The second act: one task fans out, a child is handed over, a person is asked, one cancel ends it all, and an
//! operator revokes with a receipt.

use crate::Error;
use crate::director::Scene;
use crate::expect::{
    UNKNOWN, expect_denied, expect_effects, expect_status, expect_unknown, short, truth,
    truth_of_server, unexpected,
};
use crate::table::{Row, Table, Verdict};
use crate::wire::{Ask, Exported, Said};

/// How many rows this act has.
pub(crate) const ROWS: usize = 15;

/// Children that are made at once.
const CHILDREN: u32 = 3;

/// What later steps need from earlier ones.
#[derive(Default)]
struct Known {
    root: String,
    children: Vec<String>,
    child_handle: String,
    approval: String,
    /// A step of the root, by its worker's count.
    purge: u32,
}

/// Plays the act.
pub(crate) async fn play(scene: &mut Scene<'_>, table: &mut Table) -> Result<(), Error> {
    let mut known = Known {
        purge: 1,
        ..Known::default()
    };
    table.row(&start(scene, &mut known).await?)?;
    table.row(&order_for_another_user(scene, &known).await?)?;
    table.row(&order(scene, &known).await?)?;
    table.row(&spawn(scene, &mut known).await?)?;
    table.row(&spend(scene, &mut known).await?)?;
    table.row(&start_by_stranger(scene).await?)?;
    table.row(&hand_over(scene, &known).await?)?;
    table.row(&step_by_relief(scene).await?)?;
    table.row(&ask_person(scene, &mut known).await?)?;
    table.row(&query_meanwhile(scene, &known).await?)?;
    table.row(&approve(scene, &known).await?)?;
    table.row(&change_argument(scene, &known).await?)?;
    table.row(&cancel(scene, &known).await?)?;
    table.row(&step_after_cancel(scene).await?)?;
    table.row(&revoke(scene).await?)?;
    Ok(())
}

async fn start(scene: &mut Scene<'_>, known: &mut Known) -> Result<Row, Error> {
    // What was restored of the first act's queue is worth nothing; it is only in the way.
    scene.worker_1.ask(Ask::Acknowledge).await?;
    let ask = Ask::CallTool {
        user: "user-1".to_owned(),
        plain: false,
    };
    known.root = match scene.assistant.ask(ask).await? {
        Said::Task { handle } => handle,
        other => return Err(unexpected("a task", &other)),
    };
    let task_id = match scene.worker_1.ask(Ask::StartFromQueue).await? {
        Said::Leg { task_id, .. } => task_id,
        other => return Err(unexpected("a leg", &other)),
    };
    scene.worker_1.ask(Ask::Acknowledge).await?;
    Ok(Row {
        verb: "start",
        who: "worker-1",
        what: "user-1's second report",
        verdict: Verdict::Ok,
        note: format!("task {}, may have {CHILDREN} children", short(&task_id)),
        attack: "",
    })
}

async fn order_for_another_user(scene: &mut Scene<'_>, known: &Known) -> Result<Row, Error> {
    let ask = let_read(scene, known, "user-2");
    expect_unknown(&scene.assistant.ask(ask).await?)?;
    truth_of_server(scene, "other_principal").await?;
    Ok(Row {
        verb: "hand",
        who: "client, for user-2",
        what: "reading it, to relief",
        verdict: Verdict::Denied,
        note: format!("server answers \"{UNKNOWN}\" · truth: other principal"),
        attack: "",
    })
}

async fn order(scene: &mut Scene<'_>, known: &Known) -> Result<Row, Error> {
    let ask = let_read(scene, known, "user-1");
    match scene.assistant.ask(ask).await? {
        Said::Granted { number: 1 } => {}
        other => return Err(unexpected("delegation 1", &other)),
    }
    Ok(Row {
        verb: "hand",
        who: "client",
        what: "the same, by tasks/update",
        verdict: Verdict::Ok,
        note: "carried out once the server saw user-1".to_owned(),
        attack: "",
    })
}

fn let_read(scene: &Scene<'_>, known: &Known, user: &str) -> Ask {
    Ask::Order {
        user: user.to_owned(),
        handle: known.root.clone(),
        to: scene.relief.spiffe_id.clone(),
    }
}

async fn spawn(scene: &mut Scene<'_>, known: &mut Known) -> Result<Row, Error> {
    let count = CHILDREN.saturating_add(1);
    let denied = expect_denied(scene.worker_1.ask(Ask::Spawn { count }).await?)?;
    truth(scene, &denied, "narrowing").await?;
    known.children = match scene.worker_1.ask(Ask::Spawn { count: CHILDREN }).await? {
        Said::Children { ids } => ids,
        other => return Err(unexpected("children", &other)),
    };
    Ok(Row {
        verb: "spawn",
        who: "worker-1",
        what: "children for the archive",
        verdict: Verdict::Ok,
        note: format!("{CHILDREN} in one commit, 1 export each; {count} were too many"),
        attack: "A23",
    })
}

async fn spend(scene: &mut Scene<'_>, known: &mut Known) -> Result<Row, Error> {
    let child = known.children.first().cloned().ok_or("no child")?;
    let again = child.clone();
    known.child_handle = match scene.worker_1.ask(Ask::SpendChild { child }).await? {
        Said::Task { handle } => handle,
        other => return Err(unexpected("a task", &other)),
    };
    // A child is one task: spent, it makes no other.
    let denied = expect_denied(scene.worker_1.ask(Ask::SpendChild { child: again }).await?)?;
    truth(scene, &denied, "spent").await?;
    Ok(Row {
        verb: "create",
        who: "worker-1",
        what: "child 1, at the archive",
        verdict: Verdict::Ok,
        note: "a task of its own, once".to_owned(),
        attack: "",
    })
}

async fn start_by_stranger(scene: &mut Scene<'_>) -> Result<Row, Error> {
    let denied = expect_denied(scene.relief.ask(Ask::StartFromQueue).await?)?;
    Ok(Row {
        verb: "start",
        who: "relief",
        what: "the child's message",
        verdict: Verdict::Denied,
        note: truth(scene, &denied, "no_role").await?,
        attack: "A52",
    })
}

async fn hand_over(scene: &mut Scene<'_>, known: &Known) -> Result<Row, Error> {
    let ask = Ask::HandOver {
        handle: known.child_handle.clone(),
        to: scene.relief.spiffe_id.clone(),
    };
    match scene.worker_1.ask(ask).await? {
        Said::Done { .. } => {}
        other => return Err(unexpected("a delegation", &other)),
    }
    Ok(Row {
        verb: "hand",
        who: "worker-1",
        what: "child 1 to relief",
        verdict: Verdict::Ok,
        note: "to carry it out, and nothing else".to_owned(),
        attack: "",
    })
}

async fn step_by_relief(scene: &mut Scene<'_>) -> Result<Row, Error> {
    match scene.relief.ask(Ask::StartAgain).await? {
        Said::Leg { number: 1, .. } => {}
        other => return Err(unexpected("leg 1", &other)),
    }
    match scene.relief.ask(Ask::IssueStep { step: 1 }).await? {
        Said::Token { .. } => {}
        other => return Err(unexpected("a token", &other)),
    }
    match scene.relief.ask(Ask::Export).await? {
        Said::Exported(Exported::Fresh) => {}
        other => return Err(unexpected("a fresh effect", &other)),
    }
    expect_effects(scene, 3).await?;
    Ok(Row {
        verb: "step",
        who: "relief",
        what: "warehouse/export",
        verdict: Verdict::Ok,
        note: "fresh, 3 effects; on user-1's client's authority".to_owned(),
        attack: "",
    })
}

async fn ask_person(scene: &mut Scene<'_>, known: &mut Known) -> Result<Row, Error> {
    let ask = Ask::Purge {
        step: known.purge,
        year: 2019,
    };
    known.approval = match scene.worker_1.ask(ask).await? {
        Said::Pending { id } => id,
        other => return Err(unexpected("a pending approval", &other)),
    };
    Ok(Row {
        verb: "step",
        who: "worker-1",
        what: "warehouse/purge of 2019",
        verdict: Verdict::Ok,
        note: "no token: a person is asked".to_owned(),
        attack: "",
    })
}

/// What the client of a task sees while a person is asked.
async fn query_meanwhile(scene: &mut Scene<'_>, known: &Known) -> Result<Row, Error> {
    let ask = Ask::GetTask {
        user: "user-1".to_owned(),
        handle: known.root.clone(),
    };
    let said = scene.assistant.ask(ask).await?;
    Ok(Row {
        verb: "query",
        who: "client",
        what: "tasks/get meanwhile",
        verdict: Verdict::Ok,
        note: expect_status(said, "input required")?,
        attack: "",
    })
}

/// Where every role has one account, the approver may be the worker in disguise, and decides nothing.
async fn approve(scene: &mut Scene<'_>, known: &Known) -> Result<Row, Error> {
    let id = known.approval.clone();
    let shown = scene.approver.ask(Ask::ShowApproval { id }).await?;
    let id = known.approval.clone();
    let (verdict, note) = match shown {
        Said::Asked { text, nonce } if scene.stage.accounts => {
            let id_token = scene.issuer.id_token("person-1", &nonce)?;
            match scene.approver.ask(Ask::Approve { id, id_token }).await? {
                Said::Done { .. } => (Verdict::Ok, format!("person-1 saw {text}")),
                other => return Err(unexpected("a decision", &other)),
            }
        }
        Said::Denied(denied) if !scene.stage.accounts => {
            truth(scene, &denied, "not_apart").await?;
            let note = "one account: may be the worker itself".to_owned();
            (Verdict::Denied, note)
        }
        other => return Err(unexpected("what is asked", &other)),
    };
    Ok(Row {
        verb: "approve",
        who: "person-1",
        what: "through the approver",
        verdict,
        note,
        attack: "A69",
    })
}

async fn change_argument(scene: &mut Scene<'_>, known: &Known) -> Result<Row, Error> {
    let step = known.purge;
    match scene.worker_1.ask(Ask::Purge { step, year: 2026 }).await? {
        Said::Pending { id } if id != known.approval => {}
        other => return Err(unexpected("another request", &other)),
    }
    // Nor is the consent there for what was asked first: people are not asked again and again.
    let again = scene.worker_1.ask(Ask::Purge { step, year: 2019 }).await?;
    truth(scene, &expect_denied(again)?, "approval_pause").await?;
    let note = if scene.stage.accounts {
        "asked anew; what was said of 2019 is void"
    } else {
        "asked anew; the question of 2019 is void"
    };
    Ok(Row {
        verb: "step",
        who: "worker-1",
        what: "purge of 2026 instead",
        verdict: Verdict::Denied,
        note: note.to_owned(),
        attack: "A26",
    })
}

async fn cancel(scene: &mut Scene<'_>, known: &Known) -> Result<Row, Error> {
    let ask = Ask::CancelTask {
        user: "user-1".to_owned(),
        handle: known.root.clone(),
    };
    let asked_ms = match scene.assistant.ask(ask).await? {
        Said::Done { asked_ms } => asked_ms,
        other => return Err(unexpected("an acknowledgement", &other)),
    };
    let told_ms = match scene.relief.ask(Ask::AwaitStop).await? {
        Said::Stopped { kind, at_ms } if kind == "cancelled" => at_ms,
        other => return Err(unexpected("word of the cancel", &other)),
    };
    let after = told_ms.saturating_sub(asked_ms);
    Ok(Row {
        verb: "cancel",
        who: "client",
        what: "the root, one commit",
        verdict: Verdict::Ok,
        note: format!("the child ends with it; relief told after {after} ms"),
        attack: "A24",
    })
}

async fn step_after_cancel(scene: &mut Scene<'_>) -> Result<Row, Error> {
    let denied = expect_denied(scene.relief.ask(Ask::StartAgain).await?)?;
    truth(scene, &denied, "cancelled").await?;
    Ok(Row {
        verb: "start",
        who: "relief",
        what: "again",
        verdict: Verdict::Denied,
        note: "a dead parent is a dead child".to_owned(),
        attack: "A24",
    })
}

/// The operator's own command, and what it prints.
async fn revoke(scene: &mut Scene<'_>) -> Result<Row, Error> {
    let id = scene.relief.spiffe_id.clone();
    let verb = [
        "revoke",
        "spiffe-id",
        &id,
        "--why",
        "the demo ends",
        "--wait",
    ];
    let said = crate::cast::operator(scene.stage, &verb).await?;
    let receipt = said.lines().find(|line| line.contains("stopped"));
    let receipt = receipt.ok_or_else(|| format!("no receipt in {said:?}"))?;
    if !receipt.starts_with("1 of 1 enforcement points stopped") {
        return Err(format!("another receipt than expected: {receipt}").into());
    }
    Ok(Row {
        verb: "revoke",
        who: "operator",
        what: "relief, --wait",
        verdict: Verdict::Ok,
        note: receipt.replace("enforcement points", "points"),
        attack: "A74",
    })
}
