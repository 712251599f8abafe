//! What the steps of a task may do, and what of it may be handed to children.
//!
//! Names `proto`.

use super::call::ToolCall;
use crate::proto::v1 as proto;
use crate::proto::v1::member_rule::Rule;

/// What the steps of a task may do. The default permits nothing.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Grant {
    permissions: Vec<proto::Permission>,
    not_after_ms: Option<u64>,
    audience_must_be_local: bool,
    depth: u32,
    children: u32,
    uses: Option<u32>,
    risk: proto::Risk,
}

/// What the top-level members of a call's arguments may be. A member that is not named here is refused; one that
/// is named may be absent, unless it is [`required`](Members::required).
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Members(Vec<proto::MemberRule>);

/// How much harm a tool can do, as the agent's configuration says; one that is not listed there is critical.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Risk {
    /// Reads, or is easily undone.
    Low,
    /// Changes what can be put right.
    Medium,
    /// Changes what is hard to put right.
    High,
    /// Cannot be put right.
    Critical,
}

impl Members {
    /// Admits the empty object alone.
    #[must_use]
    pub fn none() -> Self {
        Self::default()
    }

    /// Admits a member with any value.
    #[must_use]
    pub fn any(self, name: impl Into<String>) -> Self {
        self.rule(name, None)
    }

    /// Admits a member with one of these values, each a JSON scalar: `"\"orders\""`, `"17"`, `"null"`.
    #[must_use]
    pub fn one_of<V: Into<String>>(
        self,
        name: impl Into<String>,
        values: impl IntoIterator<Item = V>,
    ) -> Self {
        let values = values
            .into_iter()
            .map(|json| json.into().into_bytes())
            .collect();
        self.rule(name, Some(Rule::OneOf(proto::OneOf { values })))
    }

    /// Admits a member that is a number from `min` to `max` (JSON numbers), both included.
    #[must_use]
    pub fn range(self, name: impl Into<String>, min: Option<&str>, max: Option<&str>) -> Self {
        let bytes = |number: &str| number.as_bytes().to_vec();
        let range = proto::Range {
            min: min.map(bytes),
            max: max.map(bytes),
        };
        self.rule(name, Some(Rule::Range(range)))
    }

    /// Admits a member that is this path or one below it. A path that some program could read as another one (`..`
    /// in any spelling, see `path_prefix` in the API) is admitted by no prefix.
    #[must_use]
    pub fn below(self, name: impl Into<String>, prefix: impl Into<String>) -> Self {
        self.rule(name, Some(Rule::PathPrefix(prefix.into())))
    }

    /// Refuses arguments without this member, which was named before.
    #[must_use]
    pub fn required(mut self, name: &str) -> Self {
        for rule in self.0.iter_mut().filter(|rule| rule.name == name) {
            rule.required = true;
        }
        self
    }

    fn rule(mut self, name: impl Into<String>, rule: Option<Rule>) -> Self {
        self.0.push(proto::MemberRule {
            name: name.into(),
            required: false,
            rule,
        });
        self
    }
}

/// One tool with any arguments.
pub(super) fn any_call(audience: String, tool: String) -> proto::Permission {
    proto::Permission {
        audience,
        tool,
        arguments: None,
        any_of: Vec::new(),
        members: None,
    }
}

/// One call with exactly its arguments.
pub(super) fn exact_call(call: &ToolCall) -> proto::Permission {
    proto::Permission {
        arguments: Some(call.arguments().to_vec()),
        ..any_call(call.audience().to_owned(), call.tool().to_owned())
    }
}

/// One tool with arguments within these members.
pub(super) fn constrained(
    audience: String,
    tool: String,
    Members(rules): Members,
) -> proto::Permission {
    proto::Permission {
        members: Some(proto::MemberRules { rules }),
        ..any_call(audience, tool)
    }
}

impl Grant {
    /// Permits nothing.
    #[must_use]
    pub fn nothing() -> Self {
        Self::default()
    }

    /// Permits a tool with any arguments.
    #[must_use]
    pub fn tool(mut self, audience: impl Into<String>, tool: impl Into<String>) -> Self {
        self.permissions
            .push(any_call(audience.into(), tool.into()));
        self
    }

    /// Permits a tool with arguments within these members.
    #[must_use]
    pub fn tool_with(
        mut self,
        audience: impl Into<String>,
        tool: impl Into<String>,
        members: Members,
    ) -> Self {
        self.permissions
            .push(constrained(audience.into(), tool.into(), members));
        self
    }

    /// Permits one call with exactly its arguments.
    #[must_use]
    pub fn call(mut self, call: &ToolCall) -> Self {
        self.permissions.push(exact_call(call));
        self
    }

    /// Permits nothing at or after this time, in milliseconds since the Unix epoch.
    #[must_use]
    pub fn until_ms(mut self, not_after_ms: u64) -> Self {
        self.not_after_ms = Some(not_after_ms);
        self
    }

    /// Demands that audiences are pinned processes on the agent's node.
    #[must_use]
    pub fn at_local_audiences(mut self) -> Self {
        self.audience_must_be_local = true;
        self
    }

    /// Allows so many children over so many generations.
    #[must_use]
    pub fn fanning_out(mut self, children: u32, generations: u32) -> Self {
        self.children = children;
        self.depth = generations;
        self
    }

    /// Allows so many steps to be begun. A retry begins nothing.
    #[must_use]
    pub fn steps(mut self, uses: u32) -> Self {
        self.uses = Some(uses);
        self
    }

    /// Allows no tool above this risk.
    #[must_use]
    pub fn up_to_risk(mut self, risk: Risk) -> Self {
        self.risk = match risk {
            Risk::Low => proto::Risk::Low,
            Risk::Medium => proto::Risk::Medium,
            Risk::High => proto::Risk::High,
            Risk::Critical => proto::Risk::Critical,
        };
        self
    }

    pub(super) fn into_proto(self) -> proto::Grant {
        proto::Grant {
            permissions: self.permissions,
            not_after_ms: self.not_after_ms,
            audience_must_be_local: self.audience_must_be_local,
            depth: self.depth,
            children: self.children,
            uses: self.uses,
            risk_ceiling: self.risk.into(),
        }
    }

    pub(super) fn into_keep(self) -> proto::Keep {
        proto::Keep {
            permissions: self.permissions,
        }
    }
}
