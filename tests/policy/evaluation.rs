//! What an evaluation sees and says.

use crate::inputs::{
    MAILER, OWNER, SERVER, by, default_set, evidence, id, ordinary, permitted, refused, set,
};
use handfast::domain::evidence::Assurance;
use handfast::domain::id::Digest;
use handfast::domain::policy::{Action, PolicyInput};
use handfast::domain::time::Time;
use handfast::service::ports::Policy;

/// Whether a condition holds for an ordinary input.
#[track_caller]
fn holds(action: Action, condition: &str) -> bool {
    let text = format!(
        "@id(\"it\") permit (principal, action == Action::\"{}\", resource) \
         when {{ {condition} }};",
        action.name()
    );
    set(&text).evaluate(&ordinary(action)).is_ok()
}

#[test]
fn an_erroring_forbid_is_a_deny() {
    let open = "@id(\"open\") permit (principal, action == Action::\"start\", resource);";
    let input = ordinary(Action::Start);
    permitted(&set(open), &input);
    let broken = "@id(\"overflows\") forbid (principal, action == Action::\"start\", resource)\n\
                  when { resource.age_ms + 9223372036854775807 > 0 };";
    let refusal = refused(&set(&format!("{open}\n{broken}")), &input);
    assert!(
        refusal.explanation.contains("`overflows`") && refusal.explanation.contains("overflow"),
        "{}",
        refusal.explanation
    );
}

#[test]
fn an_erroring_permit_is_a_deny_though_another_permits() {
    let text = "permit (principal, action == Action::\"start\", resource);\n\
                @id(\"broken\") permit (principal, action == Action::\"start\", resource)\n\
                when { resource.age_ms * 9223372036854775807 > 0 };";
    let refusal = refused(&set(text), &ordinary(Action::Start));
    assert!(refusal.explanation.contains("`broken`"));
}

#[test]
fn an_error_in_a_policy_of_another_action_changes_nothing() {
    let text = "permit (principal, action == Action::\"start\", resource);\n\
                permit (principal, action == Action::\"end\", resource)\n\
                when { resource.age_ms * 9223372036854775807 > 0 };";
    permitted(&set(text), &ordinary(Action::Start));
}

#[test]
fn a_forbid_wins_and_is_named() {
    let text = "permit (principal, action == Action::\"start\", resource);\n\
                @id(\"b\") forbid (principal, action == Action::\"start\", resource);\n\
                @id(\"a\") forbid (principal, action, resource);";
    let refusal = refused(&set(text), &ordinary(Action::Start));
    assert_eq!(refusal.explanation, "forbidden by policy `a`, `b`");
}

#[test]
fn a_refusal_without_policy_names_action_actor_and_resource() {
    let refusal = refused(&default_set(), &by(MAILER, ordinary(Action::Finish)));
    assert_eq!(
        refusal.explanation,
        format!(
            "no policy permits `finish` by Workload::\"{MAILER}\" on Task::\"{}\"",
            "05".repeat(16)
        )
    );
}

#[test]
fn what_an_action_needs_must_be_known() {
    let policy = default_set();
    for action in Action::ALL {
        let input = PolicyInput {
            task: None,
            call: None,
            issuer: None,
            ..ordinary(action)
        };
        let refusal = refused(&policy, &input);
        assert!(
            refusal.explanation.contains(" was asked without "),
            "{}",
            refusal.explanation
        );
        assert_eq!(refusal.generation, policy.generation());
    }
}

#[test]
fn evidence_is_seen_as_it_is() {
    let start = |condition: &str| holds(Action::Start, condition);
    assert!(start(
        "context.evidence.assurance == Assurance::\"process\""
    ));
    assert!(start(
        "context.evidence has uid && context.evidence.uid == 1001"
    ));
    assert!(start(
        "context.evidence has cgroup && context.evidence.cgroup like \"/system.slice/*\""
    ));
    let executable = "09".repeat(32);
    assert!(start(&format!(
        "context.evidence has executable && context.evidence.executable == \"{executable}\""
    )));
    assert!(start("!context.evidence.traced"));
    assert!(start("context.evidence.age_ms == 1000"));
    assert!(start("context.now_ms == 10000"));
    assert!(!start(
        "context.evidence has uid && context.evidence.uid == 1002"
    ));
}

#[test]
fn absent_evidence_is_absent() {
    let policy = set(
        "permit (principal, action == Action::\"start\", resource)\n\
         when { !(context.evidence has uid) && !(context.evidence has cgroup) &&\n\
                !(context.evidence has executable) &&\n\
                context.evidence.assurance == Assurance::\"svid\" };",
    );
    refused(&policy, &ordinary(Action::Start));
    let mut weak = ordinary(Action::Start);
    if let Some(evidence) = &mut weak.evidence {
        evidence.uid = None;
        evidence.cgroup = None;
        evidence.executable = None;
        evidence.assurance = Assurance::Svid;
    }
    permitted(&policy, &weak);
}

#[test]
fn a_task_is_seen_as_it_is() {
    let query = |condition: &str| holds(Action::Query, condition);
    assert!(query("resource.state == TaskState::\"working\""));
    assert!(query(&format!(
        "resource has owner && resource.owner == Workload::\"{OWNER}\""
    )));
    assert!(query("!(resource has owner_principal)"));
    assert!(query(&format!("resource.server == Workload::\"{SERVER}\"")));
    assert!(query("resource.tool == \"render\""));
    assert!(query(
        "resource.created_ms == 1000 && resource.deadline_ms == 100000"
    ));
    assert!(query("resource.age_ms == 9000"));
    assert!(query("resource.last_step == 2 && resource.legs == 1"));
}

#[test]
fn a_call_is_seen_as_it_is() {
    let step = |condition: &str| holds(Action::Step, condition);
    assert!(step(&format!(
        "resource == Tool::\"{MAILER}#send\" && resource.name == \"send\" &&\n\
         resource.audience == Workload::\"{MAILER}\" && resource.audience.path == \"/mcp/mailer\""
    )));
    assert!(step("context.owner_authority"));
    assert!(step(&format!(
        "context.task.server == Workload::\"{SERVER}\" && context.task has owner &&\n\
         context.task.owner.path like \"/ns/shop/*\""
    )));
    assert!(holds(Action::Grant, "context.owner_authority"));
    assert!(holds(
        Action::Vouch,
        "context.issuer == \"https://login.example.org\""
    ));
}

#[test]
fn odd_tool_names_stay_what_they_are() {
    let policy = set(&format!(
        "permit (principal, action == Action::\"create\",\n\
                 resource == Tool::\"{SERVER}#a#b\\\" || true //\");"
    ));
    let with = |tool: &str| {
        let mut input = ordinary(Action::Create);
        if let Some(call) = &mut input.call {
            tool.clone_into(&mut call.tool);
        }
        input
    };
    permitted(&policy, &with("a#b\" || true //"));
    refused(&policy, &with("a"));
    refused(&policy, &with("a#b"));
}

#[test]
fn numbers_beyond_cedar_are_as_late_as_can_be() {
    let mut input = ordinary(Action::Query);
    input.now = Time(u64::MAX);
    if let Some(task) = &mut input.task {
        task.deadline = Time(u64::MAX);
    }
    let policy = set(
        "permit (principal, action == Action::\"query\", resource)\n\
         when { context.now_ms == 9223372036854775807 && resource.deadline_ms == context.now_ms };",
    );
    permitted(&policy, &input);
}

#[test]
fn a_permit_names_its_generation_and_every_policy_that_permits() {
    let policy = set(&format!(
        "@id(\"z\") permit (principal, action == Action::\"query\", resource);\n\
         @id(\"m\") permit (principal == Workload::\"{OWNER}\", action, resource);\n\
         @id(\"a\") permit (principal, action in [Action::\"query\", Action::\"end\"],\n\
                          resource == Task::\"{}\");",
        "05".repeat(16)
    ));
    let permit = permitted(&policy, &ordinary(Action::Query));
    assert_eq!(permit.policies(), ["a", "m", "z"]);
    assert_eq!(permit.generation(), policy.generation());
    assert_eq!(permit.generation().number, 1);
}

#[test]
fn the_generation_names_the_text() {
    // SHA-256 of the text, from another implementation.
    let policy = set("permit (principal, action == Action::\"query\", resource);");
    let expected = Digest(EXPECTED);
    assert_eq!(policy.generation().text, Some(expected));
}

const EXPECTED: [u8; 32] = [
    0xcb, 0xb8, 0xcd, 0xf8, 0xd6, 0xc7, 0x3e, 0xbd, 0x30, 0xee, 0xcd, 0xb5, 0xf5, 0xe9, 0xd8, 0x51,
    0xf6, 0xf4, 0xd4, 0xc5, 0x3c, 0x30, 0x5a, 0xf8, 0x61, 0xbf, 0x18, 0xc7, 0x10, 0x13, 0x3f, 0x0f,
];

#[test]
fn evidence_about_another_process_is_not_the_actors() {
    let policy = set(
        "permit (principal, action == Action::\"query\", resource) when { context has evidence };\n\
         permit (principal, action == Action::\"start\", resource);",
    );
    permitted(&policy, &ordinary(Action::Query));
    for action in [Action::Query, Action::Start] {
        let input = PolicyInput {
            evidence: Some(evidence(&id(SERVER))),
            ..ordinary(action)
        };
        refused(&policy, &input);
    }
}

#[test]
fn evidence_of_several_identities_is_judged_by_the_acting_one() {
    let mut input = ordinary(Action::Create);
    let mut seen = evidence(&id(OWNER));
    seen.spiffe_ids.push(id(SERVER));
    input.evidence = Some(seen);
    let policy = set(&format!(
        "permit (principal == Workload::\"{SERVER}\", action == Action::\"create\", resource);"
    ));
    refused(&policy, &input);
}
