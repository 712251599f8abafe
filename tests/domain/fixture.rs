//! Plain values for the tests of the rules: two workloads (one a twin), one server, one tool.

use handfast::domain::barred::Takeovers;
use handfast::domain::claims::{Operation, Subject, TokenClaims};
use handfast::domain::decide::Presented;
use handfast::domain::decide::leg::{self, AskStart, Started};
use handfast::domain::decide::report::Outcome;
use handfast::domain::decide::step::{self, AskStep, StepAsked};
use handfast::domain::decide::{check, report};
use handfast::domain::denial::Reason;
use handfast::domain::evidence::{Assurance, Evidence, ProcessKey, Required};
use handfast::domain::grant::{ArgumentConstraint, Grant, Permission, ToolCall};
use handfast::domain::id::{Digest, Epoch, Fence, Jti, LegNumber, SpiffeId, StepNumber, TaskId};
use handfast::domain::limits::Limits;
use handfast::domain::lineage::{Lineage, Now, Transition, Writes};
use handfast::domain::policy::{Permit, PolicyGeneration};
use handfast::domain::role::{AsAudience, AsPerformer, Held, Owner, Role};
use handfast::domain::step::{Step, StepState, TokenRecord};
use handfast::domain::task::{Task, TaskState};
use handfast::domain::time::Time;
use std::time::Duration;

pub(crate) const START: Time = Time(1_000_000);
pub(crate) const PRINCIPAL: Digest = Digest([9; 32]);

pub(crate) fn id(path: &str) -> SpiffeId {
    SpiffeId::new(format!("spiffe://test.example/{path}")).unwrap()
}

pub(crate) fn process(pid: i32) -> ProcessKey {
    ProcessKey {
        boot_id: [1; 16],
        pidfd_inode: u64::try_from(pid).unwrap(),
        pid,
        start_ticks: 7,
    }
}

/// Evidence of a process of user `uid`.
pub(crate) fn evidence(path: &str, pid: i32, uid: u32) -> Evidence {
    Evidence {
        spiffe_ids: vec![id(path)],
        assurance: Assurance::Process,
        process: Some(process(pid)),
        uid: Some(uid),
        cgroup: Some(format!("/system.slice/{path}.service")),
        executable: None,
        releases: Vec::new(),
        traced: false,
        attested_at: START,
    }
}

pub(crate) fn role(path: &str, uid: u32) -> Role {
    Role {
        spiffe_id: id(path),
        required: Required {
            uid: Some(uid),
            ..Required::default()
        },
    }
}

pub(crate) fn call(arguments: u8) -> ToolCall {
    ToolCall {
        audience: id("warehouse"),
        tool: "export".to_owned(),
        arguments: Digest([arguments; 32]),
        definition: None,
    }
}

pub(crate) fn grant() -> Grant {
    Grant {
        permissions: vec![Permission {
            audience: id("warehouse"),
            tool: "export".to_owned(),
            arguments: ArgumentConstraint::Any,
        }],
        ..Grant::default()
    }
}

pub(crate) fn permit() -> Permit {
    Permit::granted(PolicyGeneration::default(), Vec::new())
}

pub(crate) fn limits() -> Limits {
    Limits::default()
}

pub(crate) fn task() -> Task {
    Task {
        id: TaskId([5; 16]),
        txn: TaskId([5; 16]),
        parent: None,
        spawned_by: None,
        subject: None,
        created_at: START,
        owner: Owner {
            workload: Some(role("assistant", 10)),
            principal: Some(PRINCIPAL),
        },
        server: role("reports", 20),
        performers: vec![role("worker", 30)],
        delegations: Vec::new(),
        takeovers: Takeovers::default(),
        call: ToolCall {
            audience: id("reports"),
            tool: "build".to_owned(),
            ..call(1)
        },
        asked: grant(),
        own: Grant::default(),
        state: TaskState::Working,
        inputs: Vec::new(),
        deadline: Time(START.0 + 3_600_000),
        claim_by: Time(START.0 + 300_000),
        claimed_at: Some(START),
        owner_seen_at: START,
        ended_at: None,
        name: Digest([3; 32]),
        fence: Fence(1),
        legs: LegNumber(0),
        leg: None,
        last_step: StepNumber(0),
        pending: None,
        open_steps: Vec::new(),
        skipped_steps: Vec::new(),
        spawned: 0,
        owner_tokens: 0,
        owner_tokens_from: START,
    }
}

/// A task, its rows, a clock and an epoch: commands move it as the ledger would.
#[derive(Clone, Debug)]
pub(crate) struct World {
    pub(crate) lineage: Lineage,
    pub(crate) steps: Vec<Step>,
    pub(crate) records: Vec<TokenRecord>,
    pub(crate) time: Time,
    pub(crate) epoch: Epoch,
    pub(crate) limits: Limits,
    pub(crate) holder_may_act: bool,
}

impl World {
    pub(crate) fn new() -> Self {
        Self::of(task())
    }

    pub(crate) fn of(task: Task) -> Self {
        Self {
            lineage: Lineage {
                id: Some(task.id),
                task: Some(task),
                ..Lineage::default()
            },
            steps: Vec::new(),
            records: Vec::new(),
            time: START,
            epoch: Epoch(1),
            limits: limits(),
            holder_may_act: true,
        }
    }

    pub(crate) fn task(&self) -> &Task {
        self.lineage.task.as_ref().unwrap()
    }

    pub(crate) fn now(&self) -> Now<'_> {
        Now {
            time: self.time,
            epoch: self.epoch,
            limits: &self.limits,
        }
    }

    pub(crate) fn later(&mut self, ms: u64) -> &mut Self {
        self.time = self.time.after(Duration::from_millis(ms));
        self
    }

    pub(crate) fn apply<E>(&mut self, transition: Transition<E>) -> E {
        let Writes {
            task,
            terms,
            steps,
            records,
            ..
        } = transition.writes;
        if let Some(task) = task {
            self.lineage.task = Some(task);
        }
        if let Some(terms) = terms {
            self.lineage.terms = Some(terms);
        }
        for step in steps {
            self.steps.retain(|row| row.number != step.number);
            self.steps.push(step);
        }
        for record in records {
            self.records.retain(|row| row.fence != record.fence);
            self.records.push(record);
        }
        transition.effect
    }

    /// The rows that a command about this step and this token reads.
    pub(crate) fn rows(&self, step: Option<StepNumber>, fence: Option<Fence>) -> Lineage {
        Lineage {
            step: self
                .steps
                .iter()
                .find(|row| Some(row.number) == step)
                .cloned(),
            record: self
                .records
                .iter()
                .find(|row| Some(row.fence) == fence)
                .cloned(),
            ..self.lineage.clone()
        }
    }

    pub(crate) fn start(&mut self, who: &Evidence) -> Result<Started, Reason> {
        let rows = self.lineage.as_of(self.time).into_owned();
        let held = Held::<AsPerformer>::check(rows.known(&self.now())?, who)?;
        let ask = AskStart {
            certificate: Digest([u8::try_from(who.process.unwrap().pid % 256).unwrap(); 32]),
            certificate_ends: self.time.after(Duration::from_secs(3600)),
            uid: who.uid,
            holder_may_act: self.holder_may_act,
        };
        let started = leg::start(&rows, &held, &ask, &permit(), &self.now())?;
        Ok(self.apply(started))
    }

    pub(crate) fn issue(
        &mut self,
        who: &Evidence,
        (leg, step): (u32, u32),
        (arguments, request): (u8, u8),
    ) -> Result<StepAsked, Reason> {
        self.issue_past(who, (leg, step), (arguments, request), None)
    }

    /// As [`World::issue`], past an unknown step where policy permits.
    pub(crate) fn issue_past(
        &mut self,
        who: &Evidence,
        (leg, step): (u32, u32),
        (arguments, request): (u8, u8),
        skip_unknown: Option<Permit>,
    ) -> Result<StepAsked, Reason> {
        let number = StepNumber(step);
        let rows = self.rows(Some(number), None);
        let held = Held::<AsPerformer>::check(rows.known(&self.now())?, who)?;
        let ask = AskStep {
            leg: LegNumber(leg),
            number,
            call: call(arguments).into(),
            idempotency_key: Digest([arguments; 32]),
            request: Digest([request; 32]),
            skip_unknown,
            jti: Jti([u8::try_from(self.task().fence.0).unwrap(); 16]),
        };
        let issued = step::issue(&rows, &held, &ask, &permit(), &self.now())?;
        Ok(self.apply(issued))
    }

    /// Issues a step to the worker and returns its token.
    pub(crate) fn token(&mut self, step: u32) -> Presented {
        match self.issue(&worker(), (1, step), (1, 1)).unwrap() {
            StepAsked::Issue { claims, .. } => present(*claims),
            asked @ (StepAsked::Pending { .. } | StepAsked::Repeat(_)) => {
                panic!("no token: {asked:?}")
            }
        }
    }

    pub(crate) fn check(
        &mut self,
        who: &Evidence,
        token: &Presented,
        arguments: u8,
    ) -> Result<check::StepChecked, Reason> {
        let rows = self.rows(token.claims.step, Some(token.claims.fence));
        let held = Held::<AsAudience>::check(
            &token.claims.audience,
            Some(&Required {
                uid: Some(40),
                ..Required::default()
            }),
            Assurance::Svid,
            who,
        )?;
        let now = self.now();
        let checked = check::step(
            &rows,
            &held,
            token,
            &call(arguments).into(),
            (&permit(), &now),
        )?;
        Ok(self.apply(checked))
    }

    pub(crate) fn report(
        &mut self,
        token: &Presented,
        outcome: Outcome,
    ) -> Result<StepState, Reason> {
        let rows = self.rows(token.claims.step, Some(token.claims.fence));
        let held = Held::<AsAudience>::check(&id("warehouse"), None, Assurance::Svid, &tool())?;
        let reported = report::report(&rows, &held, token.claims.jti, outcome, &self.now())?;
        Ok(self.apply(reported))
    }
}

pub(crate) fn present(claims: TokenClaims) -> Presented {
    Presented {
        certificate: claims.certificate,
        claims,
    }
}

pub(crate) fn owner() -> Evidence {
    evidence("assistant", 101, 10)
}

pub(crate) fn server() -> Evidence {
    evidence("reports", 102, 20)
}

pub(crate) fn worker() -> Evidence {
    evidence("worker", 103, 30)
}

/// Another process of the worker's account: the same hand but for the process.
pub(crate) fn second_worker() -> Evidence {
    evidence("worker", 104, 30)
}

/// The worker's SVID under another user.
pub(crate) fn twin() -> Evidence {
    evidence("worker", 105, 31)
}

pub(crate) fn tool() -> Evidence {
    evidence("warehouse", 106, 40)
}

/// An owner's token for a task, as `Requests.Issue` would have it signed.
pub(crate) fn owner_claims(world: &World, operation: Operation, fence: Fence) -> TokenClaims {
    TokenClaims {
        subject: Subject::Workload(id("assistant")),
        actor: id("assistant"),
        audience: id("reports"),
        issued_at: world.time,
        expires_at: world.time.after(Duration::from_secs(10)),
        jti: Jti([7; 16]),
        txn: world.task().id,
        task: world.task().id,
        certificate: Digest([8; 32]),
        operation,
        tool: None,
        arguments: None,
        definition: None,
        name: Some(world.task().name),
        fence,
        step: None,
        epoch: world.epoch,
    }
}
