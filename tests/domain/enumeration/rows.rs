//! The real side's rows: kept once each, named by number, so that a state of the world is a few numbers and
//! equal states are equal numbers.

use super::alphabet::On;
use super::families::{Families, Fan};
use super::history::lifetime;
use super::kept::Kept;
use super::spawning::part;
use super::steps::SERVERS;
use super::steps::called;
use super::wider::Setting;
use crate::fixture::{START, grant, task};
use handfast::domain::approval::{Account, Approval};
use handfast::domain::claims::TokenClaims;
use handfast::domain::grant::{ArgumentConstraint, Grant, Permission};
use handfast::domain::id::{Digest, Epoch, Fence, StepNumber, TaskId};
use handfast::domain::limits::Limits;
use handfast::domain::lineage::{Lineage, Writes};
use handfast::domain::revocation::Revocations;
use handfast::domain::role::Owner;
use handfast::domain::step::{Step, TokenRecord};
use handfast::domain::task::{Task, TaskState};
use handfast::domain::time::Time;
use std::cell::RefCell;
use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

/// The state of a task as its line makes it, and when it ended.
type End = (TaskState, Option<Time>);

/// A task's row, its parent's, and when they are looked at.
type LineMark = (u32, Option<u32>, u32, Time);

type StepMark = (u32, (u64, u64, u64), u8);

type ApprovalMark = ([u8; 12], Time, Option<Fence>);

/// Every row and token that any sequence made.
#[derive(Clone, Debug)]
pub(super) struct Store {
    tasks: Kept<Task, u64>,
    steps: Kept<Step, StepMark>,
    records: Kept<TokenRecord, (u64, u64, Option<u64>)>,
    pub(super) tokens: Kept<TokenClaims, (u64, u64)>,
    approvals: Kept<Approval, ApprovalMark>,
    accounts: Kept<Account, (u32, Time)>,
    pub(super) families: Families,
    revocations: Kept<Arc<Revocations>, (u64, u64)>,
    ends: RefCell<HashMap<LineMark, End>>,
    pub(super) limits: Limits,
    pub(super) setting: Setting,
}

/// Everything that the ledger holds at one moment, the tokens that were handed out, and the time.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct World {
    pub(super) time: Time,
    pub(super) epoch: Epoch,
    tasks: [Option<u32>; 3],
    steps: Vec<(On, u32)>,
    records: Vec<(On, u32)>,
    /// Of each step the newest request for consent.
    approvals: Vec<(On, u32)>,
    /// What the owner of all tasks has asked of people.
    account: Option<u32>,
    /// Every step token, in the order of issue within its task.
    tokens: [Vec<u32>; 3],
    revocations: u32,
    pub(super) fan: Fan,
}

impl World {
    /// Whether this task's rows and tokens are the same in both.
    pub(super) fn is_alike(&self, other: &Self, on: On) -> bool {
        let own = |rows: &[(On, u32)]| -> Vec<u32> {
            let own = rows.iter().filter(|(task, _)| *task == on);
            own.map(|(_, row)| *row).collect()
        };
        let index = on.index();
        self.tasks[index] == other.tasks[index]
            && own(&self.steps) == own(&other.steps)
            && own(&self.records) == own(&other.records)
            && own(&self.approvals) == own(&other.approvals)
            && self.tokens[index] == other.tokens[index]
    }
}

/// Of what changes most: few tasks that differ have the same.
fn mark(task: &Task) -> u64 {
    let mut mark = DefaultHasher::new();
    let times = [task.ended_at, task.claimed_at, Some(task.owner_seen_at)];
    let counts = (task.owner_tokens, task.takeovers.0.len(), task.inputs.len());
    let open = (task.open_steps.len(), task.spawned, task.asked.uses_left);
    (task.id.0, task.fence.0, task.last_step.0, task.legs.0).hash(&mut mark);
    (times.map(|at| at.map(|at| at.0)), counts, open).hash(&mut mark);
    for it in &task.delegations {
        let over = it.ended_at.map(|at| at.0);
        (it.made_at.0, it.not_after.0, over).hash(&mut mark);
    }
    if let Some(step) = &task.pending {
        let act_by = step.act_by.map(|at| at.0);
        let token = (step.expires_at.0, step.epoch.0, step.request.0, act_by);
        (step.state as u8, step.fence.0, token).hash(&mut mark);
    }
    if let Some(leg) = &task.leg {
        let since = (leg.started_at.0, leg.epoch.0);
        (leg.fence.0, leg.holder.pid, since).hash(&mut mark);
    }
    mark.finish()
}

impl Store {
    /// What a command about this task reads, everything else being as it was at first. `None` where people are
    /// asked about other tasks: then it reads all.
    pub(super) fn part(&self, world: &World, first: &World, on: On) -> Option<World> {
        let line = |id: TaskId| id == self::id(on) || on.parent().map(self::id) == Some(id);
        let (account, _) = self.account(world);
        if account.is_some_and(|account| account.open.iter().any(|asked| !line(asked.task))) {
            return None;
        }
        let own = |rows: &[(On, u32)]| {
            let own = rows.iter().filter(|(task, _)| *task == on);
            own.copied().collect()
        };
        let mut part = World {
            steps: own(&world.steps),
            records: own(&world.records),
            approvals: own(&world.approvals),
            tasks: first.tasks,
            tokens: first.tokens.clone(),
            ..world.clone()
        };
        for task in [Some(on), on.parent()].into_iter().flatten() {
            part.tasks[task.index()] = world.tasks[task.index()];
        }
        part.tokens[on.index()].clone_from(&world.tokens[on.index()]);
        if on == On::Other {
            part.fan = first.fan.clone();
        }
        Some(part)
    }
}

/// The rows of one task as decisions read them.
#[derive(Clone, Debug)]
pub(super) struct View {
    /// As they are.
    pub(super) rows: Lineage,
    /// As the whole line makes them.
    pub(super) seen: Lineage,
}

pub(super) fn id(on: On) -> TaskId {
    TaskId([40 + u8::try_from(on.index()).unwrap(); 16])
}

pub(super) fn name(on: On) -> Digest {
    Digest([60 + u8::try_from(on.index()).unwrap(); 32])
}

/// The task that the n-th child grant is for; the first is the child, unless that is there already.
pub(super) fn child_id(setting: Setting, nth: usize) -> TaskId {
    if nth == 0 && !setting.child {
        return id(On::Child);
    }
    TaskId([80 + u8::try_from(nth).unwrap(); 16])
}

fn first_row(on: On, setting: Setting) -> Task {
    let parent = on.parent().map(id);
    let first = task();
    let servers = called(SERVERS);
    let (asked, own) = match on {
        On::Root if !setting.user => {
            let mut asked = grant();
            asked.permissions.push(part());
            let asked = Grant {
                depth_left: 1,
                children_left: setting.children,
                uses_left: setting.uses,
                ..asked
            };
            let permissions = vec![Permission {
                audience: servers.audience,
                tool: servers.tool,
                arguments: ArgumentConstraint::Any,
            }];
            let own = Grant {
                permissions,
                ..Grant::default()
            };
            (asked, own)
        }
        _ => (first.asked.clone(), first.own.clone()),
    };
    Task {
        id: id(on),
        txn: parent.unwrap_or(id(on)),
        parent,
        name: name(on),
        deadline: Time(START.0 + lifetime(on)),
        claimed_at: None,
        owner: Owner {
            principal: first.owner.principal.filter(|_| setting.user),
            ..first.owner.clone()
        },
        asked,
        own,
        ..first
    }
}

impl Store {
    pub(super) fn new(limits: Limits, setting: Setting) -> Self {
        Self {
            families: Families::new(),
            revocations: Kept::new(),
            setting,
            tasks: Kept::new(),
            steps: Kept::new(),
            records: Kept::new(),
            tokens: Kept::new(),
            approvals: Kept::new(),
            accounts: Kept::new(),
            ends: RefCell::default(),
            limits,
        }
    }

    /// Two tasks and, unless it has to be spawned, a child of the first, all just made.
    pub(super) fn first_world(&mut self) -> World {
        let setting = self.setting;
        World {
            revocations: self.revocations.keep(Arc::default(), (0, 0)),
            fan: Fan::default(),
            time: START,
            epoch: Epoch(1),
            tasks: On::ALL.map(|on| {
                let there = on != On::Child || setting.child;
                there.then(|| self.keep_task(first_row(on, setting)))
            }),
            steps: Vec::new(),
            records: Vec::new(),
            approvals: Vec::new(),
            account: None,
            tokens: [const { Vec::new() }; 3],
        }
    }

    fn keep_task(&mut self, task: Task) -> u32 {
        let mark = mark(&task);
        self.tasks.keep(task, mark)
    }

    pub(super) fn task(&self, world: &World, on: On) -> &Task {
        self.found(world, on).unwrap()
    }

    /// The task, if it was made.
    pub(super) fn found(&self, world: &World, on: On) -> Option<&Task> {
        let row = world.tasks[on.index()];
        row.map(|row| self.tasks.value(row))
    }

    pub(super) fn revocations(&self, world: &World) -> Arc<Revocations> {
        Arc::clone(self.revocations.value(world.revocations))
    }

    pub(super) fn token(&self, world: &World, on: On, nth: usize) -> &TokenClaims {
        self.tokens.value(world.tokens[on.index()][nth])
    }

    pub(super) fn records<'a>(
        &'a self,
        world: &'a World,
        on: On,
    ) -> impl Iterator<Item = &'a TokenRecord> {
        let own = world.records.iter().filter(move |(task, _)| *task == on);
        own.map(|(_, number)| self.records.value(*number))
    }

    pub(super) fn steps<'a>(&'a self, world: &'a World, on: On) -> impl Iterator<Item = &'a Step> {
        let own = world.steps.iter().filter(move |(task, _)| *task == on);
        own.map(|(_, number)| self.steps.value(*number))
    }

    /// The request for consent to a step.
    pub(super) fn approval(&self, world: &World, on: On, step: StepNumber) -> Option<&Approval> {
        let own = world.approvals.iter().filter(|(task, _)| *task == on);
        let mut own = own.map(|(_, number)| self.approvals.value(*number));
        own.find(|row| row.id.step == step)
    }

    /// What the owner has asked of people, and the tasks of what is open.
    pub(super) fn account(&self, world: &World) -> (Option<Account>, Vec<Task>) {
        let account = world
            .account
            .map(|number| self.accounts.value(number).clone());
        let open = account.iter().flat_map(|account| &account.open);
        let owing = open.filter_map(|id| {
            let mut tasks = On::ALL.into_iter().filter_map(|on| self.found(world, on));
            tasks.find(|task| task.id == id.task).cloned()
        });
        let owing = owing.collect();
        (account, owing)
    }

    pub(super) fn view(&self, world: &World, on: On) -> View {
        let task = self.found(world, on).cloned();
        let parent = on.parent().map(|parent| self.task(world, parent).clone());
        let rows = Lineage {
            id: Some(id(on)),
            task,
            ancestors: parent.into_iter().collect(),
            revocations: self.revocations(world),
            ..Lineage::default()
        };
        let seen = rows.as_of(world.time).into_owned();
        View { rows, seen }
    }

    /// How the task is as its whole line makes it. Asked for each task after each command, so remembered.
    pub(super) fn end(&self, world: &World, on: On) -> End {
        let row = |on: On| world.tasks[on.index()];
        let parent = on.parent().and_then(row);
        let key = (row(on).unwrap(), parent, world.revocations, world.time);
        *self.ends.borrow_mut().entry(key).or_insert_with(|| {
            let task = self.view(world, on).seen.task.unwrap();
            (task.state_at(world.time), task.ended_by(world.time))
        })
    }

    /// Writes what was decided, as the ledger would.
    pub(super) fn apply(&mut self, world: &World, on: On, writes: Writes) -> World {
        let mut next = world.clone();
        if let Some(task) = writes.task {
            assert_eq!(task.id, id(on), "rows of another task");
            next.tasks[on.index()] = Some(self.keep_task(task));
        }
        if let Some(revocations) = writes.revocations {
            let mark = (revocations.sequence, revocations.epochs.0);
            next.revocations = self.revocations.keep(revocations, mark);
        }
        let (children, spawned) = (writes.children, writes.spawned);
        self.families
            .apply(&mut next.fan, (children, spawned), writes.terms);
        for step in writes.steps {
            let number = step.number;
            let when = (step.fence.0, step.expires_at.0, step.epoch.0);
            let mark = (number.0, when, step.state as u8);
            let kept = self.steps.keep(step, mark);
            next.steps
                .retain(|(task, row)| (*task, self.steps.value(*row).number) != (on, number));
            next.steps.push((on, kept));
            next.steps
                .sort_by_key(|(task, row)| (*task, self.steps.value(*row).number));
        }
        if let Some(approval) = writes.approval {
            let step = approval.id.step;
            let mark = (approval.id.serial, approval.opened_at, approval.used_by);
            let kept = self.approvals.keep(approval, mark);
            let of = |row: u32| self.approvals.value(row).id.step;
            next.approvals
                .retain(|(task, row)| (*task, of(*row)) != (on, step));
            next.approvals.push((on, kept));
            next.approvals.sort_by_key(|(task, row)| (*task, of(*row)));
        }
        if let Some(account) = writes.account {
            let mark = (account.setbacks, account.not_before);
            next.account = Some(self.accounts.keep(account, mark));
        }
        for record in writes.records {
            let fence = record.fence;
            let used = record.used_at.map(|at| at.0);
            let mark = (fence.0, record.expires_at.0, used);
            let kept = self.records.keep(record, mark);
            next.records
                .retain(|(task, row)| (*task, self.records.value(*row).fence) != (on, fence));
            next.records.push((on, kept));
            next.records
                .sort_by_key(|(task, row)| (*task, self.records.value(*row).fence));
        }
        next
    }

    /// Keeps a step token that was handed out.
    pub(super) fn hand_out(&mut self, world: &mut World, on: On, claims: TokenClaims) {
        let mark = (claims.fence.0, claims.issued_at.0);
        let kept = self.tokens.keep(claims, mark);
        world.tokens[on.index()].push(kept);
    }
}
