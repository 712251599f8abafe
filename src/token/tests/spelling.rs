//! A47: there is one spelling of each token, and no parser can read something else into it.

use super::*;

/// Payloads that another parser could take for the genuine one, each signed with the right key.
#[test]
fn claims_in_another_spelling_are_refused() {
    let key = key();
    let token = key.encode(&step()).expect("signs");
    let (header, payload) = parts(&token);
    assert_eq!(
        key.verify(&signed(&key, &header, &payload), NOW)
            .map(|_| ()),
        Ok(())
    );
    let other = |from: &str, to: &str| {
        assert!(payload.contains(from), "{from}");
        key.verify(&signed(&key, &header, &payload.replacen(from, to, 1)), NOW)
            .map(|_| ())
    };
    let claims = Err(TokenError::Claims);
    let spelling = Err(TokenError::Spelling);
    // Repeated and unknown members, at every depth.
    assert_eq!(other(r#""exp":"#, r#""exp":9999999999,"exp":"#), claims);
    assert_eq!(
        other(r#""act":{"#, r#""act":{"sub":"spiffe://example.org/x","#),
        claims
    );
    assert_eq!(other(r#""cnf":{"#, r#""cnf":{"jkt":"x","#), claims);
    assert_eq!(other(r#""act":{"#, r#""act":{"act":{},"#), claims);
    assert_eq!(other(r#""fence":"#, r#""fence":1,"fence":"#), claims);
    assert_eq!(other(r#"{"iss""#, r#"{"nbf":0,"iss""#), claims);
    assert_eq!(other(r#"{"type""#, r#"{"privileges":[],"type""#), claims);
    // Types and forms of numbers.
    assert_eq!(
        other(r#""exp":1800000030"#, r#""exp":1800000030.0"#),
        claims
    );
    assert_eq!(
        other(r#""exp":1800000030"#, r#""exp":"1800000030""#),
        claims
    );
    assert_eq!(
        other(r#""exp":1800000030"#, r#""exp":18446744073709551615"#),
        claims
    );
    assert_eq!(other(r#""fence":8"#, r#""fence":-8"#), claims);
    assert_eq!(other(r#""step":9"#, r#""step":null"#), spelling);
    // Two audiences, none, or a list of one.
    assert_eq!(
        other(
            r#""aud":"spiffe://example.org/tool""#,
            r#""aud":["spiffe://example.org/tool"]"#
        ),
        claims
    );
    assert_eq!(
        other(
            r#""locations":["#,
            r#""locations":["spiffe://example.org/x","#
        ),
        claims
    );
    assert_eq!(
        other(r#""actions":["pay"]"#, r#""actions":["pay","x"]"#),
        claims
    );
    assert_eq!(other(r#""actions":["pay"]"#, r#""actions":[]"#), claims);
    // White space, order, escapes, and what does not agree with the rest.
    assert_eq!(other(r#"{"iss""#, r#"{ "iss""#), spelling);
    assert_eq!(
        other(r#""fence":8,"step":9"#, r#""step":9,"fence":8"#),
        spelling
    );
    assert_eq!(other("pay", r"p\u0061y"), spelling);
    assert_eq!(other("example.org/agent", "example.org/other"), spelling);
    assert_eq!(
        other(
            r#"["spiffe://example.org/tool"]"#,
            r#"["spiffe://example.org/toll"]"#
        ),
        spelling
    );
    assert_eq!(other("urn:handfast:tool", "urn:handfast:tule"), spelling);
    assert_eq!(
        other(
            r#""act":{"sub":"spiffe://example.org/worker"}"#,
            r#""act":["spiffe://example.org/worker"]"#
        ),
        spelling
    );
    assert_eq!(
        other(
            r#""aud":"spiffe://example.org/tool""#,
            r#""aud":"SPIFFE://example.org/tool""#
        ),
        spelling
    );
    // Right in form and wrong in meaning.
    assert_eq!(
        other(r#""epoch":7"#, r#""epoch":8"#),
        Err(TokenError::Epoch)
    );
    assert_eq!(
        other(r#""operation":"step""#, r#""operation":"create""#),
        Err(TokenError::Form)
    );
    assert_eq!(
        other(r#""operation":"step""#, r#""operation":"admin""#),
        claims
    );
    assert_eq!(
        other(r#""exp":1800000030"#, r#""exp":1800000061"#),
        Err(TokenError::Lifetime)
    );
}
