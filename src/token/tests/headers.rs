//! A45 and A46: there is one header, and no other kind of token passes for ours or ours for it.

use super::*;

/// A45: everything that is not the one header is refused, also where the key signed it.
#[test]
fn a45_other_headers_are_refused_even_with_a_valid_signature() {
    let key = key();
    let (genuine, payload) = parts(&key.encode(&step()).expect("signs"));
    assert_eq!(
        key.verify(&signed(&key, &genuine, &payload), NOW)
            .map(|_| ()),
        Ok(())
    );
    let kid = key.kid().to_owned();
    for header in [
        format!(r#"{{"alg":"none","typ":"tct+jwt","kid":"{kid}"}}"#),
        format!(r#"{{"alg":"HS256","typ":"tct+jwt","kid":"{kid}"}}"#),
        format!(r#"{{"alg":"ES384","typ":"tct+jwt","kid":"{kid}"}}"#),
        format!(r#"{{"alg":"es256","typ":"tct+jwt","kid":"{kid}"}}"#),
        format!(r#"{{"typ":"tct+jwt","alg":"ES256","kid":"{kid}"}}"#),
        format!(r#"{{"alg":"ES256","kid":"{kid}","typ":"tct+jwt"}}"#),
        format!(r#"{{"alg":"ES256", "typ":"tct+jwt","kid":"{kid}"}}"#),
        format!(r#"{{"alg":"ES256","typ":"tct+jwt","kid":"{kid}"}} "#),
        format!(r#"{{"alg":"ES256","typ":"TCT+JWT","kid":"{kid}"}}"#),
        format!(r#"{{"alg":"ES256","typ":"application/tct+jwt","kid":"{kid}"}}"#),
        format!(r#"{{"alg":"ES256","typ":"tct+jwt","kid":"{kid}","jku":"https://x.example"}}"#),
        format!(r#"{{"alg":"ES256","typ":"tct+jwt","kid":"{kid}","jwk":{{}}}}"#),
        format!(r#"{{"alg":"ES256","typ":"tct+jwt","kid":"{kid}","x5c":[]}}"#),
        format!(r#"{{"alg":"ES256","typ":"tct+jwt","kid":"{kid}","crit":["b64"],"b64":false}}"#),
        format!(r#"{{"alg":"none","alg":"ES256","typ":"tct+jwt","kid":"{kid}"}}"#),
        r#"{"alg":"ES256","typ":"tct+jwt"}"#.to_owned(),
        format!(r#"{{"alg":"ES256","typ":"tct+jwt","kid":"{kid}x"}}"#),
        r#"{"alg":"ES256","typ":"tct+jwt","kid":"../../etc/passwd"}"#.to_owned(),
        "{}".to_owned(),
        String::new(),
    ] {
        let refused = key.verify(&signed(&key, &header, &payload), NOW);
        assert_eq!(refused, Err(TokenError::Header), "{header}");
    }
    let foreign = format!(
        r#"{{"alg":"ES256","typ":"tct+jwt","kid":"{}"}}"#,
        encode([0; 32])
    );
    assert_eq!(
        key.verify(&signed(&key, &foreign, &payload), NOW),
        Err(TokenError::KeyUnknown)
    );
}

/// A45: no signature, one keyed with the public key, one of the wrong form.
#[test]
fn a45_signatures_of_another_kind_are_refused() {
    use aws_lc_rs::hmac;
    let key = key();
    let token = key.encode(&step()).expect("signs");
    let (input, _) = token.rsplit_once('.').expect("has three parts");
    let secret = hmac::Key::new(hmac::HMAC_SHA256, key.kid().as_bytes());
    for signature in [
        String::new(),
        encode([0; 64]),
        encode([0xff; 64]),
        encode(hmac::sign(&secret, input.as_bytes())),
        encode([1; 63]),
        encode([1; 65]),
    ] {
        let refused = key.verify(&format!("{input}.{signature}"), NOW);
        assert_eq!(refused, Err(TokenError::Signature), "{signature}");
    }
}

/// A46: other kinds of token, with our own key and our own claims, are not ours.
#[test]
fn a46_other_types_of_token_are_refused_as_ours() {
    let key = key();
    let (_, payload) = parts(&key.encode(&step()).expect("signs"));
    let kid = key.kid();
    for typ in [
        "JWT",
        "JOSE",
        "at+jwt",
        "txn_token",
        "txntoken+jwt",
        "wit+jwt",
        "wpt+jwt",
        "dpop+jwt",
        "jwt-svid",
    ] {
        let header = format!(r#"{{"alg":"ES256","typ":"{typ}","kid":"{kid}"}}"#);
        let refused = key.verify(&signed(&key, &header, &payload), NOW);
        assert_eq!(refused, Err(TokenError::Header), "{typ}");
    }
    let untyped = format!(r#"{{"alg":"ES256","kid":"{kid}"}}"#);
    assert_eq!(
        key.verify(&signed(&key, &untyped, &payload), NOW),
        Err(TokenError::Header)
    );
}

/// A46, the other way: ours is not a JWT-SVID. The parser that verifies no signature is the laxer of the two
/// that the `spiffe` crate has; both look at `typ` first.
#[test]
fn a46_our_token_is_refused_as_a_jwt_svid() {
    use spiffe::{JwtSvid, JwtSvidError};
    let key = key();
    for claims in [step(), query(), create()] {
        let token = key.encode(&claims).expect("signs");
        let refused = JwtSvid::parse_insecure(&token);
        assert!(
            matches!(refused, Err(JwtSvidError::InvalidTyp)),
            "{refused:?}"
        );
        // Control: the type alone is what keeps it out.
        let (_, payload) = parts(&token);
        let header = format!(r#"{{"alg":"ES256","typ":"JWT","kid":"{}"}}"#, key.kid());
        let svid = signed(&key, &header, &payload);
        assert!(JwtSvid::parse_insecure(&svid).is_ok());
        assert_eq!(key.verify(&svid, NOW), Err(TokenError::Header));
    }
}

/// A member of a header: a usual name or any, with a usual value or any.
fn member() -> impl Strategy<Value = String> {
    let name = prop_oneof![
        prop::sample::select(vec![
            "alg", "typ", "kid", "jku", "jwk", "x5u", "x5c", "crit", "b64", "cty", "zip"
        ])
        .prop_map(str::to_owned),
        "[a-z]{1,6}",
    ];
    let value = prop_oneof![
        prop::sample::select(vec![
            r#""ES256""#,
            r#""none""#,
            r#""HS256""#,
            r#""tct+jwt""#,
            r#""JWT""#,
            r#"["exp"]"#,
            "null",
            "true",
            "{}",
            r#""https://x.example/keys""#,
        ])
        .prop_map(str::to_owned),
        "\"[A-Za-z0-9_-]{0,43}\"",
    ];
    (name, value).prop_map(|(name, value)| format!("\"{name}\":{value}"))
}

proptest! {
    #[test]
    fn a45_no_header_but_the_one_is_accepted(
        members in prop::collection::vec(member(), 0..5),
        keep in any::<[bool; 3]>(),
        order in Just(vec![0_usize, 1, 2]).prop_shuffle(),
        space in prop::sample::select(vec!["", " ", "\n"]),
        at in 0_usize..4,
    ) {
        let key = key();
        let (genuine, payload) = parts(&key.encode(&step()).expect("signs"));
        let usual = [
            r#""alg":"ES256""#.to_owned(),
            r#""typ":"tct+jwt""#.to_owned(),
            format!("\"kid\":\"{}\"", key.kid()),
        ];
        let mut all: Vec<String> =
            order.iter().filter(|n| keep[**n]).map(|n| usual[*n].clone()).collect();
        let at = at.min(all.len());
        all.splice(at..at, members);
        let header = format!("{{{}}}", all.join(&format!(",{space}")));
        let verified = key.verify(&signed(&key, &header, &payload), NOW);
        prop_assert_eq!(verified.is_ok(), header == genuine, "{}", header);
    }
}
