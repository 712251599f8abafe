//! ID tokens made here with a key of our own, and everything that can be wrong with one.

use super::{IdTokens, Issuer, LoginTimes};
use crate::domain::approval::Verdict;
use crate::domain::id::Digest;
use crate::domain::time::Time;
use crate::service::ports::{PersonError, Persons};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use std::time::Duration;

const ISSUER: &str = "https://login.example.test";
const NOW: Time = Time(1_800_000_000_000);
const DIGEST: Digest = Digest([7; 32]);
const TIMES: LoginTimes = LoginTimes {
    age_max: Duration::from_secs(600),
    skew_max: Duration::from_secs(30),
};

struct World {
    folder: tempfile::TempDir,
    key: EcdsaKeyPair,
    tokens: IdTokens,
}

impl World {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let key = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
        let point = key.public_key().as_ref();
        let jwks_path = folder.path().join("jwks.json");
        let jwks = json!({ "keys": [
            { "kty": "EC", "crv": "P-256", "kid": "k1", "alg": "ES256", "use": "sig",
              "x": encode(&point[1..33]), "y": encode(&point[33..]) },
            { "kty": "oct", "kid": "k2", "alg": "HS256", "k": encode(b"secret") },
        ] });
        std::fs::write(&jwks_path, jwks.to_string()).unwrap();
        let issuer = Issuer {
            issuer: ISSUER.to_owned(),
            audience: "handfast".to_owned(),
            jwks_path,
        };
        Self {
            tokens: IdTokens::new(vec![issuer], TIMES, 4096),
            folder,
            key,
        }
    }

    fn sign(&self, header: &Value, claims: &str) -> String {
        let signed = format!(
            "{}.{}",
            encode(header.to_string().as_bytes()),
            encode(claims.as_bytes())
        );
        let signature = self
            .key
            .sign(&SystemRandom::new(), signed.as_bytes())
            .unwrap();
        format!("{signed}.{}", encode(signature.as_ref()))
    }

    async fn verdict(&self, token: &str) -> Result<(String, String), PersonError> {
        let person = self
            .tokens
            .verify(token, (DIGEST, Verdict::Approved), NOW)
            .await?;
        Ok((person.issuer, person.subject))
    }
}

fn encode(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// So many seconds from now.
fn seconds(later: u64) -> u64 {
    NOW.as_seconds().saturating_add(later)
}

fn header() -> Value {
    json!({ "alg": "ES256", "kid": "k1", "typ": "JWT" })
}

fn claims() -> Value {
    json!({
        "iss": ISSUER, "sub": "user-1", "aud": "handfast", "exp": seconds(60),
        "iat": NOW.as_seconds(), "nonce": encode(&DIGEST.0), "email": "user@example.test",
    })
}

fn with(mut base: Value, name: &str, value: Value) -> Value {
    base[name] = value;
    base
}

fn without(mut base: Value, name: &str) -> Value {
    base.as_object_mut().unwrap().remove(name);
    base
}

#[tokio::test]
async fn a_login_for_this_very_decision_names_its_person() {
    let world = World::new();
    world.tokens.check().unwrap();
    let person = Ok((ISSUER.to_owned(), "user-1".to_owned()));
    let plain = without(header(), "typ");
    for (header, claims) in [
        (header(), claims()),
        (plain, claims()),
        (header(), with(claims(), "aud", json!(["handfast"]))),
        (
            header(),
            with(
                with(claims(), "aud", json!(["other", "handfast"])),
                "azp",
                json!("handfast"),
            ),
        ),
        (header(), with(claims(), "iat", json!(seconds(30)))),
    ] {
        let token = world.sign(&header, &claims.to_string());
        assert_eq!(world.verdict(&token).await, person, "{claims}");
    }
}

async fn refused(rows: Vec<(Value, Value, &'static str)>) {
    let world = World::new();
    for (header, claims, why) in rows {
        let token = world.sign(&header, &claims.to_string());
        let verdict = world.verdict(&token).await;
        assert_eq!(verdict, Err(PersonError::Refused(why)), "{header} {claims}");
    }
}

#[tokio::test]
async fn a_header_that_names_no_key_and_its_one_algorithm_is_refused() {
    refused(vec![
        (
            with(header(), "alg", json!("none")),
            claims(),
            "id_token_algorithm",
        ),
        (
            with(header(), "alg", json!("RS256")),
            claims(),
            "id_token_algorithm",
        ),
        (with(header(), "kid", json!("k2")), claims(), "id_token_key"),
        (with(header(), "kid", json!("k3")), claims(), "id_token_key"),
        (without(header(), "kid"), claims(), "id_token_key"),
        (
            with(header(), "typ", json!("at+jwt")),
            claims(),
            "id_token_header",
        ),
        (
            with(header(), "crit", json!(["b64"])),
            claims(),
            "id_token_header",
        ),
    ])
    .await;
}

#[tokio::test]
async fn claims_of_anything_but_this_very_login_are_refused() {
    let other = Digest([8; 32]);
    refused(vec![
        (
            header(),
            with(claims(), "iss", json!("https://other.test")),
            "issuer",
        ),
        (
            header(),
            with(claims(), "aud", json!("other")),
            "id_token_audience",
        ),
        (
            header(),
            with(claims(), "aud", json!(["handfast", "other"])),
            "id_token_audience",
        ),
        (
            header(),
            with(claims(), "azp", json!("other")),
            "id_token_audience",
        ),
        (
            header(),
            with(claims(), "exp", json!(seconds(0))),
            "id_token_expired",
        ),
        (
            header(),
            with(claims(), "iat", json!(seconds(31))),
            "id_token_issued_later",
        ),
        (header(), without(claims(), "nonce"), "id_token_nonce"),
        (
            header(),
            with(claims(), "nonce", json!(encode(&other.0))),
            "id_token_nonce",
        ),
        (
            header(),
            with(
                claims(),
                "nonce",
                json!(format!("refuse.{}", encode(&DIGEST.0))),
            ),
            "id_token_nonce",
        ),
        (
            header(),
            with(claims(), "nbf", json!(seconds(31))),
            "id_token_not_yet",
        ),
        (header(), without(claims(), "sub"), "id_token_claims"),
        (
            header(),
            with(claims(), "sub", json!("")),
            "id_token_claims",
        ),
        (
            header(),
            with(claims(), "exp", json!("soon")),
            "id_token_claims",
        ),
    ])
    .await;
    // A member given twice is not read in two ways.
    let world = World::new();
    let twice = claims().to_string().replacen('{', "{\"nonce\":\"x\",", 1);
    let verdict = world.verdict(&world.sign(&header(), &twice)).await;
    assert_eq!(verdict, Err(PersonError::Refused("id_token_claims")));
}

#[tokio::test]
async fn a26_an_old_login_counts_no_more_whatever_its_end() {
    let world = World::new();
    let of = |ago: u64| {
        let lasting = with(claims(), "exp", json!(seconds(86_400)));
        let issued = NOW.as_seconds().saturating_sub(ago);
        world.sign(&header(), &with(lasting, "iat", json!(issued)).to_string())
    };
    // Ten minutes, thirty seconds between the clocks, and the part of a second that `iat` does not state.
    let good = of(631);
    assert!(world.verdict(&good).await.is_ok());
    for ago in [632, 86_400, NOW.as_seconds()] {
        let old = world.verdict(&of(ago)).await;
        assert_eq!(old, Err(PersonError::Refused("id_token_too_old")), "{ago}");
    }
    // What is said of its time is no earlier than it was: a request after that was seen by nobody.
    let decided = (DIGEST, Verdict::Approved);
    let person = world.tokens.verify(&of(60), decided, NOW).await.unwrap();
    let latest = seconds(0).saturating_sub(60 - 1 - 30);
    assert_eq!(person.issued_by.as_seconds(), latest);
}

#[tokio::test]
async fn another_key_or_one_changed_byte_does_not_verify() {
    let world = World::new();
    let stranger = World::new();
    let good = world.sign(&header(), &claims().to_string());
    let forged = stranger.sign(&header(), &claims().to_string());
    assert_eq!(
        world.verdict(&forged).await,
        Err(PersonError::Refused("id_token_signature"))
    );
    world.verdict(&good).await.unwrap();
    let (signed, signature) = good.rsplit_once('.').unwrap();
    let mut signature = URL_SAFE_NO_PAD.decode(signature).unwrap();
    signature[0] ^= 1;
    let changed = format!("{signed}.{}", encode(&signature));
    assert_eq!(
        world.verdict(&changed).await,
        Err(PersonError::Refused("id_token_signature"))
    );
    for broken in ["", "a.b", "a.b.c", &"x".repeat(20_000)] {
        assert!(world.verdict(broken).await.is_err());
    }
}

#[tokio::test]
async fn keys_that_cannot_be_read_decide_nothing() {
    let world = World::new();
    let token = world.sign(&header(), &claims().to_string());
    let path = world.folder.path().join("jwks.json");
    for text in ["", "{", &"x".repeat(5000)] {
        std::fs::write(&path, text).unwrap();
        let verdict = world.verdict(&token).await;
        assert!(
            matches!(verdict, Err(PersonError::Unavailable(_))),
            "{verdict:?}"
        );
        world.tokens.check().unwrap_err();
    }
    std::fs::remove_file(&path).unwrap();
    let verdict = world.verdict(&token).await;
    assert!(matches!(verdict, Err(PersonError::Unavailable(_))));
}

#[tokio::test]
async fn a_login_for_a_refusal_is_good_for_that_alone() {
    let world = World::new();
    let refusal = format!("refuse.{}", encode(&DIGEST.0));
    let token = world.sign(
        &header(),
        &with(claims(), "nonce", json!(refusal)).to_string(),
    );
    let no = (DIGEST, Verdict::Refused);
    assert!(world.tokens.verify(&token, no, NOW).await.is_ok());
    let approval = world.sign(&header(), &claims().to_string());
    let refused = world.tokens.verify(&approval, no, NOW).await;
    assert!(matches!(
        refused,
        Err(PersonError::Refused("id_token_nonce"))
    ));
}
