//! The certificate authority of the development trust domain, in memory.

use super::jwt::{JwtKey, JwtKeyError};
use super::now;
use crate::domain::id::{SpiffeId, TrustDomain};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, SanType,
};
use std::time::{Duration, SystemTime};
use zeroize::Zeroizing;

/// The authority lives as long as its process, which is a developer's session; this only has to be
/// longer.
const CA_TTL: Duration = Duration::from_secs(365 * 24 * 3600);

/// Certificates start this much in the past, so that a peer whose clock is a little behind accepts
/// them.
const BACKDATE: Duration = Duration::from_secs(10);

/// Signs every SVID of the trust domain.
pub(super) struct Authority {
    pub(super) trust_domain: TrustDomain,
    pub(super) jwt: JwtKey,
    certificate: Vec<u8>,
    issuer: Issuer<'static, KeyPair>,
}

/// A signed X.509-SVID with the key it was made with.
pub(super) struct IssuedSvid {
    /// Leaf certificate, DER.
    pub(super) certificate: Vec<u8>,
    /// PKCS #8, DER.
    pub(super) key: Zeroizing<Vec<u8>>,
    /// When a successor with a new key is due: half of the SVID's life.
    pub(super) renew_at: SystemTime,
}

/// Signing failed.
#[derive(Debug, thiserror::Error)]
pub enum AuthorityError {
    /// A certificate could not be made.
    #[error("certificate could not be made")]
    Certificate(#[from] rcgen::Error),
    /// The JWT-SVID key could not be made.
    #[error("JWT-SVID key could not be made")]
    JwtKey,
    /// The system's time is out of range.
    #[error("system time is out of range")]
    Time,
}

impl From<JwtKeyError> for AuthorityError {
    fn from(_failed: JwtKeyError) -> Self {
        Self::JwtKey
    }
}

impl Authority {
    pub(super) fn generate(trust_domain: TrustDomain) -> Result<Self, AuthorityError> {
        let key = KeyPair::generate()?;
        let mut params = params(&format!("spiffe://{trust_domain}"), CA_TTL)?;
        // Each run's authority has a name of its own, so that a verifier never tries a stale one
        // first.
        let serial = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, key.public_key_raw());
        let name = crate::domain::id::Hex(serial.as_ref()).to_string();
        params
            .distinguished_name
            .push(DnType::CommonName, format!("handfast dev {name}"));
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let certificate = params.self_signed(&key)?.der().to_vec();
        Ok(Self {
            trust_domain,
            jwt: JwtKey::generate()?,
            certificate,
            issuer: Issuer::new(params, key),
        })
    }

    /// The trust bundle: the one authority certificate, DER.
    pub(super) fn bundle(&self) -> &[u8] {
        &self.certificate
    }

    /// Signs an X.509-SVID with a new key.
    pub(super) fn issue(
        &self,
        spiffe_id: &SpiffeId,
        ttl: Duration,
    ) -> Result<IssuedSvid, AuthorityError> {
        let key = KeyPair::generate()?;
        let mut params = params(&spiffe_id.to_string(), ttl)?;
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![
            ExtendedKeyUsagePurpose::ServerAuth,
            ExtendedKeyUsagePurpose::ClientAuth,
        ];
        params.use_authority_key_identifier_extension = true;
        let certificate = params.signed_by(&key, &self.issuer)?.der().to_vec();
        let half = ttl.checked_div(2).unwrap_or_default();
        Ok(IssuedSvid {
            certificate,
            key: Zeroizing::new(key.serialize_der()),
            renew_at: now().checked_add(half).ok_or(AuthorityError::Time)?,
        })
    }
}

/// What every certificate here has: one URI SAN, no subject, a start a little in the past.
fn params(uri: &str, ttl: Duration) -> Result<CertificateParams, AuthorityError> {
    let now = now();
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.subject_alt_names = vec![SanType::URI(uri.try_into()?)];
    params.not_before = now
        .checked_sub(BACKDATE)
        .ok_or(AuthorityError::Time)?
        .into();
    params.not_after = now.checked_add(ttl).ok_or(AuthorityError::Time)?.into();
    Ok(params)
}
