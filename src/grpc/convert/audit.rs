//! Audit records, for operators.

use super::answers;
use crate::domain::event::{ChainedEvent, Event, Verdict};
use crate::domain::id::Hex;
use crate::proto::v1;

/// One record of the chain.
pub(in crate::grpc) fn record(chained: ChainedEvent) -> v1::AuditRecord {
    let Event {
        at,
        operation,
        verdict,
        task,
        caller,
        policy,
        policies,
        facts,
        count,
    } = chained.event;
    let (allowed, reason, explanation) = match verdict {
        Verdict::Allowed => (true, String::new(), String::new()),
        Verdict::Denied {
            reason,
            explanation,
        } => (false, reason, explanation),
    };
    v1::AuditRecord {
        number: chained.number.0,
        at_ms: answers::at_ms(at),
        operation,
        allowed,
        reason,
        explanation,
        task_id: task.as_ref().map(ToString::to_string).unwrap_or_default(),
        spiffe_ids: answers::spiffe_ids(&caller.spiffe_ids),
        assurance: caller
            .assurance
            .map(answers::assurance)
            .unwrap_or_default()
            .to_owned(),
        pid: caller
            .process
            .map(|process| process.pid)
            .unwrap_or_default(),
        uid: caller.uid.unwrap_or_default(),
        cgroup: caller.cgroup.unwrap_or_default(),
        executable_s256: caller
            .executable
            .map(|digest| Hex(&digest.0).to_string())
            .unwrap_or_default(),
        policy_generation: policy.number,
        policies,
        facts: facts
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value))
            .collect(),
        count,
        hash: chained.hash.0.to_vec(),
    }
}
