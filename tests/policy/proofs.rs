//! What is proved of a set for every request that the schema allows. Needs a build with the feature
//! `prove` and cvc5; says in one line where there is none, and fails there with `PROVE=required`.

#[cfg(not(feature = "prove"))]
#[test]
fn without_a_prover_nothing_is_proved_and_that_is_said() {
    missing("built without the feature `prove`");
}

/// # Panics
/// With `PROVE=required`.
fn missing(why: &str) {
    use std::io::Write as _;

    let required = std::env::var_os("PROVE").is_some_and(|value| value == "required");
    assert!(!required, "PROVE=required, but {why}");
    // Past the capture of the test harness, so that it is seen without `--nocapture`.
    let line = format!("NOT RUN  the proofs about policy sets: {why}\n");
    drop(std::io::stderr().write_all(line.as_bytes()));
}

#[cfg(feature = "prove")]
mod with_prover {
    use super::missing;
    use handfast::policy::{DEFAULT_POLICY, GUARD_RAILS, Proof, ProveError, prove};

    /// Proves the built-in rails of a set; nothing where there is no solver.
    fn proved(text: &str, guards: Option<&str>) -> Option<Proof> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime");
        match runtime.block_on(prove(text, guards)) {
            Ok(proof) => Some(proof),
            Err(error @ ProveError::Solver(_)) => {
                missing(&error.to_string());
                None
            }
            Err(error) => panic!("nothing is proved: {error}"),
        }
    }

    fn failing(proof: &Proof) -> Vec<&str> {
        let failing = proof.claims.iter().filter(|it| it.counterexample.is_some());
        failing.map(|it| it.name.as_str()).collect()
    }

    #[test]
    fn n12_the_shipped_set_asks_for_nothing_beyond_the_guard_rails() {
        let Some(proof) = proved(DEFAULT_POLICY, None) else {
            return;
        };
        assert!(proof.holds(), "{proof:?}");
        let rails = GUARD_RAILS.lines().filter(|line| line.starts_with("@id("));
        assert_eq!(proof.claims.len(), rails.count() + 1);
    }

    #[test]
    fn n12_a_stray_permit_is_caught_with_a_request_that_shows_it() {
        let stray = format!(
            "{DEFAULT_POLICY}\n@id(\"stray\")\npermit (principal, action, resource)\n\
             when {{ context.now_ms > 0 }};"
        );
        let Some(proof) = proved(&stray, None) else {
            return;
        };
        let failing = failing(&proof);
        assert!(failing.contains(&"foreign-owner"), "{failing:?}");
        let claim = proof.claims.iter().find(|it| it.name == "foreign-owner");
        let told = claim
            .and_then(|it| it.counterexample.clone())
            .expect("a request");
        assert_eq!(told[0], "permitted by policy `stray`");
        assert!(told[2].contains("Action::\"cancel\"") || told[2].contains("Action::\"update\""));
        // The shipped `forbid`s still stand: those rails hold, with the stray permit too.
        for kept in [
            "never-errors",
            "ended",
            "ended-step",
            "deadline",
            "deadline-step",
            "traced",
        ] {
            assert!(!failing.contains(&kept), "{kept} in {failing:?}");
        }

        // A `permit` without any condition is no set that an agent would take; the proof still tells why.
        let everything = "permit (principal, action, resource);";
        let rails = GUARD_RAILS.lines().filter(|line| line.starts_with("@id("));
        let proof = proved(everything, None).expect("a solver");
        assert_eq!(self::failing(&proof).len(), rails.count());
    }

    #[test]
    fn n12_each_rail_catches_the_set_that_leaves_it() {
        // One permit for each rail that it leaves and no other claim about the same action.
        let strays = [
            (
                "ended",
                "update",
                "resource has owner && principal == resource.owner && context.now_ms < resource.deadline_ms",
            ),
            (
                "deadline",
                "update",
                "resource has owner && principal == resource.owner && resource.state == TaskState::\"working\"",
            ),
            ("foreign-reader", "query", "principal.path == \"/admin\""),
            (
                "foreign-server",
                "finish",
                "principal.trust_domain == resource.server.trust_domain",
            ),
            (
                "foreign-vouch",
                "vouch",
                "context.issuer == \"https://login.example.org\"",
            ),
            (
                "trust-domain",
                "end",
                "principal in TrustDomain::\"partner.example\"",
            ),
            (
                "trust-domain-create",
                "create",
                "principal in TrustDomain::\"partner.example\"",
            ),
        ];
        for (rail, action, condition) in strays {
            let scope = format!("principal is Workload, action == Action::\"{action}\", resource");
            let set = format!("permit ({scope}) when {{ {condition} }};");
            let Some(proof) = proved(&set, None) else {
                return;
            };
            assert_eq!(failing(&proof), [rail], "{proof:?}");
        }
    }

    #[test]
    fn a_policy_that_can_fail_to_evaluate_is_found() {
        let set = "permit (principal, action == Action::\"end\", resource)\n\
                   when { principal == resource.server && resource.age_ms * 1000 < 5 };";
        let Some(proof) = proved(set, None) else {
            return;
        };
        assert_eq!(failing(&proof), ["never-errors"]);
        let told = proof.claims[0].counterexample.clone().expect("a request");
        assert!(
            told[0].contains("policy `policy0` fails to evaluate"),
            "{told:?}"
        );
    }

    #[test]
    fn rails_of_ones_own_are_forbids_that_fit_the_schema() {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .expect("a runtime");
        let refused = |rails| {
            runtime
                .block_on(prove(DEFAULT_POLICY, Some(rails)))
                .expect_err("bad")
        };
        let permit = "@id(\"no\")\npermit (principal, action == Action::\"end\", resource);";
        assert!(matches!(refused(permit), ProveError::Permit(id) if id == "no"));
        let typo = "forbid (principal, action == Action::\"edn\", resource);";
        assert!(matches!(refused(typo), ProveError::Guards(_)));

        let own = "@id(\"nobody-ends\")\nforbid (principal, action == Action::\"end\", resource);";
        if let Some(proof) = proved(DEFAULT_POLICY, Some(own)) {
            assert_eq!(failing(&proof), ["nobody-ends"]);
        }
    }

    #[test]
    fn a_rail_that_fails_to_evaluate_or_is_about_nothing_is_none() {
        let rail = |condition: &str| {
            format!(
                "@id(\"r\")\n@says(\"nothing at all\")\n\
                 forbid (principal, action == Action::\"end\", resource) when {{ {condition} }};"
            )
        };
        // Always, for some requests, and never about any.
        for (condition, why) in [
            ("9223372036854775807 + 1 > 0", "fails to evaluate"),
            ("context.now_ms * 1000 > 0", "fails to evaluate"),
            (
                "resource.age_ms < 0 && resource.age_ms > 0",
                "is about no request",
            ),
        ] {
            let Some(proof) = proved(DEFAULT_POLICY, Some(&rail(condition))) else {
                return;
            };
            assert_eq!(failing(&proof), ["r"], "{condition}");
            let told = proof.claims[1].counterexample.clone().expect("a reason");
            assert!(
                told[0].contains(&format!("the rail itself {why}")),
                "{told:?}"
            );
        }
        // One that forbids something, and is kept.
        let good = rail("principal.trust_domain != resource.server.trust_domain");
        let proof = proved(DEFAULT_POLICY, Some(&good)).expect("a solver");
        assert!(proof.holds(), "{proof:?}");
    }
}
