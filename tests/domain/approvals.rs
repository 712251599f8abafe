//! A person's consent: asked for once, given to one thing, used once, and over in time.

use crate::asking::{Asking, LEG, call};
use crate::fixture::{evidence, permit, role, second_worker, server, task, worker};
use handfast::domain::approval::{Account, ApprovalState, Verdict};
use handfast::domain::decide::step::StepAsked;
use handfast::domain::decide::{end, input, leg};
use handfast::domain::denial::Reason;
use handfast::domain::id::{ApprovalId, Digest, StepNumber, TaskId};
use handfast::domain::input::Input;
use handfast::domain::role::{AsServer, Held};
use handfast::domain::step::StepState;
use handfast::domain::task::{Task, TaskState};
use handfast::domain::time::Time;
use std::time::Duration;

const ARGUMENTS: &str = r#"{"table":"sales"}"#;

fn state(world: &Asking) -> TaskState {
    world.world.task().state_at(world.world.time)
}

#[test]
fn asking_makes_the_task_wait_and_a_decision_ends_that() {
    for (verdict, decided) in [
        (Verdict::Approved, ApprovalState::Approved),
        (Verdict::Refused, ApprovalState::Refused),
    ] {
        let mut world = Asking::new();
        let id = world.pending(1, ARGUMENTS);
        assert_eq!(state(&world), TaskState::InputRequired);
        assert_eq!(
            world.pending(1, ARGUMENTS),
            id,
            "a repeat is the same request"
        );
        assert_eq!(world.decide(verdict), Ok(decided));
        assert_eq!(state(&world), TaskState::Working);
        // The same word again changes nothing; another one comes too late.
        assert_eq!(world.decide(verdict), Ok(decided));
        let other = match verdict {
            Verdict::Approved => Verdict::Refused,
            Verdict::Refused => Verdict::Approved,
        };
        assert_eq!(world.decide(other), Err(Reason::ApprovalDecided));
        let by_another = world.decide_with(verdict, |ask| ask.person = Digest([1; 32]));
        assert_eq!(by_another, Err(Reason::ApprovalDecided));
    }
}

#[test]
fn a25_consent_is_used_once() {
    let mut world = Asking::new();
    world.pending(1, ARGUMENTS);
    world.decide(Verdict::Approved).unwrap();
    let first = world.token(1, ARGUMENTS);
    // The reply was lost: the same request, before the token is used.
    let second = world.token(1, ARGUMENTS);
    assert!(second.claims.fence > first.claims.fence);
    // Another request waits for the token in flight, and after its time a person is asked again.
    let again = world.ask_as(&worker(), (1, 2), &call(ARGUMENTS));
    assert_eq!(again, Err(Reason::StepInFlight));
    world.world.later(30_000);
    world.pending(1, ARGUMENTS);
}

#[test]
fn a25_a_retry_needs_consent_of_its_own() {
    let mut world = Asking::new();
    world.pending(1, ARGUMENTS);
    world.decide(Verdict::Approved).unwrap();
    world.token(1, ARGUMENTS);
    // Used, and then found not done.
    let mut used = world.world.task().clone();
    let mut step = used.pending.take().unwrap();
    step.state = StepState::NotDone;
    step.ever_used = true;
    used.open_steps.push(step.number);
    world.world.steps.push(step);
    world.world.lineage.task = Some(used);
    world.pending(1, ARGUMENTS);
    world.decide(Verdict::Approved).unwrap();
    let retry = world.token(1, ARGUMENTS);
    assert_eq!(retry.claims.operation.name(), "retry");
    assert_eq!(world.approval.unwrap().used_by, Some(retry.claims.fence));
}

#[test]
fn a26_a_request_ends_at_its_time_and_not_before() {
    for (late, decided) in [
        (0, Ok(ApprovalState::Approved)),
        (1, Err(Reason::ApprovalLapsed)),
    ] {
        let mut world = Asking::new();
        world.world.limits.decide_by = Duration::from_secs(60);
        world.pending(1, ARGUMENTS);
        world.world.later(59_999 + late);
        let waits = if late == 0 {
            TaskState::InputRequired
        } else {
            TaskState::Working
        };
        assert_eq!(state(&world), waits);
        assert_eq!(world.decide(Verdict::Approved), decided);
        if late == 1 {
            // It may be asked again, without a pause.
            world.pending(1, ARGUMENTS);
        }
    }
}

#[test]
fn a26_consent_lapses_at_its_time_and_may_be_asked_for_again() {
    let mut world = Asking::new();
    world.pending(1, ARGUMENTS);
    world.world.later(5_000);
    world.decide(Verdict::Approved).unwrap();
    let mut late = world.clone();
    world.world.later(299_999);
    let token = world.token(1, ARGUMENTS);
    // The token does not outlive the consent.
    assert_eq!(
        token.claims.expires_at,
        world.world.time.after(Duration::from_millis(1))
    );
    late.world.later(300_000);
    assert_eq!(late.pending(1, ARGUMENTS).step, StepNumber(1));
}

#[test]
fn nobody_decides_after_the_deadline() {
    let mut world = Asking::new();
    let deadline = world.world.task().deadline;
    let StepAsked::Pending { decide_by, .. } = world.ask(1, ARGUMENTS).unwrap() else {
        panic!("nobody is asked");
    };
    assert_eq!(decide_by, deadline);
    world.world.time = deadline;
    let late = world.decide(Verdict::Approved);
    assert_eq!(late, Err(Reason::Terminal(TaskState::Expired)));
}

#[test]
fn a26_whatever_changes_voids_the_consent() {
    let mut world = Asking::new();
    world.world.lineage.task.as_mut().unwrap().asked.permissions[0].tool = "export".to_owned();
    let first = world.pending(1, ARGUMENTS);
    world.decide(Verdict::Approved).unwrap();
    let mut definition = call(ARGUMENTS);
    definition.tool.definition = Some(Digest([1; 32]));
    for changed in [call(r#"{"table":"sale5"}"#), definition] {
        let mut world = world.clone();
        match world.ask_as(&worker(), (1, 1), &changed).unwrap() {
            StepAsked::Pending { id, .. } => assert_ne!(id, first),
            asked @ (StepAsked::Issue { .. } | StepAsked::Repeat(_)) => panic!("{asked:?}"),
        }
        // And the old request is nobody's to decide any more.
        let gone = world.decide_with(Verdict::Approved, |ask| ask.id = first);
        assert_eq!(gone, Err(Reason::Unknown));
    }
    // Text that is not of these arguments is nothing that anybody may see.
    let mut forged = call(ARGUMENTS);
    forged.json = r#"{"table":"harmless"}"#.to_owned();
    let shown = world.ask_as(&worker(), (1, 1), &forged);
    assert_eq!(shown, Err(Reason::CallDiffers));
    world.token(1, ARGUMENTS);
}

#[test]
fn another_process_of_the_performer_uses_the_consent_and_another_performer_does_not() {
    let mut world = Asking::new();
    let other = evidence("other-worker", 108, 31);
    let performers = &mut world.world.lineage.task.as_mut().unwrap().performers;
    performers.push(role("other-worker", 31));
    let first = world.pending(1, ARGUMENTS);
    world.decide(Verdict::Approved).unwrap();
    let lost = leg::lose(world.world.task(), LEG);
    world.world.apply(lost);
    let mut by_other = world.clone();
    world.world.start(&second_worker()).unwrap();
    let issued = world.ask_as(&second_worker(), (1, 9), &call(ARGUMENTS));
    assert!(matches!(issued, Ok(StepAsked::Issue { .. })), "{issued:?}");
    by_other.world.start(&other).unwrap();
    match by_other.ask_as(&other, (1, 9), &call(ARGUMENTS)).unwrap() {
        StepAsked::Pending { id, .. } => assert_ne!(id, first),
        asked @ (StepAsked::Issue { .. } | StepAsked::Repeat(_)) => panic!("{asked:?}"),
    }
}

#[test]
fn a_child_does_not_inherit_consent() {
    let mut world = Asking::new();
    world.pending(1, ARGUMENTS);
    world.decide(Verdict::Approved).unwrap();
    let parent = world.world.task().clone();
    world.world.lineage.task = Some(Task {
        id: TaskId([6; 16]),
        parent: Some(parent.id),
        ..parent.clone()
    });
    world.world.lineage.ancestors = vec![parent];
    // Even if its parent's row were taken for its own.
    assert_eq!(world.pending(1, ARGUMENTS).task, TaskId([6; 16]));
}

#[test]
fn a_decision_names_the_request_and_its_digest_and_comes_before_the_end() {
    let mut world = Asking::new();
    world.pending(1, ARGUMENTS);
    for at in [0, 13, 31] {
        let changed = world.decide_with(Verdict::Approved, |ask| ask.digest.0[at] ^= 1);
        assert_eq!(changed, Err(Reason::ApprovalDiffers));
    }
    let other = world.decide_with(Verdict::Approved, |ask| ask.id.serial[0] ^= 1);
    assert_eq!(other, Err(Reason::Unknown));
    assert_eq!(state(&world), TaskState::InputRequired);
    let revoked = end::revoke(world.world.task(), &world.world.now());
    let mut ended = world.clone();
    ended.world.apply(revoked);
    let late = ended.decide(Verdict::Approved);
    assert_eq!(late, Err(Reason::Terminal(TaskState::Cancelled)));
    assert_eq!(world.decide(Verdict::Approved), Ok(ApprovalState::Approved));
}

#[test]
fn a_person_is_not_asked_about_what_cannot_be() {
    let mut world = Asking::new();
    // Out of order, outside the grants, while another step is in flight, without a leg.
    assert_eq!(world.ask(2, ARGUMENTS), Err(Reason::StepOutOfOrder));
    let mut outside = call(ARGUMENTS);
    outside.tool.tool = "drop".to_owned();
    let refused = world.ask_as(&worker(), (1, 1), &outside);
    assert_eq!(refused, Err(Reason::Grant));
    let mut busy = world.clone();
    busy.world.token(1);
    assert_eq!(busy.ask(2, ARGUMENTS), Err(Reason::StepInFlight));
    let lost = leg::lose(world.world.task(), LEG);
    world.world.apply(lost);
    assert_eq!(world.ask(1, ARGUMENTS), Err(Reason::NoLeg));
    assert_eq!(world.approval, None);
}

#[test]
fn consent_and_the_owners_answer_are_two_things() {
    let mut world = Asking::new();
    world.pending(1, ARGUMENTS);
    let fence = world.world.task().leg.as_ref().map(|leg| leg.fence);
    let held = Held::<AsServer>::check(world.world.task(), &server()).unwrap();
    let keys = ["amount".to_owned()];
    let now = world.world.now();
    let required = input::require(world.world.task(), &held, (&keys, fence), &permit(), &now);
    let required = required.unwrap();
    world.world.apply(required);
    world.decide(Verdict::Approved).unwrap();
    assert_eq!(state(&world), TaskState::InputRequired);
    assert_eq!(world.ask(1, ARGUMENTS), Err(Reason::InputRequired));
    world.world.lineage.task.as_mut().unwrap().inputs.clear();
    world.token(1, ARGUMENTS);
}

#[test]
fn a70_each_request_that_comes_to_nothing_doubles_the_pause() {
    let mut world = Asking::new();
    let pause = |world: &mut Asking| match world.ask(1, ARGUMENTS) {
        Err(Reason::ApprovalPause { retry_after }) => retry_after.as_secs(),
        asked => panic!("{asked:?}"),
    };
    for seconds in [30, 60, 120, 240] {
        world.pending(1, ARGUMENTS);
        world.decide(Verdict::Refused).unwrap();
        assert_eq!(pause(&mut world), seconds);
        world.world.later(seconds * 1000 - 1);
        assert_eq!(pause(&mut world), 0);
        world.world.later(1);
    }
    world.pending(1, ARGUMENTS);
    world.decide(Verdict::Approved).unwrap();
    assert_eq!(world.account.as_ref().unwrap().setbacks, 0);
    // Replaced by other content: once at once, and then no more for a while.
    world.pending(1, r#"{"table":"other"}"#);
    let third = world.ask(1, ARGUMENTS);
    assert!(
        matches!(third, Err(Reason::ApprovalPause { .. })),
        "{third:?}"
    );
}

#[test]
fn a70_open_requests_are_counted_over_all_tasks_of_an_owner_and_ended_ones_are_not() {
    let mut world = Asking::new();
    world.world.limits.approvals_per_owner = 2;
    let other = |number: u8| {
        let id = ApprovalId {
            task: TaskId([number; 16]),
            step: StepNumber(1),
            serial: [number; 12],
        };
        let until = Time(u64::MAX);
        Task {
            id: id.task,
            inputs: vec![Input::Approval { id, until }],
            ..task()
        }
    };
    world.others = vec![other(10), other(11)];
    let ids = |tasks: &[Task]| {
        let inputs = tasks.iter().flat_map(|task| &task.inputs);
        let ids = inputs.filter_map(|input| match input {
            Input::Approval { id, .. } => Some(*id),
            Input::Server(_) => None,
        });
        ids.collect()
    };
    world.account = Some(Account {
        open: ids(&world.others),
        ..Account::default()
    });
    let full = world.ask(1, ARGUMENTS);
    assert_eq!(full, Err(Reason::Limit("limits.approvals_per_owner")));
    let over: [fn(&mut Task); 3] = [
        |task| task.state = TaskState::Cancelled,
        |task| task.inputs.clear(),
        |task| task.deadline = Time(0),
    ];
    for over in over {
        let mut world = world.clone();
        over(&mut world.others[0]);
        world.pending(1, ARGUMENTS);
    }
    // One whose task is forgotten counts no more.
    world.others.pop();
    world.pending(1, ARGUMENTS);
}

#[test]
fn a_lapsed_request_is_written_down_and_ends_nothing() {
    let mut world = Asking::new();
    world.world.limits.decide_by = Duration::from_secs(60);
    world.pending(1, ARGUMENTS);
    assert!(
        end::sweep(&world.rows(1), &world.world.now())
            .writes
            .is_empty()
    );
    world.world.later(60_000);
    let swept = end::sweep(&world.rows(1), &world.world.now());
    assert_eq!(swept.effect, TaskState::Working);
    world.world.apply(swept);
    let task = world.world.task();
    assert!(task.inputs.is_empty() && task.leg.is_some() && task.ended_at.is_none());
    assert!(
        end::sweep(&world.rows(1), &world.world.now())
            .writes
            .is_empty()
    );
}
