//! What a policy says of actions, narrowed to the one action of a pile.
//!
//! A list of actions is made into a set and searched at every question, which costs as much as a short condition. In
//! its pile a policy names one action: cheap to compare, and a policy in a wrong pile still cannot apply.

use super::error::PolicyError;
use cedar_policy::pst::{self, StaticPolicy, Template};
use cedar_policy::{ActionConstraint, EntityUid, Policy};

/// A policy and the actions that it names.
#[derive(Debug)]
pub(super) struct Scope<'a> {
    policy: &'a Policy,
    actions: ActionConstraint,
    /// The policy as a tree that can be changed, where it names a list.
    listing: Option<Template>,
}

impl<'a> Scope<'a> {
    pub(super) fn of(policy: &'a Policy) -> Result<Self, PolicyError> {
        let actions = policy.action_constraint();
        let listing = match &actions {
            ActionConstraint::In(_) => Some(
                policy
                    .to_pst()
                    .map_err(|it| PolicyError::built_in(&it))?
                    .body()
                    .clone(),
            ),
            ActionConstraint::Any | ActionConstraint::Eq(_) => None,
        };
        Ok(Self {
            policy,
            actions,
            listing,
        })
    }

    /// The policy for one action; `None` if it is not about it.
    pub(super) fn narrowed_to(&self, action: &EntityUid) -> Result<Option<Policy>, PolicyError> {
        if !self.admits(action) {
            return Ok(None);
        }
        let Some(mut listing) = self.listing.clone() else {
            return Ok(Some(self.policy.clone()));
        };
        listing.action = pst::ActionConstraint::Eq(action.clone().into());
        let narrowed = StaticPolicy::try_from(listing).map_err(|it| PolicyError::built_in(&it))?;
        Policy::from_pst(pst::Policy::Static(narrowed))
            .map(Some)
            .map_err(|it| PolicyError::built_in(&it))
    }

    fn admits(&self, action: &EntityUid) -> bool {
        match &self.actions {
            ActionConstraint::Any => true,
            ActionConstraint::Eq(only) => only == action,
            // The schema has no groups of actions, so membership is equality.
            ActionConstraint::In(several) => several.contains(action),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const REST: &str = "principal == Workload::\"spiffe://a.test/w\", resource is Tool";

    fn narrowed(actions: &str, to: &str) -> Option<Policy> {
        let (principal, resource) = REST.split_once(", ").unwrap();
        let text = format!(
            "@id(\"why\")\nforbid ({principal}, {actions}, {resource})\n\
             when {{ context.now_ms > 5 }} unless {{ resource.name like \"a*\" }};"
        );
        let policy: Policy = text.parse().unwrap();
        let to = format!("Action::\"{to}\"").parse().unwrap();
        Scope::of(&policy).unwrap().narrowed_to(&to).unwrap()
    }

    #[test]
    fn a_list_becomes_the_one_action_and_nothing_else_changes() {
        let list = "action in [Action::\"step\", Action::\"retry\"]";
        for action in ["step", "retry"] {
            let one = format!("action == Action::\"{action}\"");
            let (narrowed, written) = (narrowed(list, action), narrowed(&one, action));
            let json = |policy: Option<Policy>| policy.unwrap().to_json().unwrap();
            assert_eq!(json(narrowed), json(written));
        }
        assert!(narrowed(list, "start").is_none());
    }

    #[test]
    fn whoever_names_one_action_or_none_stays_as_it_is() {
        assert!(narrowed("action == Action::\"step\"", "step").is_some());
        assert!(narrowed("action == Action::\"step\"", "retry").is_none());
        let any = narrowed("action", "retry").unwrap();
        assert_eq!(any.action_constraint(), ActionConstraint::Any);
    }
}
