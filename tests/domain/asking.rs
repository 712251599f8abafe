//! A world in which policy wants a person's consent for every step.

use crate::fixture::{World, evidence, id, permit, present, role, worker};
use handfast::canonical;
use handfast::domain::approval::{Account, Approval, ApprovalState, Verdict};
use handfast::domain::decide::Presented;
use handfast::domain::decide::approval::{self, AskDecide, Standing, Wanted};
use handfast::domain::decide::step::{AskStep, StepAsked};
use handfast::domain::denial::Reason;
use handfast::domain::event::CallerFacts;
use handfast::domain::evidence::Evidence;
use handfast::domain::grant::ToolCall;
use handfast::domain::id::{ApprovalId, Digest, Jti, LegNumber, StepNumber};
use handfast::domain::lineage::{Lineage, Transition};
use handfast::domain::role::{AsApprover, AsPerformer, Held, Role};
use handfast::domain::task::Task;

pub(crate) const PERSON: Digest = Digest([77; 32]);

/// What is kept of a process.
pub(crate) fn facts(evidence: &Evidence) -> CallerFacts {
    CallerFacts {
        spiffe_ids: evidence.spiffe_ids.clone(),
        assurance: Some(evidence.assurance),
        process: evidence.process,
        uid: evidence.uid,
        cgroup: evidence.cgroup.clone(),
        executable: None,
    }
}

pub(crate) fn approver() -> Evidence {
    evidence("approver", 107, 50)
}

pub(crate) fn approver_roles() -> Vec<Role> {
    vec![role("approver", 50)]
}

/// One call of `export`, by its JSON arguments.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub(crate) json: String,
    pub(crate) tool: ToolCall,
}

pub(crate) fn call(json: &str) -> Call {
    let value = canonical::parse(json.as_bytes(), &canonical::Limits::default()).unwrap();
    Call {
        json: value.canonical(),
        tool: ToolCall {
            audience: id("warehouse"),
            tool: "export".to_owned(),
            arguments: value.digest(),
            definition: None,
        },
    }
}

/// The world, with the rows of requests for approval.
#[derive(Clone, Debug)]
pub(crate) struct Asking {
    pub(crate) world: World,
    pub(crate) approval: Option<Approval>,
    pub(crate) account: Option<Account>,
    /// Other tasks of the owner.
    pub(crate) others: Vec<Task>,
    serial: u8,
}

impl Asking {
    /// With a leg of the worker.
    pub(crate) fn new() -> Self {
        let mut world = World::new();
        world.start(&worker()).unwrap();
        Self::of(world)
    }

    /// About a task that the worker has a leg on.
    pub(crate) fn of(world: World) -> Self {
        Self {
            world,
            approval: None,
            account: None,
            others: Vec::new(),
            serial: 0,
        }
    }

    pub(crate) fn rows(&self, step: u32) -> Lineage {
        let own = self.world.lineage.task.iter().cloned();
        Lineage {
            approval: self.approval.clone(),
            account: self.account.clone(),
            owing: own.chain(self.others.iter().cloned()).collect(),
            ..self.world.rows(Some(StepNumber(step)), None)
        }
    }

    fn apply<E>(&mut self, transition: Transition<E>) -> E {
        if let Some(row) = &transition.writes.approval {
            self.approval = Some(row.clone());
        }
        if let Some(account) = &transition.writes.account {
            self.account = Some(account.clone());
        }
        self.world.apply(transition)
    }

    /// The worker asks for a step, as the service would have it decided.
    pub(crate) fn ask_as(
        &mut self,
        who: &Evidence,
        (step, request): (u32, u8),
        call: &Call,
    ) -> Result<StepAsked, Reason> {
        self.serial = self.serial.wrapping_add(1);
        let rows = self.rows(step);
        let now = self.world.now();
        let task = rows.known(&now)?;
        let held = Held::<AsPerformer>::check(task, who)?;
        let ask = AskStep {
            leg: task.legs,
            number: StepNumber(step),
            call: call.tool.clone().into(),
            idempotency_key: Digest([0; 32]),
            request: Digest([request; 32]),
            skip_unknown: None,
            jti: Jti([u8::try_from(task.fence.0).unwrap(); 16]),
        };
        let asked_by = facts(who);
        let wanted = Wanted {
            ask: &ask,
            canonical: &call.json,
            asked_by: &asked_by,
            serial: [self.serial; 12],
            sha256: &canonical::sha256,
        };
        let asked = match approval::standing(&rows, &held, &wanted, &now)? {
            Standing::Ask => approval::open(&rows, &held, &wanted, &permit(), &now)?,
            Standing::Granted(_) => approval::consume(&rows, &held, &wanted, &permit(), &now)?,
            Standing::Pending(row) => Transition::unchanged(StepAsked::Pending {
                id: row.id,
                decide_by: row.decide_by,
            }),
            Standing::Repeat(state) => Transition::unchanged(StepAsked::Repeat(state)),
        };
        Ok(self.apply(asked))
    }

    pub(crate) fn ask(&mut self, step: u32, json: &str) -> Result<StepAsked, Reason> {
        self.ask_as(&worker(), (step, 1), &call(json))
    }

    /// Asks, and a person is asked.
    pub(crate) fn pending(&mut self, step: u32, json: &str) -> ApprovalId {
        match self.ask(step, json).unwrap() {
            StepAsked::Pending { id, .. } => id,
            asked @ (StepAsked::Issue { .. } | StepAsked::Repeat(_)) => {
                panic!("nobody is asked: {asked:?}")
            }
        }
    }

    /// Asks, and gets a token.
    pub(crate) fn token(&mut self, step: u32, json: &str) -> Presented {
        match self.ask(step, json).unwrap() {
            StepAsked::Issue { claims, .. } => present(*claims),
            asked @ (StepAsked::Pending { .. } | StepAsked::Repeat(_)) => {
                panic!("no token: {asked:?}")
            }
        }
    }

    /// A person decides about the request as it is, but for what `change` does.
    pub(crate) fn decide_with(
        &mut self,
        verdict: Verdict,
        change: impl FnOnce(&mut AskDecide),
    ) -> Result<ApprovalState, Reason> {
        let row = self.approval.clone().ok_or(Reason::Unknown)?;
        let rows = self.rows(row.id.step.0);
        let now = self.world.now();
        rows.known(&now)?;
        let who = approver();
        let held = Held::<AsApprover>::apart(rows.line(), &row.asked_by, &approver_roles(), &who)?;
        let mut ask = AskDecide {
            id: row.id,
            digest: row.digest,
            verdict,
            brought_by: facts(&who),
            issuer: "https://login.test".to_owned(),
            person: PERSON,
        };
        change(&mut ask);
        let decided = approval::decide(&rows, &held, &ask, &permit(), &now)?;
        Ok(self.apply(decided))
    }

    pub(crate) fn decide(&mut self, verdict: Verdict) -> Result<ApprovalState, Reason> {
        self.decide_with(verdict, |_| {})
    }
}

/// The leg that [`Asking::new`] starts with.
pub(crate) const LEG: LegNumber = LegNumber(1);
