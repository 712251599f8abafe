//! The world of these tests: one reports server, its worker, its client, and strangers.

use handfast::domain::evidence::{Assurance, Evidence, ProcessKey};
use handfast::domain::id::{Digest, SpiffeId, TaskId};
use handfast::domain::policy::{
    Action, BudgetFacts, CallFacts, Consent, LineFacts, Permit, PolicyInput, Refusal, TaskFacts,
};
use handfast::domain::task::TaskState;
use handfast::domain::time::Time;
use handfast::policy::{CedarPolicy, PolicySource};
use handfast::service::ports::Policy;
use std::fs;
use std::path::{Path, PathBuf};

pub(crate) const OWNER: &str = "spiffe://prod.test/ns/shop/sa/client";
pub(crate) const APPROVER: &str = "spiffe://prod.test/approver";
pub(crate) const SERVER: &str = "spiffe://prod.test/mcp/reports";
pub(crate) const WORKER: &str = "spiffe://prod.test/ns/shop/sa/worker";
pub(crate) const MAILER: &str = "spiffe://prod.test/mcp/mailer";
pub(crate) const PRINCIPAL: Digest = Digest([7; 32]);

pub(crate) fn id(text: &str) -> SpiffeId {
    SpiffeId::new(text).expect("a SPIFFE ID")
}

/// The same path in another trust domain.
pub(crate) fn evil(text: &str) -> String {
    text.replace("prod.test", "evil.test")
}

pub(crate) fn evidence(of: &SpiffeId) -> Evidence {
    Evidence {
        spiffe_ids: vec![of.clone()],
        assurance: Assurance::Process,
        process: Some(ProcessKey {
            boot_id: [1; 16],
            pidfd_inode: 2,
            pid: 3,
            start_ticks: 4,
        }),
        uid: Some(1001),
        cgroup: Some("/system.slice/worker.service".to_owned()),
        executable: Some(Digest([9; 32])),
        releases: Vec::new(),
        traced: false,
        attested_at: Time(9_000),
    }
}

pub(crate) fn task() -> TaskFacts {
    TaskFacts {
        id: TaskId([5; 16]),
        state: TaskState::Working,
        owner: Some(id(OWNER)),
        principal: None,
        server: id(SERVER),
        tool: "render".to_owned(),
        created_at: Time(1_000),
        deadline: Time(100_000),
        last_step: 2,
        legs: 1,
        leg: None,
        line: LineFacts {
            root: TaskId([5; 16]),
            parent: None,
            depth: 0,
        },
        budget: BudgetFacts::default(),
        delegates: Vec::new(),
    }
}

pub(crate) fn call(audience: &str, tool: &str) -> CallFacts {
    CallFacts {
        audience: id(audience),
        tool: tool.to_owned(),
        owner_authority: true,
    }
}

/// What the agent asks when the right workload does the ordinary thing.
pub(crate) fn ordinary(action: Action) -> PolicyInput {
    let (actor, task, call, issuer) = match action {
        Action::Cancel
        | Action::Delegate
        | Action::Query
        | Action::Resolve
        | Action::TakeOver
        | Action::Update => (OWNER, Some(task()), None, None),
        Action::Approve => (APPROVER, Some(task()), Some(call(MAILER, "send")), None),
        Action::Create => (OWNER, None, Some(call(SERVER, "render")), None),
        Action::Grant => (OWNER, None, Some(call(MAILER, "send")), None),
        Action::End | Action::Start => (WORKER, Some(task()), None, None),
        Action::Finish | Action::RequireInput => (SERVER, Some(task()), None, None),
        Action::Retry | Action::SkipUnknown | Action::Spawn | Action::Step => {
            (WORKER, Some(task()), Some(call(MAILER, "send")), None)
        }
        Action::Vouch => {
            let issuer = "https://login.example.org".to_owned();
            (SERVER, None, Some(call(SERVER, "render")), Some(issuer))
        }
    };
    let actor = id(actor);
    PolicyInput {
        action,
        evidence: Some(evidence(&actor)),
        actor: Some(actor),
        task,
        call,
        issuer,
        consent: Consent {
            performer: Some(id(WORKER)),
            ..Consent::default()
        },
        now: Time(10_000),
    }
}

/// The same, by another workload.
pub(crate) fn by(actor: &str, mut input: PolicyInput) -> PolicyInput {
    let actor = id(actor);
    input.evidence = Some(evidence(&actor));
    input.actor = Some(actor);
    input
}

pub(crate) fn default_set() -> CedarPolicy {
    CedarPolicy::load(PolicySource::default()).expect("the default set")
}

/// A folder for one policy file, and a set loaded from it.
#[derive(Debug)]
pub(crate) struct Folder {
    folder: tempfile::TempDir,
}

impl Folder {
    pub(crate) fn with(text: &str) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let made = Self { folder };
        made.write(text);
        made
    }

    pub(crate) fn file(&self) -> PathBuf {
        self.folder.path().join("policy.cedar")
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn write(&self, text: &str) {
        fs::write(self.file(), text).expect("write the policy file");
    }

    pub(crate) fn load(&self) -> CedarPolicy {
        CedarPolicy::load(PolicySource::file(self.file())).expect("a good set")
    }
}

/// A set of this text.
pub(crate) fn set(text: &str) -> CedarPolicy {
    Folder::with(text).load()
}

#[track_caller]
pub(crate) fn permitted(policy: &CedarPolicy, input: &PolicyInput) -> Permit {
    match policy.evaluate(input) {
        Ok(permit) => permit,
        Err(refusal) => panic!("{:?} is refused: {}", input.action, refusal.explanation),
    }
}

#[track_caller]
pub(crate) fn refused(policy: &CedarPolicy, input: &PolicyInput) -> Refusal {
    match policy.evaluate(input) {
        Ok(permit) => panic!("{:?} is permitted by {:?}", input.action, permit.policies()),
        Err(refusal) => refusal,
    }
}
