//! What accepted requests and the names in replies mean.

use super::super::answers;
use super::super::asks::{CheckAsk, IssueAsk};
use super::super::report as report_ask;
use super::*;
use crate::domain::decide::end::{Ending, LegEnding};
use crate::domain::decide::report::Outcome;
use crate::domain::evidence::Assurance;
use crate::domain::grant::{ArgumentConstraint, AudienceAssurance};
use crate::domain::id::Digest;
use crate::domain::step::StepState;
use crate::domain::task::TaskState;
use crate::service::OwnerOperation;
use secrecy::ExposeSecret as _;
use std::time::Duration;

#[test]
fn a_create_means_what_it_says() {
    let IssueAsk::Create(ask) = forms().issue(issue(ask_create())).expect("is good") else {
        panic!("is a create");
    };
    assert_eq!(ask.lifetime, Duration::MAX);
    let asked = ask.asked.expect("is there");
    assert_eq!(asked.not_after, Some(crate::domain::time::Time(5)));
    assert_eq!(asked.audience_assurance, AudienceAssurance::Process);
    let [permission] = asked.permissions.as_slice() else {
        panic!("has one permission");
    };
    assert_eq!(permission.audience.to_string(), SERVER, "the URL is mapped");
    assert_eq!(permission.arguments, ArgumentConstraint::Any);
    assert_eq!(ask.call.call.definition, Some(Digest([7; 32])));
    let digest = canonical::sha256(b"{\"amount\":1}");
    assert_eq!(ask.call.call.arguments, digest);
    assert_eq!(ask.call.arguments.digest(), digest);
    let none = v1::AskCreate {
        asked: None,
        lifetime_ms: 1,
        ..ask_create()
    };
    let IssueAsk::Create(ask) = forms().issue(issue(none)).expect("is good") else {
        panic!("is a create");
    };
    assert_eq!(ask.lifetime, Duration::from_millis(1));
    assert!(ask.asked.is_none());
}

#[test]
fn a_proof_becomes_the_thumbprint_of_its_certificate() {
    let der = certificate();
    let message = v1::CheckRequest {
        proof: Some(v1::Proof {
            proof: Some(v1::proof::Proof::PeerCertificate(der.clone())),
        }),
        ..check_query()
    };
    let CheckAsk::Owner(ask) = forms().check(message).expect("is good") else {
        panic!("is an owner's");
    };
    let proofs = ask.proofs.expect("has them");
    assert_eq!(proofs.certificate, canonical::sha256(&der));
    assert_eq!(proofs.token.expose_secret(), "a.b.c");
    assert_eq!(ask.operation, OwnerOperation::Query);
}

#[test]
fn outcomes_and_endings_keep_their_meaning() {
    let forms = forms();
    for (wire, outcome) in [
        (v1::report_request::Outcome::Done, Outcome::Done),
        (v1::report_request::Outcome::NotDone, Outcome::NotDone),
        (v1::report_request::Outcome::Unknown, Outcome::Unknown),
    ] {
        let outcome_of = wire.into();
        let ask = report_ask(&v1::ReportRequest {
            outcome: outcome_of,
            ..report()
        });
        assert_eq!(ask.expect("is good").outcome, outcome);
    }
    for (wire, ending) in [
        (v1::end_request::Outcome::Yielded, LegEnding::Yielded),
        (
            v1::end_request::Outcome::Completed,
            LegEnding::Task(Ending::Completed),
        ),
        (
            v1::end_request::Outcome::Failed,
            LegEnding::Task(Ending::Failed),
        ),
    ] {
        let ask = forms.end(v1::EndRequest {
            task_id: TASK.to_owned(),
            leg: 1,
            outcome: wire.into(),
            request_id: Vec::new(),
        });
        assert_eq!(ask.expect("is good").ending, ending);
    }
    for completed in [true, false] {
        let ask = forms.finish(v1::FinishRequest {
            task_id: TASK.to_owned(),
            completed,
            leg_fence: Some(4),
            request_id: Vec::new(),
        });
        let ask = ask.expect("is good");
        assert_eq!(ask.ending == Ending::Completed, completed);
        assert_eq!(ask.leg_fence, Some(crate::domain::id::Fence(4)));
    }
}

#[test]
fn states_and_assurances_have_their_names() {
    for (state, wire) in [
        (TaskState::Cancelled, v1::TaskState::Cancelled),
        (TaskState::Completed, v1::TaskState::Completed),
        (TaskState::Expired, v1::TaskState::Expired),
        (TaskState::Failed, v1::TaskState::Failed),
        (TaskState::Working, v1::TaskState::Working),
    ] {
        assert_eq!(task_state(state), i32::from(wire));
    }
    for (state, wire) in [
        (StepState::Issued, v1::StepState::Issued),
        (StepState::Used, v1::StepState::Running),
        (StepState::Done, v1::StepState::Done),
        (StepState::NotDone, v1::StepState::NotDone),
        (StepState::Unknown, v1::StepState::Unknown),
        (StepState::Void, v1::StepState::Void),
    ] {
        assert_eq!(step_state(state), i32::from(wire));
    }
    for (strength, name) in [
        (Assurance::Principal, "principal"),
        (Assurance::Process, "process"),
        (Assurance::Svid, "svid"),
    ] {
        assert_eq!(answers::assurance(strength), name);
    }
}
