//! Every action under the default set: who may, and who may not.

use crate::inputs::{
    MAILER, OWNER, PRINCIPAL, SERVER, WORKER, by, call, default_set, evidence, evil, id, ordinary,
    permitted, refused, set, task,
};
use handfast::domain::policy::{Action, PolicyInput, TaskFacts};
use handfast::policy::{DEFAULT_POLICY, check};
use handfast::service::ports::Policy;

#[test]
fn every_action_but_vouch_is_permitted_to_the_ordinary_actor() {
    let policy = default_set();
    let by = |action| permitted(&policy, &ordinary(action)).policies().to_vec();
    assert_eq!(by(Action::Cancel), ["owner-workload"]);
    assert_eq!(by(Action::Create), ["create-within-trust-domain"]);
    assert_eq!(by(Action::End), ["perform-within-trust-domain"]);
    assert_eq!(by(Action::Finish), ["server-own-tasks"]);
    assert_eq!(by(Action::Grant), ["create-within-trust-domain"]);
    assert_eq!(by(Action::Query), ["owner-workload"]);
    assert_eq!(by(Action::Retry), ["step-within-trust-domain"]);
    assert_eq!(by(Action::Start), ["perform-within-trust-domain"]);
    assert_eq!(by(Action::Step), ["step-within-trust-domain"]);
}

#[test]
fn every_action_is_refused_to_the_same_path_of_another_trust_domain() {
    let policy = default_set();
    for action in Action::ALL {
        let mut input = ordinary(action);
        let actor = evil(&input.actor.as_ref().expect("an actor").to_string());
        input = by(&actor, input);
        let refusal = refused(&policy, &input);
        assert!(
            refusal.explanation.contains("no policy permits"),
            "{action:?}: {}",
            refusal.explanation
        );
    }
}

#[test]
fn owners_act_on_their_own_tasks_only() {
    let policy = default_set();
    for action in [Action::Query, Action::Update, Action::Cancel] {
        refused(&policy, &by(WORKER, ordinary(action)));
        refused(&policy, &by(MAILER, ordinary(action)));
        let nobodys = TaskFacts {
            owner: None,
            ..task()
        };
        let input = PolicyInput {
            task: Some(nobodys),
            ..ordinary(action)
        };
        refused(&policy, &input);
    }
}

#[test]
fn a_delegate_does_what_was_handed_over_to_it_within_the_trust_domain() {
    let policy = default_set();
    let acts = [
        Action::Query,
        Action::Update,
        Action::Cancel,
        Action::Delegate,
        Action::TakeOver,
    ];
    for action in acts {
        let to = |delegate: &str| {
            let facts = TaskFacts {
                delegates: vec![id(delegate)],
                ..task()
            };
            let input = PolicyInput {
                task: Some(facts),
                ..ordinary(action)
            };
            by(delegate, input)
        };
        assert_eq!(permitted(&policy, &to(MAILER)).policies(), ["delegates"]);
        refused(&policy, &to("spiffe://partner.example/relief"));
        // Whoever is not named stays a stranger.
        refused(&policy, &by(WORKER, to(MAILER)));
    }
    refused(&policy, &by(MAILER, ordinary(Action::Resolve)));
}

#[test]
fn a_server_reads_and_finishes_its_own_tasks_and_cancels_none() {
    let policy = default_set();
    permitted(&policy, &by(SERVER, ordinary(Action::Query)));
    refused(&policy, &by(SERVER, ordinary(Action::Cancel)));
    refused(&policy, &by(MAILER, ordinary(Action::Finish)));
    refused(&policy, &by(OWNER, ordinary(Action::Finish)));
}

#[test]
fn a_principal_alone_reads_and_cancels_its_own_task() {
    let policy = default_set();
    for action in [Action::Query, Action::Update, Action::Cancel] {
        let users = PolicyInput {
            actor: None,
            evidence: None,
            task: Some(TaskFacts {
                owner: None,
                principal: Some(PRINCIPAL),
                ..task()
            }),
            ..ordinary(action)
        };
        assert_eq!(permitted(&policy, &users).policies(), ["owner-principal"]);
        let nobodys = PolicyInput {
            task: Some(TaskFacts {
                owner: None,
                ..task()
            }),
            ..users
        };
        let refusal = refused(&policy, &nobodys);
        assert!(refusal.explanation.contains("without an actor"));
    }
}

#[test]
fn a_principal_alone_does_nothing_else() {
    let policy = default_set();
    for action in Action::ALL {
        let input = PolicyInput {
            actor: None,
            evidence: None,
            task: Some(TaskFacts {
                owner: None,
                principal: Some(PRINCIPAL),
                ..task()
            }),
            ..ordinary(action)
        };
        let permitted = policy.evaluate(&input).is_ok();
        let expected = matches!(action, Action::Query | Action::Cancel | Action::Update);
        assert_eq!(permitted, expected, "{action:?}");
    }
}

#[test]
fn a_traced_process_does_nothing_but_end_what_it_has() {
    let policy = default_set();
    for action in Action::ALL {
        let mut input = ordinary(action);
        if [Action::SkipUnknown, Action::Vouch].contains(&action) {
            // Permitted to nobody, traced or not.
            continue;
        }
        permitted(&policy, &input);
        if let Some(evidence) = &mut input.evidence {
            evidence.traced = true;
        }
        if [Action::Cancel, Action::End].contains(&action) {
            permitted(&policy, &input);
            continue;
        }
        let refusal = refused(&policy, &input);
        assert_eq!(refusal.explanation, "forbidden by policy `no-traced-hands`");
    }
}

#[test]
fn what_is_checked_by_somebody_else_needs_no_evidence() {
    let policy = default_set();
    for action in [
        Action::Cancel,
        Action::Create,
        Action::Grant,
        Action::Query,
        Action::Retry,
        Action::Step,
        Action::Update,
    ] {
        let input = PolicyInput {
            evidence: None,
            ..ordinary(action)
        };
        permitted(&policy, &input);
    }
}

#[test]
fn what_only_the_caller_does_needs_evidence() {
    let policy = default_set();
    for action in [
        Action::End,
        Action::Finish,
        Action::RequireInput,
        Action::Start,
        Action::Vouch,
    ] {
        let input = PolicyInput {
            evidence: None,
            ..ordinary(action)
        };
        let refusal = refused(&policy, &input);
        assert!(
            refusal
                .explanation
                .contains("without evidence about the actor"),
            "{}",
            refusal.explanation
        );
    }
}

#[test]
fn an_order_needs_evidence_unless_a_user_may_stand_behind_it() {
    let policy = default_set();
    for action in [Action::Delegate, Action::Resolve, Action::TakeOver] {
        // The wrong one: an owner without a user is the caller, and is seen.
        let unseen = PolicyInput {
            evidence: None,
            ..ordinary(action)
        };
        let told = refused(&policy, &unseen).explanation;
        let missing = "without evidence about the actor";
        assert!(told.contains(missing), "{told}");
        // Evidence about another process is none.
        let anothers = PolicyInput {
            evidence: Some(evidence(&id(MAILER))),
            ..ordinary(action)
        };
        let told = refused(&policy, &anothers).explanation;
        assert!(told.contains(missing), "{told}");
        // The right ones: the owner acts for a user, or a delegate may.
        let for_user = PolicyInput {
            task: Some(TaskFacts {
                principal: Some(PRINCIPAL),
                ..task()
            }),
            ..unseen.clone()
        };
        permitted(&policy, &for_user);
        if action == Action::Resolve {
            // No delegate may; that is policy's answer, and not for want of evidence.
            let delegates = refused(&policy, &of_delegate(unseen));
            assert!(delegates.explanation.contains("no policy permits"));
        } else {
            permitted(&policy, &of_delegate(unseen));
        }
    }
}

/// The same, by a workload to which the act was handed over.
fn of_delegate(input: PolicyInput) -> PolicyInput {
    let facts = TaskFacts {
        delegates: vec![id(MAILER)],
        ..task()
    };
    PolicyInput {
        actor: Some(id(MAILER)),
        task: Some(facts),
        ..input
    }
}

#[test]
fn steps_stay_within_the_trust_domain_of_server_and_tool() {
    let policy = default_set();
    for action in [Action::Step, Action::Retry] {
        let abroad = PolicyInput {
            call: Some(call(&evil(MAILER), "send")),
            ..ordinary(action)
        };
        refused(&policy, &abroad);
        let foreign_task = PolicyInput {
            task: Some(TaskFacts {
                server: id(&evil(SERVER)),
                ..task()
            }),
            ..ordinary(action)
        };
        refused(&policy, &foreign_task);
    }
    for action in [Action::Create, Action::Grant] {
        let abroad = PolicyInput {
            call: Some(call(&evil(MAILER), "send")),
            ..ordinary(action)
        };
        refused(&policy, &abroad);
    }
}

#[test]
fn nobody_vouches_until_the_operator_names_server_and_issuer() {
    refused(&default_set(), &ordinary(Action::Vouch));

    // The example that stands in the file as a comment, with this test's server in it.
    let example: Vec<&str> = DEFAULT_POLICY
        .lines()
        .skip_while(|line| !line.starts_with("// @id(\"reports-users\")"))
        .map(|line| line.trim_start_matches("// "))
        .collect();
    let example = example
        .join("\n")
        .replace("example.org/mcp", "prod.test/mcp");
    let policy = set(&format!("{DEFAULT_POLICY}\n{example}"));
    let vouch = ordinary(Action::Vouch);
    assert_eq!(permitted(&policy, &vouch).policies(), ["reports-users"]);

    let another_issuer = PolicyInput {
        issuer: Some("https://login.example.org.evil.test".to_owned()),
        ..vouch.clone()
    };
    refused(&policy, &another_issuer);
    refused(&policy, &by(MAILER, vouch.clone()));
    refused(&policy, &by(&evil(SERVER), vouch.clone()));
    let others_tool = PolicyInput {
        call: Some(call(MAILER, "send")),
        ..vouch
    };
    refused(&policy, &others_tool);
}

#[test]
fn the_default_set_is_good_without_a_warning() {
    let summary = check(DEFAULT_POLICY).expect("a good set");
    assert_eq!(summary.warnings, []);
    assert!(
        summary
            .policies
            .iter()
            .all(|it| !it.id.starts_with("policy"))
    );
}
