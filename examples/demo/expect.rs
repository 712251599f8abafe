//! What a step expects, and who is asked whether it was so.

use crate::Error;
use crate::director::Scene;
use crate::wire::{Ask, Denied, Exported, Said};

/// What an MCP server says to whoever has no role in a task.
pub(crate) const UNKNOWN: &str = "unknown task";

pub(crate) async fn issue(scene: &mut Scene<'_>, step: u32) -> Result<String, Error> {
    match scene.worker_1.ask(Ask::IssueStep { step }).await? {
        Said::Token { token } => Ok(token),
        other => Err(unexpected("a token", &other)),
    }
}

pub(crate) async fn export(scene: &mut Scene<'_>) -> Result<(), Error> {
    match scene.worker_1.ask(Ask::Export).await? {
        Said::Exported(Exported::Fresh) => Ok(()),
        other => Err(unexpected("a fresh effect", &other)),
    }
}

pub(crate) async fn expect_effects(scene: &mut Scene<'_>, expected: u64) -> Result<(), Error> {
    match scene.warehouse.ask(Ask::CountEffects).await? {
        Said::Count(count) if count == expected => Ok(()),
        other => Err(unexpected(&format!("{expected} effects"), &other)),
    }
}

/// Asks the operator why, and compares.
pub(crate) async fn truth(
    scene: &Scene<'_>,
    denied: &Denied,
    reason: &str,
) -> Result<String, Error> {
    let id = denied.decision_id.as_deref();
    let id = id.ok_or_else(|| format!("a refusal without decision ID: {denied:?}"))?;
    let truth = scene.operator.explain(id).await?;
    if truth.reason != reason {
        let (found, why) = (&truth.reason, &truth.explanation);
        return Err(format!("refused as `{found}` ({why}), not as `{reason}`").into());
    }
    Ok(truth.short().to_owned())
}

/// The same for what the server refused last.
pub(crate) async fn truth_of_server(scene: &mut Scene<'_>, reason: &str) -> Result<String, Error> {
    match scene.reports.ask(Ask::LastRefusal).await? {
        Said::Decision { id } => {
            let denied = Denied {
                decision_id: Some(id),
                ..Denied::default()
            };
            truth(scene, &denied, reason).await
        }
        other => Err(unexpected("a decision", &other)),
    }
}

pub(crate) fn get(user: &str, handle: &str) -> Ask {
    Ask::GetTask {
        user: user.to_owned(),
        handle: handle.to_owned(),
    }
}

pub(crate) fn expect_status(said: Said, expected: &str) -> Result<String, Error> {
    match said {
        Said::Status { status, .. } if status == expected => Ok(status),
        other => Err(unexpected(expected, &other)),
    }
}

pub(crate) fn expect_denied(said: Said) -> Result<Denied, Error> {
    match said {
        Said::Denied(denied) => Ok(denied),
        other => Err(unexpected("a refusal", &other)),
    }
}

pub(crate) fn expect_refused_by_tool(said: Said) -> Result<Denied, Error> {
    match said {
        Said::Exported(Exported::Denied(denied)) => Ok(denied),
        other => Err(unexpected("a refusal by the tool", &other)),
    }
}

/// The server's answer to whoever has no role, word for word.
pub(crate) fn expect_unknown(said: &Said) -> Result<(), Error> {
    match said {
        Said::Denied(denied) if denied.message == UNKNOWN => Ok(()),
        other => Err(unexpected(&format!("\"{UNKNOWN}\""), other)),
    }
}

pub(crate) fn expect_unknown_or_refused(said: &Said) -> Result<(), Error> {
    match said {
        Said::Denied(_) => Ok(()),
        other => Err(unexpected("a refusal", other)),
    }
}

pub(crate) fn unexpected(expected: &str, said: &Said) -> Error {
    let heard = match said {
        // Tokens are not for the terminal.
        Said::Token { .. } => "a token".to_owned(),
        other => format!("{other:?}"),
    };
    format!("wanted {expected}, got {heard}").into()
}

/// The end of an identifier, which is the random part.
pub(crate) fn short(id: &str) -> &str {
    let start = id.len().saturating_sub(4);
    id.get(start..).unwrap_or(id)
}
