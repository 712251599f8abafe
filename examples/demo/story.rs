//! The story, step by step. A step that does not go as expected ends it.

use crate::Error;
use crate::director::{self, Scene};
use crate::expect::{
    UNKNOWN, expect_denied, expect_effects, expect_refused_by_tool, expect_status, expect_unknown,
    expect_unknown_or_refused, export, get, issue, short, truth, truth_of_server, unexpected,
};
use crate::table::{Row, Table, Verdict, line};
use crate::wire::{Ask, Exported, Said};
use std::time::Instant;

/// How many rows there are when all goes as expected.
pub(crate) const ROWS: usize = 16 + crate::family::ROWS;

/// What later steps need from earlier ones.
#[derive(Default)]
struct Known {
    handle: String,
    task_id: String,
    token: String,
}

/// Plays all steps.
pub(crate) async fn play(scene: &mut Scene<'_>, table: &mut Table) -> Result<(), Error> {
    let mut known = Known::default();
    table.row(&create(scene, &mut known).await?)?;
    table.row(&query(scene, &known).await?)?;
    table.row(&query_for_another_user(scene, &known).await?)?;
    table.row(&query_by_thief(scene, &known).await?)?;
    table.row(&start(scene, &known).await?)?;
    table.row(&start_by_twin(scene).await?)?;
    table.row(&step_with_copied_token(scene, &mut known).await?)?;
    table.row(&step(scene).await?)?;
    table.row(&step_again(scene).await?)?;
    table.row(&finish_by_twin(scene, &known).await?)?;
    table.row(&kill_agent(scene, &known).await?)?;
    table.row(&step_after_restart(scene).await?)?;
    table.row(&cancel(scene, &known).await?)?;
    table.row(&start_after_cancel(scene).await?)?;
    table.row(&start_from_restored_queue(scene).await?)?;
    line("   one task fans out:")?;
    crate::family::play(scene, table).await?;
    line("   the same server without handfast:")?;
    table.row(&query_without_handfast(scene).await?)?;
    Ok(())
}

async fn create(scene: &mut Scene<'_>, known: &mut Known) -> Result<Row, Error> {
    let ask = Ask::CallTool {
        user: "user-1".to_owned(),
        plain: false,
    };
    known.handle = match scene.assistant.ask(ask).await? {
        Said::Task { handle } => handle,
        other => return Err(unexpected("a task", &other)),
    };
    // The reply is here, so the row must be: this asks the ledger, not the server.
    let tasks = scene.operator.tasks().await?;
    let [task] = tasks.as_slice() else {
        return Err(format!("the ledger has {} tasks", tasks.len()).into());
    };
    known.task_id.clone_from(&task.task_id);
    let (queue, backup) = scene.queue();
    queue.copy_to(&backup)?;
    Ok(Row {
        verb: "create",
        who: "client",
        what: "tools/call build_report",
        verdict: Verdict::Ok,
        note: format!("task {}, on disk before the reply", short(&task.task_id)),
        attack: "",
    })
}

async fn query(scene: &mut Scene<'_>, known: &Known) -> Result<Row, Error> {
    let said = scene.assistant.ask(get("user-1", &known.handle)).await?;
    Ok(Row {
        verb: "query",
        who: "client",
        what: "tasks/get",
        verdict: Verdict::Ok,
        note: expect_status(said, "working")?,
        attack: "",
    })
}

async fn query_for_another_user(scene: &mut Scene<'_>, known: &Known) -> Result<Row, Error> {
    let said = scene.assistant.ask(get("user-2", &known.handle)).await?;
    expect_unknown(&said)?;
    truth_of_server(scene, "other_principal").await?;
    Ok(Row {
        verb: "query",
        who: "client, for user-2",
        what: "same workload, other user",
        verdict: Verdict::Denied,
        note: format!("server answers \"{UNKNOWN}\" · truth: other principal"),
        attack: "",
    })
}

async fn query_by_thief(scene: &mut Scene<'_>, known: &Known) -> Result<Row, Error> {
    let handle = known.handle.clone();
    // First the proper way, then straight to the server.
    let said = scene.thief.ask(Ask::ForeignToken { handle }).await?;
    let denied = expect_denied(said)?;
    truth(scene, &denied, "no_role").await?;
    let handle = known.handle.clone();
    let said = scene.thief.ask(Ask::PlainGet { handle }).await?;
    expect_unknown(&said)?;
    truth_of_server(scene, "no_role").await?;
    Ok(Row {
        verb: "query",
        who: "thief",
        what: "the stolen handle",
        verdict: Verdict::Denied,
        note: format!("server answers \"{UNKNOWN}\" · truth: no role"),
        attack: "A1",
    })
}

async fn start(scene: &mut Scene<'_>, known: &Known) -> Result<Row, Error> {
    match scene.worker_1.ask(Ask::StartFromQueue).await? {
        Said::Leg {
            task_id,
            number: 1,
            reattached: false,
            ..
        } if task_id == known.task_id => {}
        other => return Err(unexpected("leg 1", &other)),
    }
    Ok(Row {
        verb: "start",
        who: "worker-1",
        what: "from the queue",
        verdict: Verdict::Ok,
        note: "leg 1".to_owned(),
        attack: "",
    })
}

async fn start_by_twin(scene: &mut Scene<'_>) -> Result<Row, Error> {
    let said = scene.worker_2.ask(Ask::StartFromQueue).await?;
    let denied = expect_denied(said)?;
    let note = truth(scene, &denied, "held").await?;
    let holder = format!("pid {}", scene.worker_1.pid());
    if !note.ends_with(&holder) {
        return Err(format!("the leg is held by {holder}, the agent says: {note}").into());
    }
    Ok(Row {
        verb: "start",
        who: "worker-2",
        what: "same SVID, same message",
        verdict: Verdict::Denied,
        note,
        attack: "A2",
    })
}

async fn step_with_copied_token(scene: &mut Scene<'_>, known: &mut Known) -> Result<Row, Error> {
    known.token = issue(scene, 1).await?;
    let token = known.token.clone();
    let said = scene.worker_2.ask(Ask::ExportWith { token }).await?;
    let denied = expect_refused_by_tool(said)?;
    let note = truth(scene, &denied, "wrong_key").await?;
    expect_effects(scene, 0).await?;
    Ok(Row {
        verb: "step",
        who: "worker-2",
        what: "worker-1's token, copied",
        verdict: Verdict::Denied,
        note,
        attack: "A3",
    })
}

async fn step(scene: &mut Scene<'_>) -> Result<Row, Error> {
    export(scene).await?;
    expect_effects(scene, 1).await?;
    Ok(Row {
        verb: "step",
        who: "worker-1",
        what: "warehouse/export",
        verdict: Verdict::Ok,
        note: "fresh, 1 effect".to_owned(),
        attack: "",
    })
}

async fn step_again(scene: &mut Scene<'_>) -> Result<Row, Error> {
    match scene.worker_1.ask(Ask::Export).await? {
        Said::Exported(Exported::Repeat { state }) if state == "done" => {}
        other => return Err(unexpected("a repeat", &other)),
    }
    expect_effects(scene, 1).await?;
    Ok(Row {
        verb: "step",
        who: "worker-1",
        what: "the same token again",
        verdict: Verdict::Repeat,
        note: "done at step 8, still 1 effect".to_owned(),
        attack: "A5",
    })
}

async fn finish_by_twin(scene: &mut Scene<'_>, known: &Known) -> Result<Row, Error> {
    let task_id = known.task_id.clone();
    let said = scene.twin.ask(Ask::Finish { task_id }).await?;
    let denied = expect_denied(said)?;
    let truth = truth(scene, &denied, "role_evidence").await?;
    let holder = format!("pid {}", scene.reports.pid());
    if !truth.ends_with(&holder) {
        return Err(format!("the role is held by {holder}, the agent says: {truth}").into());
    }
    Ok(Row {
        verb: "finish",
        who: "server's twin",
        what: "same SVID as the server",
        verdict: Verdict::Denied,
        note: format!("server role is held by {holder}"),
        attack: "A55",
    })
}

async fn kill_agent(scene: &mut Scene<'_>, known: &Known) -> Result<Row, Error> {
    let before = scene.operator.epoch().await?;
    // Two tokens that nobody has used yet.
    let handle = known.handle.clone();
    scene.assistant.ask(Ask::KeepQueryToken { handle }).await?;
    issue(scene, 2).await?;
    scene.agent.kill()?;
    let began = Instant::now();
    scene.agent = director::start_agent(scene.stage)?;
    scene.operator.wait_again(&mut scene.agent).await?;
    let ready = began.elapsed().as_secs_f64();
    let after = scene.operator.epoch().await?;
    if after <= before {
        return Err(format!("epoch {before} was followed by {after}").into());
    }
    let kept = Ask::GetTaskWithKept {
        user: "user-1".to_owned(),
        handle: known.handle.clone(),
    };
    expect_unknown_or_refused(&scene.assistant.ask(kept).await?)?;
    truth_of_server(scene, "token_invalid").await?;
    let denied = expect_refused_by_tool(scene.worker_1.ask(Ask::Export).await?)?;
    truth(scene, &denied, "token_invalid").await?;
    Ok(Row {
        verb: "kill",
        who: "agent",
        what: "SIGKILL, restart",
        verdict: Verdict::Ok,
        note: format!("epoch {after}, ready after {ready:.2} s; old tokens: all dead"),
        attack: "",
    })
}

async fn step_after_restart(scene: &mut Scene<'_>) -> Result<Row, Error> {
    let fence = match scene.worker_1.ask(Ask::StartAgain).await? {
        Said::Leg {
            number: 1,
            fence,
            reattached: true,
            ..
        } => fence,
        other => return Err(unexpected("leg 1 again", &other)),
    };
    issue(scene, 2).await?;
    export(scene).await?;
    expect_effects(scene, 2).await?;
    Ok(Row {
        verb: "step",
        who: "worker-1",
        what: "re-attached, same process",
        verdict: Verdict::Ok,
        note: format!("leg 1, fence {fence}; fresh, 2 effects"),
        attack: "",
    })
}

async fn cancel(scene: &mut Scene<'_>, known: &Known) -> Result<Row, Error> {
    let ask = Ask::CancelTask {
        user: "user-1".to_owned(),
        handle: known.handle.clone(),
    };
    let asked_ms = match scene.assistant.ask(ask).await? {
        Said::Done { asked_ms } => asked_ms,
        other => return Err(unexpected("an acknowledgement", &other)),
    };
    let told_ms = match scene.worker_1.ask(Ask::AwaitStop).await? {
        Said::Stopped { kind, at_ms } if kind == "cancelled" => at_ms,
        other => return Err(unexpected("word of the cancel", &other)),
    };
    let after = told_ms.saturating_sub(asked_ms);
    Ok(Row {
        verb: "cancel",
        who: "client",
        what: "tasks/cancel",
        verdict: Verdict::Ok,
        note: format!("worker-1 told {after} ms after the client asked"),
        attack: "",
    })
}

async fn start_after_cancel(scene: &mut Scene<'_>) -> Result<Row, Error> {
    let denied = expect_denied(scene.worker_1.ask(Ask::StartAgain).await?)?;
    truth(scene, &denied, "cancelled").await?;
    scene.worker_1.ask(Ask::Acknowledge).await?;
    Ok(Row {
        verb: "start",
        who: "worker-1",
        what: "again",
        verdict: Verdict::Denied,
        note: "cancelled is final".to_owned(),
        attack: "A7",
    })
}

async fn start_from_restored_queue(scene: &mut Scene<'_>) -> Result<Row, Error> {
    let (queue, backup) = scene.queue();
    backup.copy_to(&queue)?;
    let denied = expect_denied(scene.worker_1.ask(Ask::StartFromQueue).await?)?;
    truth(scene, &denied, "cancelled").await?;
    Ok(Row {
        verb: "start",
        who: "worker-1",
        what: "the server's queue restored",
        verdict: Verdict::Denied,
        note: "cancelled is final".to_owned(),
        attack: "A73",
    })
}

/// The same programs and users; the server takes the task ID as authority, as it may by the protocol.
async fn query_without_handfast(scene: &mut Scene<'_>) -> Result<Row, Error> {
    let (stage, issuer) = (scene.stage, &scene.issuer);
    let server = director::server(stage, issuer, false).await?;
    let mut client = director::client(stage, issuer, &server, &scene.warehouse).await?;
    let mut thief = director::thief(stage, issuer, &server).await?;
    let ask = Ask::CallTool {
        user: "user-1".to_owned(),
        plain: true,
    };
    let handle = match client.ask(ask).await? {
        Said::Task { handle } => handle,
        other => return Err(unexpected("a task", &other)),
    };
    let get = || Ask::PlainGet {
        handle: handle.clone(),
    };
    match thief.ask(get()).await? {
        Said::Status { message, .. } if message.contains("user-1") => {}
        other => return Err(unexpected("user-1's report", &other)),
    }
    let cancel = Ask::PlainCancel {
        handle: handle.clone(),
    };
    match thief.ask(cancel).await? {
        Said::Done { .. } => {}
        other => return Err(unexpected("an acknowledgement", &other)),
    }
    Ok(Row {
        verb: "query",
        who: "thief",
        what: "the stolen handle",
        verdict: Verdict::GotIn,
        note: "read user-1's report, then cancelled the task".to_owned(),
        attack: "",
    })
}
