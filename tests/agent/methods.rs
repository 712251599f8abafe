//! The methods of the API, read from its `.proto` file.

use std::collections::BTreeSet;

const PROTO: &str = include_str!("../../proto/handfast/v1/handfast.proto");

/// `Service.Method` of every method.
pub(crate) fn methods() -> BTreeSet<String> {
    let mut service = "";
    let mut methods = BTreeSet::new();
    for line in PROTO.lines() {
        let words = line.trim();
        if let Some(name) = words.strip_prefix("service ") {
            service = name.trim_end_matches(['{', ' ']);
        } else if let Some(method) = words.strip_prefix("rpc ") {
            let (name, _) = method.split_once('(').unwrap();
            methods.insert(format!("{service}.{name}"));
        }
    }
    methods
}

#[test]
fn methods_are_read_from_the_file() {
    let methods = methods();
    for known in [
        "Requests.Issue",
        "Legs.Issue",
        "Self.WhoAmI",
        "Operator.Audit",
    ] {
        assert!(methods.contains(known), "{methods:?}");
    }
    assert_eq!(methods.len(), PROTO.matches("\n  rpc ").count());
}
