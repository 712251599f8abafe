//! The claims as JSON members, in the order in which they are signed.
//!
//! Names `domain`. The one thing to know: every object is a struct that refuses unknown and repeated members;
//! `serde_json::Value`, which keeps the last of two silently, occurs nowhere.

use super::TokenError;
use crate::domain::claims::{Operation, Subject, TokenClaims};
use crate::domain::id::{Digest, Epoch, Fence, Jti, SpiffeId, StepNumber, TaskId};
use crate::domain::time::Time;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};

const PRINCIPAL: &str = "urn:handfast:principal:";
const TYPE_TASK: &str = "urn:handfast:task";
const TYPE_TOOL: &str = "urn:handfast:tool";

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Payload {
    iss: String,
    sub: String,
    act: Actor,
    aud: String,
    iat: u64,
    exp: u64,
    jti: String,
    txn: String,
    cnf: Confirmation,
    authorization_details: [Detail; 1],
    #[serde(rename = "urn:handfast:tct")]
    tct: Continuation,
}

/// RFC 8693 §4.1.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Actor {
    sub: String,
}

/// RFC 8705 §3.1.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Confirmation {
    #[serde(rename = "x5t#S256")]
    x5t_s256: String,
}

/// RFC 9396 §2.2: the tool or, for an operation on the task itself, its name.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Detail {
    #[serde(rename = "type")]
    kind: String,
    locations: [String; 1],
    actions: [String; 1],
    /// Digest of the canonical arguments.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    identifier: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    tool_definition_s256: Option<String>,
}

/// What only handfast has. `task` differs from `txn` in the children of a task.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Continuation {
    operation: String,
    task: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    name_hash: Option<String>,
    fence: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    step: Option<u32>,
    epoch: u64,
}

/// Writes the claims. Times are rounded down to whole seconds, so that a token never outlives its record.
pub(super) fn write(issuer: &SpiffeId, claims: &TokenClaims) -> Result<Vec<u8>, TokenError> {
    let audience = claims.audience.to_string();
    let (kind, action) = match &claims.tool {
        Some(tool) => (TYPE_TOOL, tool.as_str()),
        None => (TYPE_TASK, claims.operation.name()),
    };
    let payload = Payload {
        iss: issuer.to_string(),
        sub: match &claims.subject {
            Subject::Principal(hash) => format!("{PRINCIPAL}{}", encode(&hash.0)),
            Subject::Workload(id) => id.to_string(),
        },
        act: Actor {
            sub: claims.actor.to_string(),
        },
        aud: audience.clone(),
        iat: claims.issued_at.as_seconds(),
        exp: claims.expires_at.as_seconds(),
        jti: encode(&claims.jti.0),
        txn: claims.txn.to_string(),
        cnf: Confirmation {
            x5t_s256: encode(&claims.certificate.0),
        },
        authorization_details: [Detail {
            kind: kind.to_owned(),
            locations: [audience],
            actions: [action.to_owned()],
            identifier: claims.arguments.map(|digest| encode(&digest.0)),
            tool_definition_s256: claims.definition.map(|digest| encode(&digest.0)),
        }],
        tct: Continuation {
            operation: claims.operation.name().to_owned(),
            task: claims.task.to_string(),
            name_hash: claims.name.map(|hash| encode(&hash.0)),
            fence: claims.fence.0,
            step: claims.step.map(|step| step.0),
            epoch: claims.epoch.0,
        },
    };
    serde_json::to_vec(&payload).map_err(|_never| TokenError::Claims)
}

/// Reads claims whose signature was verified.
///
/// What is read is written again and compared, which settles every question of spelling at once: white space,
/// order, escapes, number forms, an array in the place of an object, a second spelling of an ID or a digest,
/// an issuer or location that is not what the other members say.
pub(super) fn read(issuer: &SpiffeId, bytes: &[u8]) -> Result<TokenClaims, TokenError> {
    let payload: Payload = serde_json::from_slice(bytes).map_err(|_opaque| TokenError::Claims)?;
    let claims = claims(payload).ok_or(TokenError::Claims)?;
    if write(issuer, &claims)? != bytes {
        return Err(TokenError::Spelling);
    }
    Ok(claims)
}

fn claims(payload: Payload) -> Option<TokenClaims> {
    let Payload {
        sub,
        tct,
        authorization_details: [detail],
        ..
    } = payload;
    let subject = match sub.strip_prefix(PRINCIPAL) {
        Some(hash) => Subject::Principal(digest(hash)?),
        None => Subject::Workload(SpiffeId::new(&sub).ok()?),
    };
    let [action] = detail.actions;
    Some(TokenClaims {
        subject,
        actor: SpiffeId::new(&payload.act.sub).ok()?,
        audience: SpiffeId::new(&payload.aud).ok()?,
        issued_at: seconds(payload.iat)?,
        expires_at: seconds(payload.exp)?,
        jti: Jti(decode(&payload.jti)?),
        txn: TaskId::parse(&payload.txn)?,
        task: TaskId::parse(&tct.task)?,
        certificate: digest(&payload.cnf.x5t_s256)?,
        operation: Operation::parse(&tct.operation)?,
        tool: (detail.kind == TYPE_TOOL).then_some(action),
        arguments: optional_digest(detail.identifier.as_deref()).ok()?,
        definition: optional_digest(detail.tool_definition_s256.as_deref()).ok()?,
        name: optional_digest(tct.name_hash.as_deref()).ok()?,
        fence: Fence(tct.fence),
        step: tct.step.map(StepNumber),
        epoch: Epoch(tct.epoch),
    })
}

/// A member may be absent, but not malformed.
fn optional_digest(text: Option<&str>) -> Result<Option<Digest>, TokenError> {
    text.map(|text| digest(text).ok_or(TokenError::Claims))
        .transpose()
}

fn seconds(value: u64) -> Option<Time> {
    value.checked_mul(1000).map(Time)
}

fn digest(text: &str) -> Option<Digest> {
    decode(text).map(Digest)
}

fn decode<const N: usize>(text: &str) -> Option<[u8; N]> {
    URL_SAFE_NO_PAD.decode(text).ok()?.try_into().ok()
}

fn encode(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}
