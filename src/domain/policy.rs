//! What policy is asked, and the value that only its yes makes.
//!
//! Policy narrows: it is asked after the role check and before the decision, and a yes alone permits
//! nothing that the rules of this room refuse.

use super::evidence::Evidence;
use super::grant::ToolCall;
use super::id::{Digest, PrincipalHash, SpiffeId, TaskId};
use super::task::TaskState;
use super::time::Time;

/// What is about to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Action {
    /// Decide, as an approver, about a step that wants a person's consent. Resource: the tool.
    Approve,
    /// Cancel a task. Resource: the task.
    Cancel,
    /// Ask for a new task. Resource: the server's tool.
    Create,
    /// Hand a task, or acts on it, over to another role. Resource: the task.
    Delegate,
    /// End a leg, or the task through it. Resource: the task.
    End,
    /// Finish a task as its server. Resource: the task.
    Finish,
    /// Put a pair of audience and tool into a grant, as owner or server. Resource: the tool.
    Grant,
    /// Read a task. Resource: the task.
    Query,
    /// Make a task wait for its owner's answer, as its server. Resource: the task.
    RequireInput,
    /// Say, as its owner, what became of an effect that nobody knows about. Resource: the task.
    Resolve,
    /// Issue or use a token for a step that was found not done. Resource: the tool.
    Retry,
    /// Cut a child's grant out of a task's, as its leg holder. Resource: the child's tool.
    Spawn,
    /// Go on past a step whose outcome nobody knows, as the leg holder. Resource: that step's tool.
    SkipUnknown,
    /// Start or take up a leg. Resource: the task.
    Start,
    /// Issue or use a token for a step. Resource: the tool.
    Step,
    /// End the live leg, for the owner. Resource: the task.
    TakeOver,
    /// Answer what a task waits for. Resource: the task.
    Update,
    /// Vouch, as a server, for a principal of an issuer. Resource: the server's tool.
    Vouch,
}

impl Action {
    /// Every action, in the order of their names.
    pub const ALL: [Self; 18] = [
        Self::Approve,
        Self::Cancel,
        Self::Create,
        Self::Delegate,
        Self::End,
        Self::Finish,
        Self::Grant,
        Self::Query,
        Self::RequireInput,
        Self::Resolve,
        Self::Retry,
        Self::SkipUnknown,
        Self::Spawn,
        Self::Start,
        Self::Step,
        Self::TakeOver,
        Self::Update,
        Self::Vouch,
    ];

    /// The action's name in policies and in the audit.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Approve => "approve",
            Self::Cancel => "cancel",
            Self::Create => "create",
            Self::Delegate => "delegate",
            Self::End => "end",
            Self::Finish => "finish",
            Self::Grant => "grant",
            Self::Query => "query",
            Self::RequireInput => "require_input",
            Self::Resolve => "resolve",
            Self::Retry => "retry",
            Self::SkipUnknown => "skip_unknown",
            Self::Spawn => "spawn",
            Self::Start => "start",
            Self::Step => "step",
            Self::TakeOver => "take_over",
            Self::Update => "update",
            Self::Vouch => "vouch",
        }
    }

    /// The action of this name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|action| action.name() == name)
    }
}

/// What policy may look at. All of it is known to the agent; none is the caller's word.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyInput {
    /// What is about to be done.
    pub action: Action,
    /// The acting workload: caller, or at `Check` the performer of the live leg. `None` for a principal alone.
    pub actor: Option<SpiffeId>,
    /// The actor's evidence, where the actor is the caller.
    pub evidence: Option<Evidence>,
    /// The task, where there is one.
    pub task: Option<TaskFacts>,
    /// The tool, for `create`, `grant`, `vouch`, `spawn`, `step`, `retry` and `skip_unknown`.
    pub call: Option<CallFacts>,
    /// Issuer of the principal that the server vouches for, at `vouch`.
    pub issuer: Option<String>,
    /// Of a person's consent: at `step` and `retry` whether there is any, at `approve` what it is about.
    pub consent: Consent,
    /// The time.
    pub now: Time,
}

/// What policy sees of a person's consent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Consent {
    /// At `step` and `retry`: a person has consented, or it is asked whether that would help.
    pub approved: bool,
    /// At `step` and `retry`: through whom, once there is consent.
    pub approver: Option<SpiffeId>,
    /// The person: at `approve` who decides, once known; else who consented.
    pub person: Option<PersonFacts>,
    /// At `approve`: who asks.
    pub performer: Option<SpiffeId>,
}

impl Consent {
    /// As if a person had said yes: whether that would help.
    #[must_use]
    pub fn supposed() -> Self {
        Self {
            approved: true,
            ..Self::default()
        }
    }
}

/// What policy sees of a person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PersonFacts {
    /// `iss` of the ID token.
    pub issuer: String,
    /// Whether it is the principal for whom the task, or one that it descends from, was created.
    pub is_owner: bool,
    /// Whether a delegate acts, or acted, for it in one of them, as far as ended delegations are kept.
    pub is_delegate: bool,
}

/// What policy sees of a task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskFacts {
    /// Internal identifier.
    pub id: TaskId,
    /// State now.
    pub state: TaskState,
    /// The owner's workload.
    pub owner: Option<SpiffeId>,
    /// The owner's principal, as keyed digest.
    pub principal: Option<PrincipalHash>,
    /// The server.
    pub server: SpiffeId,
    /// The tool whose call created the task.
    pub tool: String,
    /// When it was created.
    pub created_at: Time,
    /// When it ends.
    pub deadline: Time,
    /// Highest step issued.
    pub last_step: u32,
    /// How many legs there have been.
    pub legs: u32,
    /// Number of the leg that is up or suspended.
    pub leg: Option<u32>,
    /// Where it stands in its tree.
    pub line: LineFacts,
    /// What is left of the owner's grant.
    pub budget: BudgetFacts,
    /// To whom the act that is asked about was handed over.
    pub delegates: Vec<SpiffeId>,
}

/// Where a task stands in its tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LineFacts {
    /// The root (`txn`); the task itself for a root.
    pub root: TaskId,
    /// The task that it was spawned from.
    pub parent: Option<TaskId>,
    /// How many ancestors it has.
    pub depth: u32,
}

/// What is left of a grant.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BudgetFacts {
    /// Generations that may still follow.
    pub depth_left: u32,
    /// Children that may still be made.
    pub children_left: u32,
    /// Steps that may still be begun; `None` where only the configuration bounds them.
    pub uses_left: Option<u32>,
}

/// What policy sees of a tool call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallFacts {
    /// The audience: the server's or tool's SPIFFE ID.
    pub audience: SpiffeId,
    /// Tool or method name.
    pub tool: String,
    /// Whether the authority is the owner's (`true`) or the server's own.
    pub owner_authority: bool,
}

impl CallFacts {
    /// The facts of a call.
    #[must_use]
    pub fn of(call: &ToolCall, owner_authority: bool) -> Self {
        Self {
            audience: call.audience.clone(),
            tool: call.tool.clone(),
            owner_authority,
        }
    }
}

/// Which policy set decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub struct PolicyGeneration {
    /// Counts the sets loaded in this run, from 1.
    pub number: u64,
    /// SHA-256 of the set's text.
    pub text: Option<Digest>,
}

/// Policy's yes. Made by the policy room alone (kept by `tests/tidy.rs`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Permit {
    generation: PolicyGeneration,
    policies: Vec<String>,
}

impl Permit {
    /// A yes of this generation, by these policies.
    #[must_use]
    pub fn granted(generation: PolicyGeneration, policies: Vec<String>) -> Self {
        Self {
            generation,
            policies,
        }
    }

    /// Which set said yes.
    #[must_use]
    pub fn generation(&self) -> PolicyGeneration {
        self.generation
    }

    /// Which of its policies determined it.
    #[must_use]
    pub fn policies(&self) -> &[String] {
        &self.policies
    }
}

/// Policy's no: no policy permits, one forbids, or one could not be evaluated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Which set said no.
    pub generation: PolicyGeneration,
    /// For the operator: the forbidding policies, the evaluation error, or that none permits.
    pub explanation: String,
}
