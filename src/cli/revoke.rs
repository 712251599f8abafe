//! `handfast revoke`: stops work, by scope, and says who has stopped.

use super::operator::{connect, refused, state};
use super::output::Output;
use super::{Complaint, OperatorSocket};
use crate::client::OperatorStub;
use crate::proto::v1;
use clap::{Args, Subcommand};
use serde_json::{Value, json};
use std::process::ExitCode;
use std::time::{Duration, Instant};
use v1::enforcement_point::State;
use v1::revoke_request::Scope as Wire;

/// How often a receipt is looked at while it is awaited.
const RECEIPT_INTERVAL: Duration = Duration::from_millis(10);
/// The exit status where the revocation is in force and somebody has not acknowledged it.
const SOMEBODY_SILENT: u8 = 2;

/// What is revoked.
#[derive(Debug, Subcommand)]
pub(super) enum Revoke {
    /// Everything made before a time: tasks created, tokens issued.
    Before {
        /// Milliseconds since the Unix epoch.
        time_ms: u64,
        #[command(flatten)]
        how: How,
    },
    /// Every token signed in an epoch or an earlier one, the running one included. Legs are taken up again.
    Epoch {
        /// The epoch, as in `handfast status` and in the agent's log.
        epoch: u64,
        #[command(flatten)]
        how: How,
    },
    /// Lets a revoked SPIFFE ID act again. What it made before stays dead.
    Lift {
        /// The SPIFFE ID.
        spiffe_id: String,
        /// Why; goes into the audit.
        #[arg(long)]
        why: String,
        #[command(flatten)]
        operator: OperatorSocket,
    },
    /// A SPIFFE ID: it may do nothing here, and what it owns, serves or carries out has ended.
    SpiffeId {
        /// The SPIFFE ID.
        spiffe_id: String,
        #[command(flatten)]
        how: How,
    },
    /// One task, and whatever descends from it.
    Task {
        /// The task.
        task_id: String,
        #[command(flatten)]
        how: How,
    },
    /// The whole tree that a task belongs to.
    Tree {
        /// Any task of the tree.
        task_id: String,
        #[command(flatten)]
        how: How,
    },
}

/// How it is revoked.
#[derive(Args, Debug)]
pub(super) struct How {
    /// Changes nothing: says what would stop.
    #[arg(long)]
    dry_run: bool,
    /// Why; goes into the audit.
    #[arg(long, required_unless_present = "dry_run", default_value = "")]
    why: String,
    /// Waits until every enforcement point concerned has stopped, at most so many seconds, and prints a
    /// receipt. Exit status 2: it is in force, and somebody has not acknowledged, or nobody knows.
    #[arg(long, value_name = "SECONDS", num_args = 0..=1, default_missing_value = "5")]
    wait: Option<u64>,
    #[command(flatten)]
    operator: OperatorSocket,
}

/// Runs the verb.
pub(super) async fn revoke(verb: Revoke, output: &mut Output) -> Result<ExitCode, Complaint> {
    let (scope, how) = match verb {
        Revoke::Before { time_ms, how } => (Wire::BeforeMs(time_ms), how),
        Revoke::Epoch { epoch, how } => (Wire::Epoch(epoch), how),
        Revoke::Lift {
            spiffe_id,
            why,
            operator,
        } => return lift(spiffe_id, why, &operator, output).await,
        Revoke::SpiffeId { spiffe_id, how } => (Wire::SpiffeId(spiffe_id), how),
        Revoke::Task { task_id, how } => (Wire::TaskId(task_id), how),
        Revoke::Tree { task_id, how } => (Wire::TreeOfTaskId(task_id), how),
    };
    let mut operator = connect(&how.operator.operator_socket_path).await?;
    let request = v1::RevokeRequest {
        scope: Some(scope),
        reason: how.why,
        dry_run: how.dry_run,
    };
    let done = operator.revoke(request).await;
    let done = done.map_err(|status| refused(&status))?.into_inner();
    if let Some(stops) = &done.would_stop {
        would_stop(stops, &done.decision_id, output);
        return Ok(ExitCode::SUCCESS);
    }
    let receipt = match how.wait {
        Some(seconds) if done.sequence > 0 => {
            match wait(&mut operator, done.sequence, seconds).await {
                Ok(points) => Some(points),
                // Whatever became of the agent: the revocation was recorded before it answered.
                Err(complaint) => {
                    let why = format!("who has stopped cannot be told: {}", complaint.what);
                    return Ok(unknown(&done, ["revoked", &why], output));
                }
            }
        }
        // In force before, so long ago or in another run that nobody remembers who stopped.
        Some(_) => {
            let why = "who stopped for it is not remembered";
            return Ok(unknown(&done, ["was in force before", why], output));
        }
        None => None,
    };
    Ok(revoked(&done, receipt.as_deref(), output))
}

async fn lift(
    spiffe_id: String,
    reason: String,
    operator: &OperatorSocket,
    output: &mut Output,
) -> Result<ExitCode, Complaint> {
    let request = v1::LiftRequest { spiffe_id, reason };
    let mut operator = connect(&operator.operator_socket_path).await?;
    let done = operator.lift(request).await;
    let done = done.map_err(|status| refused(&status))?.into_inner();
    let what = if done.lifted {
        "lifted"
    } else {
        "nothing to lift: this SPIFFE ID is not revoked"
    };
    let mut lines = vec![format!("{what}; decision {}", done.decision_id)];
    if !done.lifted {
        lines.push(match done.revoked.as_slice() {
            [] => "no SPIFFE ID is revoked here".to_owned(),
            revoked => format!("revoked: {}", revoked.join(", ")),
        });
    }
    let json = json!({
        "lifted": done.lifted, "revoked": done.revoked, "decision_id": done.decision_id,
    });
    output.answer(&json, &lines);
    Ok(ExitCode::SUCCESS)
}

fn would_stop(stops: &v1::WouldStop, decision_id: &str, output: &mut Output) {
    let mut lines = vec![format!(
        "would stop {} tasks, {} live legs, {} outstanding step tokens",
        stops.tasks, stops.legs, stops.tokens
    )];
    if stops.children > 0 {
        lines.push(format!("child grants, unspent: {}", stops.children));
    }
    if stops.reachable > 0 {
        lines.push(format!(
            "reach: {} pairs of a task and a call",
            stops.reachable
        ));
    }
    if !stops.task_ids.is_empty() {
        lines.push("tasks that would end or lose their leg, the first of them:".to_owned());
    }
    lines.extend(stops.task_ids.iter().map(|task| format!("  {task}")));
    let json = json!({
        "dry_run": true, "tasks": stops.tasks, "legs": stops.legs, "tokens": stops.tokens, "children": stops.children,
        "reachable": stops.reachable, "task_ids": stops.task_ids, "decision_id": decision_id,
    });
    output.answer(&json, &lines);
}

/// It is in force, and nobody knows who has stopped.
fn unknown(done: &v1::RevokeResponse, [what, why]: [&str; 2], output: &mut Output) -> ExitCode {
    let lines = [
        format!("{what}; decision {}", done.decision_id),
        format!("{why}; `handfast task list` shows what is live"),
    ];
    let json = json!({
        "state": state(done.state), "decision_id": done.decision_id, "sequence": done.sequence,
        "receipt": Value::Null,
    });
    output.answer(&json, &lines);
    ExitCode::from(SOMEBODY_SILENT)
}

/// Asks for the receipt until nobody is silent any more, or the time is over.
async fn wait(
    operator: &mut OperatorStub,
    sequence: u64,
    seconds: u64,
) -> Result<Vec<v1::EnforcementPoint>, Complaint> {
    let begin = Instant::now();
    loop {
        let receipt = operator.receipt(v1::ReceiptRequest { sequence }).await;
        let points = receipt.map_err(|status| refused(&status))?.into_inner();
        let points = points.points;
        let silent = points.iter().any(|point| point.state() == State::Silent);
        if !silent || begin.elapsed() >= Duration::from_secs(seconds) {
            return Ok(points);
        }
        tokio::time::sleep(RECEIPT_INTERVAL).await;
    }
}

fn revoked(
    done: &v1::RevokeResponse,
    points: Option<&[v1::EnforcementPoint]>,
    output: &mut Output,
) -> ExitCode {
    let mut lines = vec![if done.state() == v1::TaskState::Unspecified {
        format!("revoked; decision {}", done.decision_id)
    } else {
        let now = state(done.state);
        format!("revoked; task is {now}; decision {}", done.decision_id)
    }];
    let mut json = json!({
        "state": state(done.state), "decision_id": done.decision_id, "sequence": done.sequence,
    });
    let mut code = ExitCode::SUCCESS;
    if let Some(points) = points {
        let receipt = Receipt::of(points);
        lines.push(receipt.line());
        if !receipt.silent.is_empty() {
            code = ExitCode::from(SOMEBODY_SILENT);
        }
        if let Some(members) = json.as_object_mut() {
            members.insert("receipt".to_owned(), receipt.json());
        }
    }
    output.answer(&json, &lines);
    code
}

/// Who has stopped, in one line.
#[derive(Debug)]
struct Receipt {
    stopped: usize,
    all: usize,
    slowest_ms: u64,
    silent: Vec<String>,
}

impl Receipt {
    fn of(points: &[v1::EnforcementPoint]) -> Self {
        let stopped = || {
            points
                .iter()
                .filter(|point| point.state() == State::Stopped)
        };
        let silent = points
            .iter()
            .filter(|point| point.state() != State::Stopped);
        Self {
            stopped: stopped().count(),
            all: points.len(),
            slowest_ms: stopped().map(|point| point.after_ms).max().unwrap_or(0),
            silent: silent
                .map(|point| match (point.pid, point.state()) {
                    (_, State::Unwatched) => format!("{} (not watching)", point.spiffe_id),
                    (0, _) => point.spiffe_id.clone(),
                    (pid, State::Gone) => format!("{} pid {pid} (gone)", point.spiffe_id),
                    (pid, _) => format!("{} pid {pid}", point.spiffe_id),
                })
                .collect(),
        }
    }

    fn line(&self) -> String {
        let silent = if self.silent.is_empty() {
            "none".to_owned()
        } else {
            self.silent.join(", ")
        };
        format!(
            "{} of {} enforcement points stopped, slowest {} ms, silent: {silent}",
            self.stopped, self.all, self.slowest_ms
        )
    }

    fn json(&self) -> Value {
        json!({
            "points": self.all, "stopped": self.stopped, "slowest_ms": self.slowest_ms,
            "silent": self.silent,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn point(pid: i32, state: State, after_ms: u64) -> v1::EnforcementPoint {
        v1::EnforcementPoint {
            spiffe_id: "spiffe://demo.test/tool".to_owned(),
            pid,
            state: state.into(),
            after_ms,
        }
    }

    #[test]
    fn a_receipt_says_who_stopped_how_late_and_who_is_silent() {
        let all = [point(7, State::Stopped, 12), point(8, State::Stopped, 38)];
        assert_eq!(
            Receipt::of(&all).line(),
            "2 of 2 enforcement points stopped, slowest 38 ms, silent: none"
        );
        let some = [point(7, State::Stopped, 12), point(8, State::Silent, 0)];
        assert_eq!(
            Receipt::of(&some).line(),
            "1 of 2 enforcement points stopped, slowest 12 ms, \
             silent: spiffe://demo.test/tool pid 8"
        );
        let nobody = [point(0, State::Unwatched, 0)];
        assert_eq!(
            Receipt::of(&nobody).line(),
            "0 of 1 enforcement points stopped, slowest 0 ms, \
             silent: spiffe://demo.test/tool (not watching)"
        );
    }
}
