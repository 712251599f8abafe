//! How evidence becomes a role: the configuration's `[[workload]]` rows, copied when a task is made.

use super::Settings;
use crate::domain::denial::Reason;
use crate::domain::evidence::{Evidence, Required};
use crate::domain::id::{LegNumber, SpiffeId};
use crate::domain::lineage::Lineage;
use crate::domain::role::{Held, NotHeld, Role};
use crate::domain::time::Time;

impl Settings {
    /// What a caller with this SPIFFE ID must show now, if the configuration says so. A row that pins
    /// only a process is met by the one that calls: nothing was recorded of another.
    pub(super) fn row(&self, id: &SpiffeId, evidence: &Evidence) -> Option<Required> {
        self.workloads.get(id).map(|row| Required {
            process: row.process.then_some(evidence.process).flatten(),
            ..row.required.clone()
        })
    }

    /// The one identity under which a caller with several acts: the one that has a row.
    pub(super) fn acting_id(&self, evidence: &Evidence) -> Result<SpiffeId, Reason> {
        let mut ids = evidence.spiffe_ids.iter();
        match (ids.next(), ids.next()) {
            (Some(only), None) => Ok(only.clone()),
            (None, _) => Err(Reason::NotHeld(NotHeld::NoRole)),
            (Some(_), Some(_)) => {
                let mut rows = evidence
                    .spiffe_ids
                    .iter()
                    .filter(|id| self.workloads.contains_key(*id));
                match (rows.next(), rows.next()) {
                    (Some(only), None) => Ok(only.clone()),
                    (None | Some(_), _) => Err(Reason::AmbiguousIdentity),
                }
            }
        }
    }

    /// Records an owner's or server's role from what it shows now: its row, else user and cgroup.
    pub(super) fn record_role(&self, id: &SpiffeId, evidence: &Evidence) -> Result<Role, Reason> {
        if !evidence.spiffe_ids.contains(id) {
            return Err(Reason::NotHeld(NotHeld::NoRole));
        }
        let required = self.row(id, evidence).unwrap_or_else(|| Required {
            uid: evidence.uid,
            cgroup: evidence.cgroup.clone(),
            ..Required::default()
        });
        required.matches(evidence).map_err(Reason::CallerRow)?;
        Ok(Role {
            spiffe_id: id.clone(),
            required,
        })
    }

    /// A performer's role, from its row alone: nobody has been seen yet. A row that pins only a process
    /// would admit whoever starts first, so it must name a user or a cgroup too.
    pub(super) fn performer(&self, id: &SpiffeId) -> Result<Role, Reason> {
        let row = self.workloads.get(id).ok_or(Reason::PerformerUnknown)?;
        if row.required.uid.is_none() && row.required.cgroup.is_none() {
            return Err(Reason::PerformerUnknown);
        }
        Ok(Role {
            spiffe_id: id.clone(),
            required: row.required.clone(),
        })
    }

    /// Several performers' roles.
    pub(super) fn performers(&self, ids: &[SpiffeId]) -> Result<Vec<Role>, Reason> {
        if ids.len() > self.limits.performers_max {
            return Err(Reason::Limit("limits.performers"));
        }
        ids.iter().map(|id| self.performer(id)).collect()
    }
}

/// Whether a leg of a task that lives is over: its holder fills the role in which it was started no more, or the
/// delegation under which it was has run out.
pub(super) fn withdrawn(
    rows: &Lineage,
    (leg, evidence): (LegNumber, &Evidence),
    now: Time,
) -> bool {
    rows.as_of(now).task.as_ref().is_some_and(|task| {
        let held = task.leg.as_ref().filter(|it| it.number == leg);
        let fills = held.is_some_and(|leg| Held::of_leg(task, leg, evidence).is_ok());
        !task.state_at(now).is_terminal() && !fills
    })
}
