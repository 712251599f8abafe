//! A node whose policy wants a person's consent for `export`, an approver, and an identity provider of our own.

use crate::job::{Job, Leg, Task, export, step_op, text};
use crate::node::{Options, Role, Row};
use serde_json::{Value, json};
use std::fs;

#[path = "../support/person.rs"]
mod person;

pub(crate) use person::{Provider, nonce};

const WANTS_CONSENT: &str = r#"
@id("export-wants-consent")
forbid (principal, action in [Action::"step", Action::"retry"], resource)
when { resource.name == "export" } unless { context.approved };
"#;

const TABLES: &str = r#"
[[approver]]
spiffe_id = "spiffe://demo.test/approver"
"#;

/// What a node with approvals needs besides.
pub(crate) fn options() -> Options {
    let mut options = Options::default();
    options.policy.push_str(WANTS_CONSENT);
    options.config.push_str(TABLES);
    options.config.push_str(person::TABLE);
    options.roles.push(Role::new("approver", 30_010, Row::Uid));
    options
}

/// A job with an approver.
pub(crate) struct World {
    pub(crate) job: Job,
    pub(crate) approver: crate::node::Actor,
    pub(crate) provider: Provider,
}

impl World {
    pub(crate) fn start() -> Self {
        Self::with(&options())
    }

    pub(crate) fn with(options: &Options) -> Self {
        let job = Job::with(options);
        let provider = Provider::new();
        // Where the agent looks for them.
        fs::write(job.node.path("jwks.json"), provider.jwks()).unwrap();
        Self {
            approver: job.node.actor_named("approver"),
            provider,
            job,
        }
    }

    pub(crate) fn leg(&mut self) -> (Task, Leg) {
        let task = self.job.create();
        let leg = self.job.start_leg(&task);
        (task, leg)
    }

    /// The worker asks for a step and is told that a person is asked; returns the approval's ID.
    pub(crate) fn ask(&mut self, op: &Value) -> String {
        let asked = self.job.worker.ok(op);
        assert_eq!(asked["state"], "pending_approval", "{asked}");
        assert_eq!(asked["token"], "");
        text(&asked, "approval_id")
    }

    /// The request as the approver sees it.
    pub(crate) fn seen(&mut self, id: &str) -> Value {
        let op = json!({ "op": "approval_get", "approval_id": id });
        self.approver.ok(&op)
    }

    /// A person's decision about what the approver sees.
    pub(crate) fn decision(&mut self, id: &str, verdict: &str) -> Value {
        let digest = text(&self.seen(id), "digest");
        let id_token = self.login(&digest, "person-1", verdict);
        json!({
            "op": "approval_decide", "approval_id": id, "digest": digest, "verdict": verdict,
            "id_token": id_token,
        })
    }

    /// A person's login for this verdict.
    pub(crate) fn login(&self, digest: &str, person: &str, verdict: &str) -> String {
        let refuses = if verdict == "refuse" { "refuse." } else { "" };
        let nonce = format!("{refuses}{}", nonce(digest));
        self.provider.login(person, &nonce)
    }

    /// The decision of somebody else than usual.
    pub(crate) fn decision_of(&mut self, id: &str, person: &str, verdict: &str) -> Value {
        let mut op = self.decision(id, verdict);
        op["id_token"] = self.login(&text(&op, "digest"), person, verdict).into();
        op
    }

    pub(crate) fn decide(&mut self, id: &str, verdict: &str) -> Value {
        let op = self.decision(id, verdict);
        self.approver.ok(&op)
    }

    /// Step 1, asked for, approved and issued; returns its token.
    pub(crate) fn approved_token(&mut self, leg: &Leg) -> String {
        let id = self.ask(&step_op(leg, 1));
        self.decide(&id, "approve");
        self.job.step_token(leg, 1)
    }
}

/// As [`step_op`], with other arguments.
pub(crate) fn step_with(leg: &Leg, step: u64, arguments: Value) -> Value {
    let mut op = step_op(leg, step);
    op["call"] = export();
    op["call"]["arguments"] = arguments;
    op
}
