//! Identities are compared whole: trust domain and path, never one without the other.

use handfast::domain::id::{SpiffeId, TrustDomain};
use handfast::identity::{AgentRule, PeerRules};
use proptest::prelude::*;

fn admits(rule: &str, peer: &str) -> bool {
    let rules = PeerRules {
        spiffe_ids: [SpiffeId::new(rule).unwrap()].into(),
        ..PeerRules::default()
    };
    rules.admit(&SpiffeId::new(peer).unwrap())
}

#[test]
fn a18_near_misses_are_other_identities() {
    let rule = "spiffe://prod.test/ns/a/sa/w";
    for (peer, expected) in [
        (rule, true),
        // The standard's own equalities: scheme and trust domain are case-insensitive.
        ("SPIFFE://PROD.test/ns/a/sa/w", true),
        ("spiffe://evil.test/ns/a/sa/w", false),
        ("spiffe://prod.test.evil.test/ns/a/sa/w", false),
        ("spiffe://xprod.test/ns/a/sa/w", false),
        ("spiffe://prod/test/ns/a/sa/w", false),
        ("spiffe://test/prod.test/ns/a/sa/w", false),
        ("spiffe://prod.test/ns/a/sa/W", false),
        ("spiffe://prod.test/ns/a/sa/w2", false),
        ("spiffe://prod.test/ns/a/sa", false),
        ("spiffe://prod.test/ns/a/sa/w/x", false),
        ("spiffe://prod.test/x/ns/a/sa/w", false),
        ("spiffe://prod.test", false),
    ] {
        assert_eq!(admits(rule, peer), expected, "{peer}");
    }
}

/// Spellings that other parsers would normalise are not SPIFFE IDs at all.
#[test]
fn a18_there_is_one_spelling_of_a_path() {
    for text in [
        "spiffe://prod.test/ns/a/sa/w/",
        "spiffe://prod.test//ns/a/sa/w",
        "spiffe://prod.test/ns/a/./sa/w",
        "spiffe://prod.test/ns/b/../a/sa/w",
        "spiffe://prod.test/ns/a/sa/%77",
        "spiffe://prod.test/ns/a/sa/w?x",
        "spiffe://prod.test/ns/a/sa/w#x",
        "spiffe://prod.test:443/ns/a/sa/w",
        "spiffe://user@prod.test/ns/a/sa/w",
        "spiffe://prod.test/ns/a/sa/w ",
    ] {
        assert!(SpiffeId::new(text).is_err(), "{text}");
    }
}

proptest! {
    #[test]
    fn a18_any_path_in_two_trust_domains_is_two_identities(
        path in "(/[a-zA-Z0-9_-]{1,12}){1,4}",
        one in "[a-z0-9]{1,8}(\\.[a-z0-9]{1,8}){0,2}",
        other in "[a-z0-9]{1,8}(\\.[a-z0-9]{1,8}){0,2}",
    ) {
        let rule = format!("spiffe://{one}{path}");
        let peer = format!("spiffe://{other}{path}");
        prop_assert_eq!(admits(&rule, &peer), one == other);
        prop_assert!(admits(&rule, &rule));

        let own = TrustDomain::new(&one).unwrap();
        let agent = SpiffeId::new(format!("spiffe://{other}/spire/agent{path}")).unwrap();
        prop_assert_eq!(AgentRule::AnySpireAgent.admits(&own, &agent), one == other);
        let workload = SpiffeId::new(&rule).unwrap();
        let posing = path.starts_with("/spire/agent/");
        prop_assert_eq!(AgentRule::AnySpireAgent.admits(&own, &workload), posing);
    }
}
