//! One token is accepted; whatever differs from it in header, spelling, key, claims or time is refused.

mod headers;
mod spelling;
mod times;

use super::*;
use crate::domain::claims::Subject;
use crate::domain::id::{Digest, Epoch, Fence, Jti, SpiffeId, StepNumber, TaskId};
use crate::domain::time::Time;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use proptest::prelude::*;

const NOW: Time = Time(1_800_000_000_500);

fn id(path: &str) -> SpiffeId {
    SpiffeId::new(format!("spiffe://example.org/{path}")).expect("is a SPIFFE ID")
}

fn key() -> EpochKey {
    // As in the agent: a token that was verified before is remembered.
    EpochKey::remembering(Epoch(7), id("agent"), 16).expect("makes a key")
}

fn step() -> TokenClaims {
    TokenClaims {
        subject: Subject::Workload(id("owner")),
        actor: id("worker"),
        audience: id("tool"),
        issued_at: Time(1_800_000_000_000),
        expires_at: Time(1_800_000_030_000),
        jti: Jti([1; 16]),
        txn: TaskId([2; 16]),
        task: TaskId([3; 16]),
        certificate: Digest([4; 32]),
        operation: Operation::Step,
        tool: Some("pay".to_owned()),
        arguments: Some(Digest([5; 32])),
        definition: Some(Digest([6; 32])),
        name: Some(Digest([7; 32])),
        fence: Fence(8),
        step: Some(StepNumber(9)),
        epoch: Epoch(7),
    }
}

fn query() -> TokenClaims {
    TokenClaims {
        actor: id("owner"),
        expires_at: Time(1_800_000_010_000),
        operation: Operation::Query,
        tool: None,
        arguments: None,
        definition: None,
        fence: Fence(0),
        step: None,
        ..step()
    }
}

fn create() -> TokenClaims {
    TokenClaims {
        operation: Operation::Create,
        name: None,
        step: None,
        ..step()
    }
}

fn encode(text: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(text)
}

/// A token with any header and payload, correctly signed with the epoch's key.
fn signed(key: &EpochKey, header: &str, payload: &str) -> String {
    let input = format!("{}.{}", encode(header), encode(payload));
    let signature = key.signature(input.as_bytes()).expect("signs");
    format!("{input}.{signature}")
}

fn parts(token: &str) -> (String, String) {
    let mut parts = token.split('.').map(|part| {
        let bytes = URL_SAFE_NO_PAD.decode(part).expect("is base64url");
        String::from_utf8_lossy(&bytes).into_owned()
    });
    (
        parts.next().expect("header"),
        parts.next().expect("payload"),
    )
}

#[test]
fn what_was_signed_is_verified_and_read_back() {
    let key = key();
    for claims in [
        step(),
        TokenClaims {
            operation: Operation::Retry,
            definition: None,
            ..step()
        },
        TokenClaims {
            subject: Subject::Principal(Digest([9; 32])),
            ..step()
        },
        create(),
        query(),
        TokenClaims {
            operation: Operation::Cancel,
            fence: Fence(3),
            ..query()
        },
    ] {
        let token = key.encode(&claims).expect("signs");
        assert!(token.len() <= TOKEN_BYTES_MAX);
        assert_eq!(
            key.verify(&token, NOW).map(Verified::into_claims),
            Ok(claims)
        );
    }
}

#[test]
fn a_token_is_spelled_as_documented() {
    let key = key();
    let (header, payload) = parts(&key.encode(&step()).expect("signs"));
    assert_eq!(
        header,
        format!(r#"{{"alg":"ES256","typ":"tct+jwt","kid":"{}"}}"#, key.kid())
    );
    let digest = |byte| encode([byte; 32]);
    let expected = [
        r#"{"iss":"spiffe://example.org/agent","sub":"spiffe://example.org/owner","#,
        r#""act":{"sub":"spiffe://example.org/worker"},"aud":"spiffe://example.org/tool","#,
        r#""iat":1800000000,"exp":1800000030,"jti":"AQEBAQEBAQEBAQEBAQEBAQ","#,
        r#""txn":"02020202020202020202020202020202","#,
        &format!(r#""cnf":{{"x5t#S256":"{}"}},"#, digest(4)),
        r#""authorization_details":[{"type":"urn:handfast:tool","#,
        r#""locations":["spiffe://example.org/tool"],"actions":["pay"],"#,
        &format!(
            r#""identifier":"{}","tool_definition_s256":"{}"}}],"#,
            digest(5),
            digest(6)
        ),
        r#""urn:handfast:tct":{"operation":"step","task":"03030303030303030303030303030303","#,
        &format!(
            r#""name_hash":"{}","fence":8,"step":9,"epoch":7}}}}"#,
            digest(7)
        ),
    ]
    .concat();
    assert_eq!(payload, expected);
}

#[test]
fn a_token_never_outlives_its_record() {
    let key = key();
    let claims = TokenClaims {
        issued_at: Time(1_800_000_000_900),
        expires_at: Time(1_800_000_030_999),
        ..step()
    };
    let token = key.encode(&claims).expect("signs");
    let read = key
        .verify(&token, Time(1_800_000_001_000))
        .expect("verifies");
    assert_eq!(read.claims().expires_at, Time(1_800_000_030_000));
    assert_eq!(read.claims().issued_at, Time(1_800_000_000_000));
}

#[test]
fn an_order_may_be_about_a_step_and_no_other_owner_token() {
    let key = key();
    for step in [None, Some(StepNumber(1))] {
        for operation in [Operation::Update, Operation::Cancel] {
            let claims = TokenClaims {
                operation,
                step,
                ..query()
            };
            let well_formed = operation == Operation::Update || step.is_none();
            assert_eq!(key.encode(&claims).is_ok(), well_formed, "{claims:?}");
        }
    }
}

#[test]
fn no_token_is_signed_for_too_long_or_with_claims_that_contradict() {
    let key = key();
    let lives = |claims: TokenClaims, seconds: u64| {
        let expires_at = Time(claims.issued_at.0 + seconds * 1000);
        key.encode(&TokenClaims {
            expires_at,
            ..claims
        })
        .map(|_| ())
    };
    assert_eq!(lives(step(), 60), Ok(()));
    assert_eq!(lives(step(), 61), Err(TokenError::Lifetime));
    assert_eq!(lives(query(), 10), Ok(()));
    assert_eq!(lives(query(), 11), Err(TokenError::Lifetime));
    for wrong in [
        TokenClaims {
            step: None,
            ..step()
        },
        TokenClaims {
            tool: None,
            ..step()
        },
        TokenClaims {
            arguments: None,
            ..step()
        },
        TokenClaims {
            name: None,
            ..step()
        },
        TokenClaims {
            name: Some(Digest([1; 32])),
            ..create()
        },
        TokenClaims {
            name: None,
            ..query()
        },
        TokenClaims {
            step: Some(StepNumber(1)),
            ..query()
        },
        TokenClaims {
            tool: Some("pay".to_owned()),
            ..query()
        },
        TokenClaims {
            definition: Some(Digest([1; 32])),
            ..query()
        },
        TokenClaims {
            expires_at: Time(1_799_999_999_999),
            ..step()
        },
    ] {
        assert_eq!(key.encode(&wrong), Err(TokenError::Form), "{wrong:?}");
    }
    assert_eq!(
        key.encode(&TokenClaims {
            epoch: Epoch(6),
            ..step()
        }),
        Err(TokenError::Epoch)
    );
    let long = TokenClaims {
        tool: Some("x".repeat(4096)),
        ..step()
    };
    assert_eq!(key.encode(&long), Err(TokenError::Size));
}

#[test]
fn a_restart_ends_every_token() {
    let (old, new) = (key(), key());
    let token = old.encode(&step()).expect("signs");
    assert_eq!(new.verify(&token, NOW), Err(TokenError::KeyUnknown));
    // Even under the new key's header.
    let (_, payload) = parts(&token);
    let (header, _) = parts(&new.encode(&step()).expect("signs"));
    let moved = signed(&old, &header, &payload);
    assert_eq!(new.verify(&moved, NOW), Err(TokenError::Signature));
    assert_eq!(
        new.verify(&signed(&new, &header, &payload), NOW)
            .map(|_| ()),
        Ok(())
    );
}

#[test]
fn each_changed_byte_is_refused() {
    let key = key();
    let token = key.encode(&query()).expect("signs");
    key.verify(&token, NOW).expect("is remembered from here on");
    for at in 0..token.len() {
        for replacement in [b'A', b'.', b'=', b' ', b'_'] {
            let mut bytes = token.clone().into_bytes();
            if bytes[at] == replacement {
                continue;
            }
            bytes[at] = replacement;
            let changed = String::from_utf8(bytes).expect("is ASCII");
            assert!(
                key.verify(&changed, NOW).is_err(),
                "byte {at} as {replacement}"
            );
        }
    }
    for changed in [
        format!("{token}."),
        format!(".{token}"),
        format!("{token}="),
        format!("{token} "),
        format!("{token}\n"),
        token.replace('.', ".."),
        token.replacen('.', "", 1),
        token.chars().skip(1).collect(),
    ] {
        assert!(key.verify(&changed, NOW).is_err(), "{changed}");
    }
}

#[test]
fn both_sides_of_the_size_limit() {
    let key = key();
    let mut longest = None;
    for length in (0..4096).rev() {
        let claims = TokenClaims {
            tool: Some("x".repeat(length)),
            ..step()
        };
        if let Ok(token) = key.encode(&claims) {
            longest = Some(token);
            break;
        }
    }
    let longest = longest.expect("some length fits");
    assert!(longest.len() > TOKEN_BYTES_MAX - 4);
    assert!(key.verify(&longest, NOW).is_ok());
    let longer = format!(
        "{longest}{}",
        "A".repeat(TOKEN_BYTES_MAX + 1 - longest.len())
    );
    assert_eq!(key.verify(&longer, NOW), Err(TokenError::Size));
}

#[test]
fn debug_and_reasons_show_no_token() {
    let key = key();
    let token = key.encode(&step()).expect("signs");
    assert_eq!(
        format!("{key:?}"),
        format!("EpochKey {{ epoch: Epoch(7), kid: {:?}, .. }}", key.kid())
    );
    assert_eq!(key.epoch(), Epoch(7));
    assert!(!format!("{:?}", key.verify(&token, NOW)).contains(&token));
    let keys = SigningKeys::begin(Epoch(7), id("agent"), 16).expect("makes a key");
    let port: &dyn crate::service::ports::Signer = &keys;
    assert_eq!(port.verify("x", NOW), Err("token_parts"));
    assert_eq!(port.verify(&token, NOW), Err("token_key_unknown"));
}

proptest! {
    #[test]
    fn garbage_never_panics_and_is_never_accepted(
        text in "\\PC{0,200}",
        dotted in "[A-Za-z0-9_-]{0,60}\\.[A-Za-z0-9_-]{0,60}\\.[A-Za-z0-9_-]{0,90}",
        payload in "\\PC{0,200}",
    ) {
        let key = key();
        let (header, _) = parts(&key.encode(&query()).expect("signs"));
        prop_assert!(key.verify(&text, NOW).is_err());
        prop_assert!(key.verify(&dotted, NOW).is_err());
        // Garbage that our own key signed.
        prop_assert!(key.verify(&signed(&key, &header, &payload), NOW).is_err());
    }

    #[test]
    fn all_claims_come_back(
        digests in any::<[[u8; 32]; 4]>(),
        ids in any::<[[u8; 16]; 3]>(),
        tool in "\\PC{0,40}",
        numbers in any::<(u64, u32)>(),
        start in 0_u64..4_000_000_000,
        life in 1_u64..=60,
    ) {
        let key = key();
        let [arguments, definition, name, certificate] = digests.map(Digest);
        let [jti, txn, task] = ids;
        let claims = TokenClaims {
            issued_at: Time(start.saturating_mul(1000)),
            expires_at: Time(start.saturating_add(life).saturating_mul(1000)),
            jti: Jti(jti),
            txn: TaskId(txn),
            task: TaskId(task),
            certificate,
            tool: Some(tool),
            arguments: Some(arguments),
            definition: Some(definition),
            name: Some(name),
            fence: Fence(numbers.0),
            step: Some(StepNumber(numbers.1)),
            ..step()
        };
        let token = key.encode(&claims).expect("signs");
        let read = key.verify(&token, claims.issued_at);
        prop_assert_eq!(read.map(Verified::into_claims), Ok(claims));
    }
}
