//! A node whose policy wants a person's consent for `export`, an approver, and an identity provider of our own.

use crate::job::{Job, Leg, Task, export, step_op, text};
use crate::node::{Node, Options, Role, Row};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use std::fs;
use std::time::{SystemTime, UNIX_EPOCH};

pub(crate) const ISSUER: &str = "https://login.demo.test";
const AUDIENCE: &str = "approvals";

const WANTS_CONSENT: &str = r#"
@id("export-wants-consent")
forbid (principal, action in [Action::"step", Action::"retry"], resource)
when { resource.name == "export" } unless { context.approved };
"#;

const TABLES: &str = r#"
[[approver]]
spiffe_id = "spiffe://demo.test/approver"
[[person_issuer]]
issuer = "https://login.demo.test"
audience = "approvals"
jwks_path = "{folder}/jwks.json"
"#;

/// What a node with approvals needs besides.
pub(crate) fn options() -> Options {
    let mut options = Options::default();
    options.policy.push_str(WANTS_CONSENT);
    options.config.push_str(TABLES);
    options.roles.push(Role::new("approver", 30_010, Row::Uid));
    options
}

/// An identity provider with one key.
pub(crate) struct Provider(EcdsaKeyPair);

impl Provider {
    /// Its keys are where the agent looks for them.
    pub(crate) fn of(node: &Node) -> Self {
        let provider = Self::stranger();
        let point = provider.0.public_key().as_ref();
        let jwks = json!({ "keys": [{
            "kty": "EC", "crv": "P-256", "kid": "1", "alg": "ES256", "use": "sig",
            "x": URL_SAFE_NO_PAD.encode(&point[1..33]), "y": URL_SAFE_NO_PAD.encode(&point[33..]),
        }] });
        fs::write(node.path("jwks.json"), jwks.to_string()).unwrap();
        provider
    }

    /// A key that nobody knows.
    pub(crate) fn stranger() -> Self {
        Self(EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap())
    }

    /// The ID token of a login with this nonce.
    pub(crate) fn login(&self, subject: &str, nonce: &str) -> String {
        #[expect(
            clippy::disallowed_methods,
            reason = "an identity provider has a clock of its own"
        )]
        let now = SystemTime::now();
        let now = now.duration_since(UNIX_EPOCH).unwrap().as_secs();
        let header = json!({ "alg": "ES256", "kid": "1", "typ": "JWT" });
        let claims = json!({
            "iss": ISSUER, "sub": subject, "aud": AUDIENCE, "iat": now,
            "exp": now.saturating_add(300), "nonce": nonce,
        });
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let signed = format!("{}.{}", part(&header), part(&claims));
        let signature = self.0.sign(&SystemRandom::new(), signed.as_bytes());
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature.unwrap()))
    }
}

/// The `nonce` of a login for this digest.
pub(crate) fn nonce(digest: &str) -> String {
    URL_SAFE_NO_PAD.encode(unhex(digest))
}

pub(crate) fn unhex(text: &str) -> Vec<u8> {
    let pair = |digits: &[u8]| {
        let digits = std::str::from_utf8(digits).unwrap();
        u8::from_str_radix(digits, 16).unwrap()
    };
    text.as_bytes().chunks(2).map(pair).collect()
}

/// A job with an approver.
pub(crate) struct World {
    pub(crate) job: Job,
    pub(crate) approver: crate::node::Actor,
    pub(crate) provider: Provider,
}

impl World {
    pub(crate) fn start() -> Self {
        Self::with(&options())
    }

    pub(crate) fn with(options: &Options) -> Self {
        let job = Job::with(options);
        Self {
            approver: job.node.actor_named("approver"),
            provider: Provider::of(&job.node),
            job,
        }
    }

    pub(crate) fn leg(&mut self) -> (Task, Leg) {
        let task = self.job.create();
        let leg = self.job.start_leg(&task);
        (task, leg)
    }

    /// The worker asks for a step and is told that a person is asked; returns the approval's ID.
    pub(crate) fn ask(&mut self, op: &Value) -> String {
        let asked = self.job.worker.ok(op);
        assert_eq!(asked["state"], "pending_approval", "{asked}");
        assert_eq!(asked["token"], "");
        text(&asked, "approval_id")
    }

    /// The request as the approver sees it.
    pub(crate) fn seen(&mut self, id: &str) -> Value {
        let op = json!({ "op": "approval_get", "approval_id": id });
        self.approver.ok(&op)
    }

    /// A person's decision about what the approver sees.
    pub(crate) fn decision(&mut self, id: &str, verdict: &str) -> Value {
        let digest = text(&self.seen(id), "digest");
        let id_token = self.provider.login("person-1", &nonce(&digest));
        json!({
            "op": "approval_decide", "approval_id": id, "digest": digest, "verdict": verdict,
            "id_token": id_token,
        })
    }

    pub(crate) fn decide(&mut self, id: &str, verdict: &str) -> Value {
        let op = self.decision(id, verdict);
        self.approver.ok(&op)
    }

    /// Step 1, asked for, approved and issued; returns its token.
    pub(crate) fn approved_token(&mut self, leg: &Leg) -> String {
        let id = self.ask(&step_op(leg, 1));
        self.decide(&id, "approve");
        self.job.step_token(leg, 1)
    }
}

/// As [`step_op`], with other arguments.
pub(crate) fn step_with(leg: &Leg, step: u64, arguments: Value) -> Value {
    let mut op = step_op(leg, step);
    op["call"] = export();
    op["call"]["arguments"] = arguments;
    op
}
