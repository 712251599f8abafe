//! `handfast approval`: what people are asked, for the workload that asks them.
//!
//! The one thing to know: this process is attested like any other. It needs the approver's SPIFFE ID and
//! evidence, and is nobody where a party to the task runs it.

use super::output::{Output, columns};
use super::{Approval as Verb, Complaint};
use crate::client::{Agent, AgentConfig, Approval, Approver, ClientError, Verdict};
use crate::domain::id::Hex;
use secrecy::SecretString;
use serde_json::{Value, json};
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Bytes of an ID token that are read at most.
const TOKEN_BYTES_MAX: u64 = 16 * 1024;

/// Runs a verb.
pub(super) async fn approval(verb: Verb, output: &mut Output) -> Result<ExitCode, Complaint> {
    match verb {
        Verb::List { agent } => list(&connect(&agent.socket_path).await?, output).await,
        Verb::Show { approval_id, agent } => {
            show(&connect(&agent.socket_path).await?, approval_id, output).await
        }
        Verb::Decide {
            approval_id,
            digest,
            verdict,
            token,
            agent,
        } => {
            let verdict = if verdict.approve {
                Verdict::Approve
            } else {
                Verdict::Refuse
            };
            let digest = hex(&digest)?;
            let token = id_token(token.id_token_file, token.id_token_fd)?;
            let approver = connect(&agent.socket_path).await?;
            let decided = approver.decide(approval_id, &digest, verdict, &token);
            let state = decided.await.map_err(|error| refused(&error))?.name();
            output.answer(
                &json!({ "state": state }),
                &[format!("approval is {state}")],
            );
            Ok(ExitCode::SUCCESS)
        }
    }
}

async fn connect(socket: &Path) -> Result<Approver, Complaint> {
    let agent = Agent::connect(AgentConfig::new(socket)).await;
    let agent = agent.map_err(|error| {
        Complaint::of(
            &error,
            "is the agent running? name its socket with --socket-path",
        )
    })?;
    Ok(agent.approver())
}

fn refused(error: &ClientError) -> Complaint {
    Complaint::of(
        error,
        "`handfast api whoami` says who this process is; it needs an [[approver]] row and must be no party \
         to the task; `handfast explain` gives the operator the reason",
    )
}

async fn list(approver: &Approver, output: &mut Output) -> Result<ExitCode, Complaint> {
    let open = approver.list().await.map_err(|error| refused(&error))?;
    let rows: Vec<Vec<String>> = open
        .iter()
        .map(|approval| {
            vec![
                approval.id.clone(),
                approval.tool.clone(),
                approval.audience.clone(),
                approval.performer.clone(),
                approval.decide_by_ms.to_string(),
            ]
        })
        .collect();
    let heading = ["APPROVAL", "TOOL", "AT", "FOR", "DECIDE BY (MS)"];
    let json: Value = open.iter().map(in_json).collect();
    output.answer(&json, &columns(&heading, &rows));
    Ok(ExitCode::SUCCESS)
}

async fn show(approver: &Approver, id: String, output: &mut Output) -> Result<ExitCode, Complaint> {
    let approval = approver.get(id).await.map_err(|error| refused(&error))?;
    let nonces = nonces(&approval);
    let lines = [
        format!("approval     {}", approval.id),
        format!("state        {}", approval.state.name()),
        format!("tool         {} at {}", approval.tool, approval.audience),
        format!("arguments    {}", approval.text),
        format!("performer    {}", approval.performer),
        format!("owner        {}", approval.owner.as_deref().unwrap_or("-")),
        format!("server       {}", approval.server),
        format!("task         {} step {}", approval.task_id, approval.step),
        format!("decide by    {} ms", approval.decide_by_ms),
        format!("digest       {}", Hex(&approval.digest)),
        format!("nonce        {} (of a login that approves)", nonces.0),
        format!("             {} (of a login that refuses)", nonces.1),
    ];
    output.answer(&in_json(&approval), &lines);
    Ok(ExitCode::SUCCESS)
}

/// What a login has to carry that approves, and one that refuses.
fn nonces(approval: &Approval) -> (String, String) {
    (
        approval.nonce(Verdict::Approve),
        approval.nonce(Verdict::Refuse),
    )
}

fn in_json(approval: &Approval) -> Value {
    let nonces = nonces(approval);
    json!({
        "approval_id": approval.id, "state": approval.state.name(), "tool": approval.tool,
        "audience": approval.audience, "text": approval.text, "performer": approval.performer,
        "owner": approval.owner, "server": approval.server, "task_id": approval.task_id,
        "step": approval.step, "opened_at_ms": approval.opened_at_ms,
        "decide_by_ms": approval.decide_by_ms, "use_by_ms": approval.use_by_ms,
        "digest": Hex(&approval.digest).to_string(), "nonce": nonces.0, "refusal_nonce": nonces.1,
    })
}

fn hex(text: &str) -> Result<Vec<u8>, Complaint> {
    let wrong = || {
        let advice = "copy it from `handfast approval show`";
        Complaint::new("--digest: not hexadecimal", advice)
    };
    let digits: Option<Vec<u8>> = text
        .chars()
        .map(|c| c.to_digit(16).and_then(|digit| u8::try_from(digit).ok()))
        .collect();
    let pairs = digits.ok_or_else(wrong)?;
    pairs
        .chunks(2)
        .map(|pair| match pair {
            [high, low] => high.checked_mul(16).and_then(|high| high.checked_add(*low)),
            _ => None,
        })
        .collect::<Option<_>>()
        .ok_or_else(wrong)
}

/// Reads the ID token from a file or an inherited descriptor: never from the arguments, which everybody can see.
fn id_token(file: Option<PathBuf>, descriptor: Option<u32>) -> Result<SecretString, Complaint> {
    let path = match (file, descriptor) {
        (Some(file), _) => file,
        (None, Some(number)) => PathBuf::from(format!("/proc/self/fd/{number}")),
        (None, None) => {
            let advice = "give --id-token-file or --id-token-fd";
            return Err(Complaint::new("no ID token", advice));
        }
    };
    let mut text = String::new();
    std::fs::File::open(&path)
        .and_then(|file| file.take(TOKEN_BYTES_MAX).read_to_string(&mut text))
        .map_err(|error| Complaint::of(&error, "the ID token could not be read"))?;
    Ok(text.trim().to_owned().into())
}
