//! The slices against the whole set, and every question against the schema.

use super::compile::{Engine, Summary};
use super::question::Vocabulary;
use super::set::{Set, Verdict};
use crate::domain::evidence::{Assurance, Evidence};
use crate::domain::id::{Digest, SpiffeId, TaskId};
use crate::domain::policy::{
    Action, BudgetFacts, CallFacts, Consent, LineFacts, PersonFacts, PolicyGeneration, PolicyInput,
    TaskFacts,
};
use crate::domain::task::TaskState;
use crate::domain::time::Time;
use cedar_policy::{Authorizer, Context, Entities, PolicySet, Request};
use proptest::prelude::*;
use proptest::sample::select;
use std::sync::LazyLock;

pub(super) static ENGINE: LazyLock<Engine> = LazyLock::new(|| Engine::new().expect("an engine"));

const WORKLOADS: [&str; 3] = [
    "spiffe://a.test/w",
    "spiffe://b.test/w",
    "spiffe://a.test/server",
];

fn workload() -> impl Strategy<Value = SpiffeId> {
    select(&WORKLOADS[..]).prop_map(|id| SpiffeId::new(id).expect("a SPIFFE ID"))
}

fn action() -> impl Strategy<Value = Action> {
    select(&Action::ALL[..])
}

fn evidence() -> impl Strategy<Value = Evidence> {
    let assurance = select(&[Assurance::Principal, Assurance::Process, Assurance::Svid][..]);
    (
        assurance,
        any::<Option<u32>>(),
        any::<Option<String>>(),
        any::<Option<[u8; 32]>>(),
        any::<bool>(),
        any::<u64>(),
    )
        .prop_map(
            |(assurance, uid, cgroup, executable, traced, attested_at)| Evidence {
                spiffe_ids: WORKLOADS[..2]
                    .iter()
                    .map(|id| SpiffeId::new(id).expect("a SPIFFE ID"))
                    .collect(),
                assurance,
                process: None,
                uid,
                cgroup,
                executable: executable.map(Digest),
                releases: Vec::new(),
                traced,
                attested_at: Time(attested_at),
            },
        )
}

fn task() -> impl Strategy<Value = TaskFacts> {
    let states = [
        TaskState::Cancelled,
        TaskState::Completed,
        TaskState::Expired,
        TaskState::Failed,
        TaskState::InputRequired,
        TaskState::Working,
    ];
    (
        select(states.to_vec()),
        proptest::option::of(workload()),
        proptest::option::of(Just(Digest([1; 32]))),
        workload(),
        any::<String>(),
        any::<(u64, u64, u32, u32)>(),
    )
        .prop_map(|(state, owner, principal, server, tool, numbers)| {
            let (created_at, deadline, last_step, legs) = numbers;
            TaskFacts {
                id: TaskId([1; 16]),
                state,
                owner,
                principal,
                server,
                tool,
                created_at: Time(created_at),
                deadline: Time(deadline),
                last_step,
                legs,
                leg: (legs > 0).then_some(legs),
                line: LineFacts {
                    root: TaskId([2; 16]),
                    parent: (legs > 1).then_some(TaskId([3; 16])),
                    depth: last_step,
                },
                budget: BudgetFacts {
                    depth_left: legs,
                    children_left: last_step,
                    uses_left: (legs > 0).then_some(last_step),
                },
                delegates: Vec::new(),
            }
        })
}

fn call() -> impl Strategy<Value = CallFacts> {
    let tool = prop_oneof![Just("x".to_owned()), Just("y".to_owned()), any::<String>()];
    (workload(), tool, any::<bool>()).prop_map(|(audience, tool, owner_authority)| CallFacts {
        audience,
        tool,
        owner_authority,
    })
}

fn consent() -> impl Strategy<Value = Consent> {
    use proptest::option::weighted;
    let person = (any::<String>(), any::<bool>(), any::<bool>());
    let person = person.prop_map(|(issuer, is_owner, is_delegate)| PersonFacts {
        issuer,
        is_owner,
        is_delegate,
    });
    (
        any::<bool>(),
        weighted(0.5, workload()),
        weighted(0.5, person),
        weighted(0.9, workload()),
    )
        .prop_map(|(approved, approver, person, performer)| Consent {
            approved,
            approver,
            person,
            performer,
        })
}

/// Anything that the agent could know, and some of what it could not.
fn input() -> impl Strategy<Value = PolicyInput> {
    use proptest::option::weighted;
    (
        action(),
        weighted(0.9, workload()),
        weighted(0.9, evidence()),
        weighted(0.9, task()),
        weighted(0.9, call()),
        weighted(0.9, any::<String>()),
        consent(),
        prop_oneof![0..100_u64, any::<u64>()],
    )
        .prop_map(
            |(action, actor, evidence, task, call, issuer, consent, now)| PolicyInput {
                action,
                actor,
                evidence,
                task,
                call,
                issuer,
                consent,
                now: Time(now),
            },
        )
}

/// A policy of random scope, with a condition that holds, fails to hold, or cannot be evaluated.
fn policy() -> impl Strategy<Value = String> {
    let effect = prop_oneof![3 => Just("permit"), 1 => Just("forbid")];
    let principal = prop_oneof![
        3 => Just("principal".to_owned()),
        1 => Just("principal is Workload".to_owned()),
        1 => Just("principal in TrustDomain::\"a.test\"".to_owned()),
        1 => Just(format!("principal == Principal::\"{}\"", "01".repeat(32))),
        3 => select(&WORKLOADS[..]).prop_map(|id| format!("principal == Workload::\"{id}\"")),
    ];
    let actions = proptest::collection::vec(action(), 1..4);
    let actions = prop_oneof![
        1 => Just("action".to_owned()),
        4 => action().prop_map(|it| format!("action == Action::\"{}\"", it.name())),
        2 => actions.prop_map(|several| {
            let named: Vec<_> =
                several.iter().map(|it| format!("Action::\"{}\"", it.name())).collect();
            format!("action in [{}]", named.join(", "))
        }),
    ];
    let resource = prop_oneof![
        4 => Just("resource".to_owned()),
        1 => Just("resource is Tool".to_owned()),
        1 => Just(format!("resource == Task::\"{}\"", "01".repeat(16))),
        2 => select(&WORKLOADS[..]).prop_map(|id| format!("resource == Tool::\"{id}#x\"")),
    ];
    let condition = prop_oneof![
        4 => Just(""),
        2 => Just("when { context.now_ms > 50 }"),
        1 => Just("when { context.now_ms * 9223372036854775807 > 0 }"),
        1 => Just("unless { context.nope }"),
    ];
    (effect, principal, actions, resource, condition).prop_map(
        |(effect, principal, actions, resource, condition)| {
            format!("{effect} ({principal}, {actions}, {resource}) {condition};")
        },
    )
}

/// A set as `compile` would slice it, without its checks, so that failing policies are met too.
fn sliced(text: &str, vocabulary: &Vocabulary) -> Set {
    let parsed: PolicySet = text.parse().expect("a set");
    let summary = Summary {
        policies: vec![],
        warnings: vec![],
        text: Digest([0; 32]),
    };
    let policies = parsed.policies().cloned();
    Set::new(PolicyGeneration::default(), summary, policies, vocabulary).expect("a set")
}

/// What plain Cedar says of the whole set, with errors as refusals.
fn whole(
    set: &Set,
    vocabulary: &Vocabulary,
    input: &PolicyInput,
) -> Result<Vec<String>, Option<String>> {
    let question = vocabulary.question(input).map_err(|_foreign| None)?;
    let response =
        Authorizer::new().is_authorized(&question.request, &set.whole, &question.entities);
    let mut verdict = Verdict::default();
    verdict.add(&response);
    verdict.settle()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn slices_decide_like_the_whole_set(
        policies in proptest::collection::vec(policy(), 0..12),
        inputs in proptest::collection::vec(input(), 16),
    ) {
        let vocabulary = &ENGINE.vocabulary;
        let set = sliced(&policies.join("\n"), vocabulary);
        for input in &inputs {
            match (set.decide(vocabulary, input), whole(&set, vocabulary, input)) {
                (Ok(permit), Ok(policies)) => prop_assert_eq!(permit.policies(), policies),
                (Err(refusal), Err(Some(why))) => prop_assert_eq!(refusal.explanation, why),
                (Err(_), Err(None)) => {}
                (sliced, whole) => {
                    prop_assert!(false, "{:?} but the whole set says {:?}", sliced, whole);
                }
            }
        }
    }

    #[test]
    fn every_question_fits_the_schema(input in input()) {
        let engine = &*ENGINE;
        let schema = engine.schema();
        if let Ok(question) = engine.vocabulary.question(&input) {
            let request = &question.request;
            let context: Context = request.context().expect("a context").clone();
            let action = request.action().expect("an action").clone();
            let (principal, resource) = (question.principal, question.resource);
            Request::new(principal, action, resource, context, Some(schema))
                .map_err(|error| TestCaseError::fail(error.to_string()))?;
            Entities::from_entities(question.entities, Some(schema))
                .map_err(|error| TestCaseError::fail(error.to_string()))?;
        }
    }
}

/// One of a thousand policies, as operators write them: most name a tool or a performer.
fn one_of_many(number: usize) -> String {
    let workload = WORKLOADS[number % 3];
    let (many, name) = (number / 3 % 20, number % 40);
    let effect = if number % 31 == 3 { "forbid" } else { "permit" };
    let scope = match number % 50 {
        0 => "principal, action in [Action::\"step\", Action::\"start\"], resource".to_owned(),
        odd if odd % 2 == 1 => format!(
            "principal, action in [Action::\"step\", Action::\"retry\", Action::\"grant\"], \
             resource == Tool::\"{workload}#x{name}\""
        ),
        _ => format!("principal == Workload::\"{workload}{many}\", action, resource"),
    };
    let condition = match number % 97 {
        0 => "when { context.now_ms * 9223372036854775807 > 0 }".to_owned(),
        1..=40 => format!("when {{ context.now_ms > {number} }}"),
        _ => String::new(),
    };
    format!("{effect} ({scope}) {condition};")
}

fn one_question(number: u64) -> PolicyInput {
    let place = usize::try_from(number).expect("small");
    let base = SpiffeId::new(WORKLOADS[place % 3]).expect("a SPIFFE ID");
    let actor = SpiffeId::new(format!("{base}{}", number / 3 % 25)).expect("a SPIFFE ID");
    PolicyInput {
        action: *Action::ALL.iter().cycle().nth(place).expect("actions"),
        actor: Some(actor.clone()),
        evidence: Some(Evidence {
            spiffe_ids: vec![actor],
            assurance: Assurance::Process,
            process: None,
            uid: None,
            cgroup: None,
            executable: None,
            releases: Vec::new(),
            traced: false,
            attested_at: Time(0),
        }),
        task: Some(TaskFacts {
            id: TaskId([1; 16]),
            state: TaskState::Working,
            owner: Some(base.clone()),
            principal: None,
            server: base.clone(),
            tool: "x".to_owned(),
            created_at: Time(0),
            deadline: Time(5_000),
            last_step: 0,
            legs: 1,
            leg: Some(1),
            line: LineFacts {
                root: TaskId([1; 16]),
                parent: None,
                depth: 0,
            },
            budget: BudgetFacts::default(),
            delegates: Vec::new(),
        }),
        call: Some(CallFacts {
            audience: base.clone(),
            tool: format!("x{}", number % 45),
            owner_authority: true,
        }),
        issuer: Some("https://issuer.test".to_owned()),
        consent: Consent {
            performer: Some(base),
            ..Consent::default()
        },
        // Zero: the products of the failing conditions fit, so that those can decide too.
        now: Time(if number.is_multiple_of(4) { 0 } else { number }),
    }
}

#[test]
fn slices_of_a_thousand_policies_decide_like_the_whole_set() {
    let vocabulary = &ENGINE.vocabulary;
    let text: Vec<String> = (0..1_000).map(one_of_many).collect();
    let set = sliced(&text.join("\n"), vocabulary);
    let (mut permitted, mut refused) = (0, 0);
    for number in 0..360_u64 {
        let input = one_question(number);
        match (
            set.decide(vocabulary, &input),
            whole(&set, vocabulary, &input),
        ) {
            (Ok(permit), Ok(policies)) => {
                assert_eq!(permit.policies(), policies);
                permitted += 1;
            }
            (Err(refusal), Err(why)) => {
                let why = why.unwrap_or(refusal.explanation.clone());
                assert_eq!(refusal.explanation, why);
                refused += 1;
            }
            (sliced, whole) => panic!("{sliced:?} but the whole set says {whole:?}"),
        }
    }
    assert!(permitted > 20 && refused > 20, "{permitted} and {refused}");
}

#[test]
fn the_schema_names_exactly_the_actions_of_the_domain() {
    let engine = &*ENGINE;
    let mut named: Vec<_> = engine
        .schema()
        .actions()
        .map(|it| it.id().unescaped())
        .collect();
    named.sort_unstable();
    assert_eq!(named, Action::ALL.map(Action::name));
}

#[test]
fn the_schema_has_no_groups_of_actions() {
    let engine = &*ENGINE;
    // A group has members: slicing takes `action in` for equality.
    let entities = engine.schema().action_entities().expect("entities");
    for action in engine.schema().actions() {
        assert_eq!(entities.ancestors(action).expect("known").count(), 0);
    }
}
