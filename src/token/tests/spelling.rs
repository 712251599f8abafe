//! A47: there is one spelling of each token, and no parser can read something else into it.

use super::*;

/// What is said to the genuine claims with one change, signed with the right key.
fn changed(from: &str, to: &str) -> Result<(), TokenError> {
    let key = key();
    let (header, payload) = parts(&key.encode(&step()).expect("signs"));
    assert!(payload.contains(from), "{from}");
    let payload = payload.replacen(from, to, 1);
    key.verify(&signed(&key, &header, &payload), NOW)
        .map(|_| ())
}

fn check(changes: &[(&str, &str)], expected: Result<(), TokenError>) {
    for (from, to) in changes {
        assert_eq!(changed(from, to), expected, "{from} became {to}");
    }
}

#[test]
fn unchanged_claims_signed_by_hand_are_accepted() {
    check(&[("step", "step")], Ok(()));
}

#[test]
fn a47_repeated_and_unknown_members_are_refused_at_every_depth() {
    let changes = [
        (r#""exp":"#, r#""exp":9999999999,"exp":"#),
        (r#""exp":"#, r#""\u0065xp":9999999999,"exp":"#),
        (r#""act":{"#, r#""act":{"sub":"spiffe://example.org/x","#),
        (r#""act":{"#, r#""act":{"act":{},"#),
        (r#""cnf":{"#, r#""cnf":{"jkt":"x","#),
        (r#""fence":"#, r#""fence":1,"fence":"#),
        (r#"{"iss""#, r#"{"nbf":0,"iss""#),
        (r#"{"type""#, r#"{"privileges":[],"type""#),
    ];
    check(&changes, Err(TokenError::Claims));
}

#[test]
fn a47_other_types_and_counts_are_refused() {
    let tool = r#""aud":"spiffe://example.org/tool""#;
    let changes = [
        (r#""exp":1800000030"#, r#""exp":1800000030.0"#),
        (r#""exp":1800000030"#, r#""exp":18e8"#),
        (r#""exp":1800000030"#, r#""exp":"1800000030""#),
        (r#""exp":1800000030"#, r#""exp":18446744073709551615"#),
        (r#""fence":8"#, r#""fence":-8"#),
        (tool, r#""aud":["spiffe://example.org/tool"]"#),
        (tool, r#""aud":"https://example.org/tool""#),
        (
            r#""locations":["#,
            r#""locations":["spiffe://example.org/x","#,
        ),
        (r#""actions":["pay"]"#, r#""actions":["pay","x"]"#),
        (r#""actions":["pay"]"#, r#""actions":[]"#),
        (r#""operation":"step""#, r#""operation":"admin""#),
        (r#""jti":"AQ"#, r#""jti":"AQAQ"#),
    ];
    check(&changes, Err(TokenError::Claims));
}

#[test]
fn a47_other_spellings_of_the_same_claims_are_refused() {
    let tool = r#""aud":"spiffe://example.org/tool""#;
    let actor = r#""act":{"sub":"spiffe://example.org/worker"}"#;
    let changes = [
        (r#"{"iss""#, r#"{ "iss""#),
        (r#""fence":8,"step":9"#, r#""step":9,"fence":8"#),
        (r#""step":9"#, r#""step":null"#),
        ("pay", r"p\u0061y"),
        (actor, r#""act":["spiffe://example.org/worker"]"#),
        (tool, r#""aud":"SPIFFE://example.org/tool""#),
        // What is not kept, but has to agree with the rest.
        ("example.org/agent", "example.org/other"),
        (
            r#"["spiffe://example.org/tool"]"#,
            r#"["spiffe://example.org/toll"]"#,
        ),
        ("urn:handfast:tool", "urn:handfast:tule"),
    ];
    check(&changes, Err(TokenError::Spelling));
}

#[test]
fn claims_right_in_form_and_wrong_in_meaning_are_refused() {
    check(&[(r#""epoch":7"#, r#""epoch":8"#)], Err(TokenError::Epoch));
    let operation = [(r#""operation":"step""#, r#""operation":"create""#)];
    check(&operation, Err(TokenError::Form));
    let life = [(r#""exp":1800000030"#, r#""exp":1800000061"#)];
    check(&life, Err(TokenError::Lifetime));
}
