//! Federation confusion: the same path in two trust domains is never the same workload.

use crate::inputs::{by, call, evil, ordinary, permitted, refused, set};
use handfast::domain::policy::{Action, PolicyInput};
use handfast::service::ports::Policy;
use proptest::prelude::*;

const PATH: &str = "/ns/a/sa/w";

fn at(domain: &str, path: &str) -> String {
    format!("spiffe://{domain}{path}")
}

#[test]
fn a18_the_same_path_in_another_trust_domain_is_another_workload() {
    let named = at("prod.test", PATH);
    for scope in [
        format!("principal == Workload::\"{named}\""),
        "principal in TrustDomain::\"prod.test\"".to_owned(),
        "principal is Workload in TrustDomain::\"prod.test\"".to_owned(),
    ] {
        let policy = set(&format!(
            "permit ({scope}, action == Action::\"create\", resource);"
        ));
        permitted(&policy, &by(&named, ordinary(Action::Create)));
        refused(&policy, &by(&evil(&named), ordinary(Action::Create)));
        let near = [
            at("prod.test.evil.test", PATH),
            at("xprod.test", PATH),
            at("prod.tes", PATH),
        ];
        for other in &near {
            refused(&policy, &by(other, ordinary(Action::Create)));
        }
    }
}

#[test]
fn a_tool_of_another_trust_domain_is_another_tool() {
    let policy = set("permit (principal, action == Action::\"create\",\n\
                 resource == Tool::\"spiffe://prod.test/t#x\");");
    let with = |audience: &str| PolicyInput {
        call: Some(call(audience, "x")),
        ..ordinary(Action::Create)
    };
    permitted(&policy, &with("spiffe://prod.test/t"));
    refused(&policy, &with("spiffe://evil.test/t"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn a18_any_path_in_two_trust_domains_is_never_equal(
        path in "(/[a-zA-Z0-9_-]{1,8}){1,4}",
        ours in "[a-z0-9]{1,6}\\.test",
        theirs in "[a-z0-9]{1,6}\\.test",
    ) {
        prop_assume!(ours != theirs);
        let (mine, other) = (at(&ours, &path), at(&theirs, &path));
        let policy = set(&format!(
            "permit (principal == Workload::\"{mine}\", action == Action::\"create\", resource);\n\
             permit (principal in TrustDomain::\"{ours}\", action == Action::\"grant\", resource);"
        ));
        for action in [Action::Create, Action::Grant] {
            prop_assert!(policy.evaluate(&by(&mine, ordinary(action))).is_ok());
            prop_assert!(policy.evaluate(&by(&other, ordinary(action))).is_err());
        }
    }
}
