//! The key and self-signed certificate of one leg, or of one audience.
//!
//! Names `domain` and `token`. The one thing to know: the private key is made inside the crypto library and
//! never leaves it: nothing here can export it, so nothing can write, send or log it.

use crate::domain::id::{Hex, Thumbprint};
use crate::domain::time::Time;
use crate::token::certificate::thumbprint;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _};
use rcgen::{
    CertificateParams, DistinguishedName, ExtendedKeyUsagePurpose, IsCa, KeyUsagePurpose,
    PKCS_ECDSA_P256_SHA256, PublicKeyData, SanType, SerialNumber,
};
use rustls::pki_types::CertificateDer;
use rustls::sign::{CertifiedKey, Signer, SigningKey};
use rustls::{SignatureAlgorithm, SignatureScheme};
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// How far back a certificate starts, for a verifier whose clock is behind.
pub const BACKDATE: Duration = Duration::from_secs(30);

const URN: &str = "urn:handfast:leg:";

/// A P-256 key in memory and its self-signed certificate. Cheap to clone.
#[derive(Clone)]
pub struct Hand {
    certified: Arc<CertifiedKey>,
    der: CertificateDer<'static>,
    ends: Time,
    thumbprint: Thumbprint,
}

/// Why a hand could not be made.
#[derive(Debug, thiserror::Error)]
pub enum HandError {
    /// The certificate could not be written.
    #[error("certificate cannot be made")]
    Certificate(#[from] rcgen::Error),
    /// No key or no random bytes.
    #[error("key cannot be made")]
    Key,
    /// The wall clock is before 1970, or the lifetime ends after the last time there is.
    #[error("validity of the certificate cannot be stated")]
    Time,
}

impl Hand {
    /// Makes a key and a certificate that ends after `lifetime` (whole seconds, rounded down).
    ///
    /// # Errors
    /// See [`HandError`].
    pub fn generate(lifetime: Duration) -> Result<Self, HandError> {
        #[expect(
            clippy::disallowed_methods,
            reason = "the library runs in workloads, which have no Clock port"
        )]
        let now = SystemTime::now();
        let starts = now.checked_sub(BACKDATE).ok_or(HandError::Time)?;
        let ends = now.checked_add(lifetime).ok_or(HandError::Time)?;
        let end_seconds = ends
            .duration_since(SystemTime::UNIX_EPOCH)
            .map_err(|_before| HandError::Time)?
            .as_secs();

        let key = HandKey::generate()?;
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        params.serial_number = Some(SerialNumber::from_slice(&random()?));
        params.not_before = starts.into();
        params.not_after = ends.into();
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        let name = format!("{URN}{}", Hex(&random()?));
        params.subject_alt_names = vec![SanType::URI(name.try_into()?)];
        let der = params.self_signed(&key)?.der().clone();

        Ok(Self {
            thumbprint: thumbprint(&der),
            ends: Time(end_seconds.checked_mul(1000).ok_or(HandError::Time)?),
            certified: Arc::new(CertifiedKey::new(vec![der.clone()], Arc::new(key))),
            der,
        })
    }

    /// The certificate, for `Start` and `Issue`.
    #[must_use]
    pub fn certificate(&self) -> &CertificateDer<'static> {
        &self.der
    }

    /// The certificate's thumbprint (`x5t#S256`).
    #[must_use]
    pub fn thumbprint(&self) -> Thumbprint {
        self.thumbprint
    }

    /// When the certificate ends; exclusive.
    #[must_use]
    pub fn ends(&self) -> Time {
        self.ends
    }

    /// Certificate and key as rustls wants them.
    #[must_use]
    pub fn certified_key(&self) -> Arc<CertifiedKey> {
        Arc::clone(&self.certified)
    }
}

impl fmt::Debug for Hand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hand")
            .field("thumbprint", &self.thumbprint)
            .field("ends", &self.ends)
            .finish_non_exhaustive()
    }
}

/// The key, as rcgen and rustls each want to sign with it.
#[derive(Clone)]
struct HandKey(Arc<EcdsaKeyPair>);

impl HandKey {
    fn generate() -> Result<Self, HandError> {
        EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING)
            .map(|pair| Self(Arc::new(pair)))
            .map_err(|_unspecified| HandError::Key)
    }

    fn signature(&self, message: &[u8]) -> Option<Vec<u8>> {
        let signature = self.0.sign(&SystemRandom::new(), message).ok()?;
        Some(signature.as_ref().to_vec())
    }
}

impl PublicKeyData for HandKey {
    fn der_bytes(&self) -> &[u8] {
        self.0.public_key().as_ref()
    }

    fn algorithm(&self) -> &'static rcgen::SignatureAlgorithm {
        &PKCS_ECDSA_P256_SHA256
    }
}

impl rcgen::SigningKey for HandKey {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rcgen::Error> {
        self.signature(message).ok_or(rcgen::Error::RemoteKeyError)
    }
}

impl SigningKey for HandKey {
    fn choose_scheme(&self, offered: &[SignatureScheme]) -> Option<Box<dyn Signer>> {
        if !offered.contains(&SignatureScheme::ECDSA_NISTP256_SHA256) {
            return None;
        }
        Some(Box::new(self.clone()))
    }

    fn algorithm(&self) -> SignatureAlgorithm {
        SignatureAlgorithm::ECDSA
    }
}

impl Signer for HandKey {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rustls::Error> {
        self.signature(message)
            .ok_or_else(|| rustls::Error::General("signing failed".to_owned()))
    }

    fn scheme(&self) -> SignatureScheme {
        SignatureScheme::ECDSA_NISTP256_SHA256
    }
}

impl fmt::Debug for HandKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HandKey(…)")
    }
}

fn random() -> Result<[u8; 16], HandError> {
    let mut bytes = [0_u8; 16];
    #[expect(
        clippy::disallowed_methods,
        reason = "the library runs in workloads, which have no Entropy port"
    )]
    aws_lc_rs::rand::fill(&mut bytes).map_err(|_unspecified| HandError::Key)?;
    Ok(bytes)
}
