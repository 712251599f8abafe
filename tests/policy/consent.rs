//! What a set can say about a person's consent.

use crate::inputs::{APPROVER, Folder, by, default_set, id, ordinary, permitted, refused, set};
use handfast::domain::policy::{Action, Consent, PersonFacts, PolicyInput};
use handfast::policy::{CedarPolicy, DEFAULT_POLICY, PolicySource};

const WANTED: &str = "\n@id(\"wants-consent\") forbid (principal, action in [Action::\"step\", \
    Action::\"retry\"], resource) unless { context.approved };\n";

fn person(issuer: &str, is_owner: bool) -> PersonFacts {
    PersonFacts {
        issuer: issuer.to_owned(),
        is_owner,
        is_delegate: false,
    }
}

fn consented(action: Action, approver: &str, person: PersonFacts) -> PolicyInput {
    PolicyInput {
        consent: Consent {
            approved: true,
            approver: Some(id(approver)),
            person: Some(person),
            performer: None,
        },
        ..ordinary(action)
    }
}

#[test]
fn a_step_can_want_consent() {
    let policy = set(&format!("{DEFAULT_POLICY}{WANTED}"));
    for action in [Action::Step, Action::Retry] {
        let refusal = refused(&policy, &ordinary(action));
        assert!(refusal.explanation.contains("wants-consent"));
        let possible = Consent {
            approved: true,
            ..Consent::default()
        };
        let input = PolicyInput {
            consent: possible,
            ..ordinary(action)
        };
        permitted(&policy, &input);
        let login = person("https://login.example.org", false);
        permitted(&policy, &consented(action, APPROVER, login));
    }
}

#[test]
fn whose_consent_counts_is_for_the_set_to_say() {
    let rule = "\n@id(\"not-its-owner\") forbid (principal, action == Action::\"step\", resource) \
        when { context has approval && (context.approval.person.is_owner || \
        context.approval.approver != Workload::\"spiffe://prod.test/approver\") };\n";
    let policy = set(&format!("{DEFAULT_POLICY}{WANTED}{rule}"));
    let somebody = || person("https://login.example.org", false);
    permitted(&policy, &consented(Action::Step, APPROVER, somebody()));
    let other = "spiffe://prod.test/other";
    refused(&policy, &consented(Action::Step, other, somebody()));
    let owner = person("https://login.example.org", true);
    refused(&policy, &consented(Action::Step, APPROVER, owner));
    let rule = rule.replace("is_owner", "is_delegate");
    let policy = set(&format!("{DEFAULT_POLICY}{WANTED}{rule}"));
    permitted(&policy, &consented(Action::Step, APPROVER, somebody()));
    let delegate = PersonFacts {
        is_delegate: true,
        ..somebody()
    };
    refused(&policy, &consented(Action::Step, APPROVER, delegate));
    // Not guarded, it would fail where there is none: refused at load.
    let bare = "\npermit (principal, action == Action::\"step\", resource) \
        when { context.approval.person.is_owner };\n";
    let folder = Folder::with(&format!("{DEFAULT_POLICY}{bare}"));
    assert!(CedarPolicy::load(PolicySource::file(folder.file())).is_err());
}

#[test]
fn approvers_decide_within_their_trust_domain_and_not_while_traced() {
    let policy = default_set();
    let mut input = ordinary(Action::Approve);
    permitted(&policy, &input);
    input.consent.person = Some(person("https://login.example.org", false));
    permitted(&policy, &input);
    let abroad = by("spiffe://elsewhere.example/approver", input.clone());
    refused(&policy, &abroad);
    if let Some(evidence) = &mut input.evidence {
        evidence.traced = true;
    }
    refused(&policy, &input);
}
