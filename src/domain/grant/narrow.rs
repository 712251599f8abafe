//! Narrowing: when a grant lies within another (`⊑`), and how a child's is cut out of its parent's.
//!
//! The rules N1 to N7 of the threat model. [`Grant::within`] is the order; [`Grant::narrow`] makes a child
//! that lies within, or says what was asked beyond the parent. [`Grant::pay`] takes from the parent what its
//! children get, so that together they never have more than it had.

use super::{Grant, Permission, Risk, ToolRisks};
use crate::domain::arguments::Witnesses;
use crate::domain::time::Time;

/// What a child asks of its parent's grant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChildTerms {
    /// The `create` that it is good for: one audience, one tool, and what its arguments may be.
    pub call: Permission,
    /// What the child's steps shall be permitted.
    pub permissions: Vec<Permission>,
    /// When it ends; `None` with its parent.
    pub not_after: Option<Time>,
    /// Whether the audience of a step must be a process on this node; it must where the parent says so.
    pub audience_assurance: super::AudienceAssurance,
    /// Generations that may follow the child.
    pub depth: u32,
    /// Children that may be made under the child.
    pub children: u32,
    /// Steps that may be begun under the child; due where the parent's are counted.
    pub uses: Option<u32>,
    /// The highest risk; `None` is the parent's.
    pub risk_ceiling: Option<Risk>,
    /// Arguments behind the digests in the constraints asked for, where the caller has shown them.
    pub witnesses: Witnesses,
}

/// What was asked beyond the parent's grant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Beyond {
    /// The server, tool or arguments of the `create` (N1, N2, N3).
    Call,
    /// More children than are left (N6).
    Children,
    /// More generations than are left (N5).
    Depth,
    /// A later end (N4).
    NotAfter,
    /// An audience, a tool or arguments (N1, N2, N3).
    Permissions,
    /// A higher risk (N7).
    Risk,
    /// A workload of another trust domain to spend it (N8).
    Spender,
    /// More steps than are left (N6).
    Uses,
}

impl Beyond {
    /// The field's name in the API.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Call => "call",
            Self::Children => "children",
            Self::Depth => "depth",
            Self::NotAfter => "not_after_ms",
            Self::Permissions => "permissions",
            Self::Risk => "risk_ceiling",
            Self::Spender => "spender",
            Self::Uses => "uses",
        }
    }
}

/// Whether one end is no later than the other; no end of its own is the latest.
fn ends_within(child: Option<Time>, parent: Option<Time>) -> bool {
    parent.is_none_or(|parent| child.is_some_and(|child| child <= parent))
}

/// Whether one count is no higher than the other; uncounted is the highest.
fn counts_within(child: Option<u32>, parent: Option<u32>) -> bool {
    parent.is_none_or(|parent| child.is_some_and(|child| child <= parent))
}

impl Permission {
    /// Whether every call that this admits is admitted by one permission of the list.
    #[must_use]
    pub fn within(&self, parents: &[Self], witnesses: &Witnesses) -> bool {
        parents.iter().any(|parent| {
            self.audience == parent.audience
                && self.tool == parent.tool
                && self.arguments.within(&parent.arguments, witnesses)
        })
    }
}

impl Grant {
    /// Whether this grant lies within `parent` (`⊑`): it permits nothing that the parent does not, for no
    /// longer, with no more budget and no higher risk.
    ///
    /// # Errors
    /// The first thing that lies beyond.
    pub fn within(&self, parent: &Self, witnesses: &Witnesses) -> Result<(), Beyond> {
        let covered = |permission: &Permission| permission.within(&parent.permissions, witnesses);
        let rules = [
            (Beyond::Permissions, self.permissions.iter().all(covered)),
            (
                Beyond::NotAfter,
                ends_within(self.not_after, parent.not_after),
            ),
            (
                Beyond::Permissions,
                self.audience_assurance >= parent.audience_assurance,
            ),
            (Beyond::Depth, self.depth_left <= parent.depth_left),
            (Beyond::Children, self.children_left <= parent.children_left),
            (
                Beyond::Uses,
                counts_within(self.uses_left, parent.uses_left),
            ),
            (Beyond::Risk, self.risk_ceiling <= parent.risk_ceiling),
        ];
        match rules.into_iter().find(|(_, holds)| !holds) {
            Some((beyond, _)) => Err(beyond),
            None => Ok(()),
        }
    }

    /// Whether a child's call and steps are all covered, budgets aside: whose authority it would be under.
    #[must_use]
    pub fn covers(&self, ask: &ChildTerms) -> bool {
        ask.call.within(&self.permissions, &ask.witnesses)
            && ask
                .permissions
                .iter()
                .all(|permission| permission.within(&self.permissions, &ask.witnesses))
    }

    /// Cuts a child's grant out of this one. It lies within it, one generation deeper; nothing is taken from
    /// this one yet. `ends_at` is when the parent stops being runnable.
    ///
    /// # Errors
    /// The first thing that was asked beyond this grant.
    pub fn narrow(
        &self,
        ask: &ChildTerms,
        ends_at: Time,
        risks: &ToolRisks,
    ) -> Result<Self, Beyond> {
        let ends_at = self.not_after.map_or(ends_at, |end| end.min(ends_at));
        let depth_max = self.depth_left.checked_sub(1).ok_or(Beyond::Depth)?;
        if ask.depth > depth_max {
            return Err(Beyond::Depth);
        }
        if !ask.call.within(&self.permissions, &ask.witnesses) {
            return Err(Beyond::Call);
        }
        if risks.of(&ask.call.audience, &ask.call.tool) > self.risk_ceiling {
            return Err(Beyond::Risk);
        }
        let child = Self {
            permissions: ask.permissions.clone(),
            not_after: Some(ask.not_after.unwrap_or(ends_at)),
            audience_assurance: ask.audience_assurance.max(self.audience_assurance),
            depth_left: ask.depth,
            children_left: ask.children,
            uses_left: ask.uses,
            risk_ceiling: ask.risk_ceiling.unwrap_or(self.risk_ceiling),
        };
        let parent = Self {
            not_after: Some(ends_at),
            ..self.clone()
        };
        child.within(&parent, &ask.witnesses)?;
        Ok(child)
    }

    /// Takes from this grant what a child gets: itself, the children and the steps that it may have (N6).
    ///
    /// # Errors
    /// What there is too little of; then nothing is taken.
    pub fn pay(&mut self, child: &Self) -> Result<(), Beyond> {
        let children_left = child
            .children_left
            .checked_add(1)
            .and_then(|taken| self.children_left.checked_sub(taken))
            .ok_or(Beyond::Children)?;
        let uses_left = match (self.uses_left, child.uses_left) {
            (None, _) => None,
            (Some(left), Some(taken)) => Some(left.checked_sub(taken).ok_or(Beyond::Uses)?),
            (Some(_), None) => return Err(Beyond::Uses),
        };
        self.children_left = children_left;
        self.uses_left = uses_left;
        Ok(())
    }
}
