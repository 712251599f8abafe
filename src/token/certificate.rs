//! Leg and hand certificates: self-signed, one key each, bound into tokens by their thumbprint.
//!
//! Names `domain` and `service::ports`. The one thing to know: such a certificate vouches for nothing but the
//! possession of its key (RFC 8705 §2.2), and that only at the far end of a TLS handshake. The check here
//! keeps other kinds of certificates out, so that none of them can be bound by mistake.

use super::found::Found;
use crate::canonical::sha256;
use crate::domain::id::Thumbprint;
use crate::domain::time::Time;
use crate::service::ports::{BoundCertificate, Certificates};
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1, ParsedPublicKey};
use rustls::pki_types::CertificateDer;
use rustls::server::ParsedCertificate;
use std::time::Duration;
use x509_parser::oid_registry::{
    OID_EC_P256, OID_KEY_TYPE_EC_PUBLIC_KEY, OID_SIG_ECDSA_WITH_SHA256,
};
use x509_parser::prelude::{
    AlgorithmIdentifier, FromDer as _, GeneralName, ParsedExtension, X509Certificate, X509Version,
};

/// How large and how long-lived a certificate may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CertificateLimits {
    /// Longest DER, in bytes.
    pub bytes_max: usize,
    /// Longest time from `notBefore` to `notAfter`.
    pub lifetime_max: Duration,
}

impl Default for CertificateLimits {
    fn default() -> Self {
        Self {
            bytes_max: 4096,
            lifetime_max: Duration::from_secs(24 * 3600),
        }
    }
}

/// Why a certificate cannot be bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum CertificateError {
    /// It may sign certificates.
    #[error("certificate is a CA's")]
    Authority,
    /// It has ended, or ends within this millisecond.
    #[error("certificate has expired")]
    Expired,
    /// An extension is malformed, repeated, or critical and unknown.
    #[error("certificate has an extension that is malformed, repeated or critical and unknown")]
    Extension,
    /// Not exactly one X.509 v3 certificate.
    #[error("not exactly one X.509 v3 certificate in DER")]
    Form,
    /// Its key is not of P-256, or it is not signed with ECDSA and SHA-256.
    #[error("certificate is not of ECDSA on P-256 with SHA-256")]
    KeyType,
    /// It is valid for longer than the limit.
    #[error("certificate is valid for longer than {lifetime_max:?}")]
    Lifetime {
        /// The limit.
        lifetime_max: Duration,
    },
    /// It is not valid yet.
    #[error("certificate is not valid yet")]
    NotYet,
    /// It was not signed with its own key.
    #[error("certificate is not signed with its own key")]
    SelfSignature,
    /// It is larger than the limit.
    #[error("certificate is larger than {bytes_max} bytes")]
    Size {
        /// The limit.
        bytes_max: usize,
    },
    /// It claims a SPIFFE ID, which nobody can give oneself.
    #[error("self-signed certificate claims a SPIFFE ID")]
    SpiffeId,
    /// Its key may not sign, or not as a TLS client.
    #[error("certificate is not for TLS clients")]
    Usage,
}

/// Checks certificates under limits: the [`Certificates`] port.
///
/// A process presents one certificate with each of its requests; what does not depend on the time is checked once.
#[derive(Debug)]
pub struct CertificateCheck {
    limits: CertificateLimits,
    found: Found<Validity>,
}

/// From when until when a certificate is valid; the end is exclusive.
#[derive(Clone, Copy, Debug)]
struct Validity {
    starts: Time,
    ends: Time,
}

impl CertificateCheck {
    /// Checks under these limits and remembers at most `remembered` good certificates.
    #[must_use]
    pub fn new(limits: CertificateLimits, remembered: usize) -> Self {
        Self {
            limits,
            found: Found::new(remembered),
        }
    }
}

impl Default for CertificateCheck {
    /// Usual limits; remembers nothing.
    fn default() -> Self {
        Self::new(CertificateLimits::default(), 0)
    }
}

impl Certificates for CertificateCheck {
    fn check(&self, der: &[u8], now: Time) -> Result<BoundCertificate, String> {
        let checked = || {
            check_size(der, &self.limits)?;
            let thumbprint = thumbprint(der);
            let validity = if let Some(validity) = self.found.get(&thumbprint) {
                validity
            } else {
                let validity = check_form(der, &self.limits)?;
                self.found.put(thumbprint, validity);
                validity
            };
            let ends = validity.check(now)?;
            Ok(BoundCertificate { thumbprint, ends })
        };
        checked().map_err(|error: CertificateError| error.to_string())
    }
}

/// SHA-256 of the DER (`x5t#S256`).
#[must_use]
pub fn thumbprint(der: &[u8]) -> Thumbprint {
    sha256(der)
}

/// Checks a certificate that is to be bound.
///
/// # Errors
/// See [`CertificateError`].
pub fn check(
    der: &[u8],
    now: Time,
    limits: &CertificateLimits,
) -> Result<BoundCertificate, CertificateError> {
    check_size(der, limits)?;
    let ends = check_form(der, limits)?.check(now)?;
    Ok(BoundCertificate {
        thumbprint: thumbprint(der),
        ends,
    })
}

fn check_size(der: &[u8], limits: &CertificateLimits) -> Result<(), CertificateError> {
    if der.len() > limits.bytes_max {
        return Err(CertificateError::Size {
            bytes_max: limits.bytes_max,
        });
    }
    Ok(())
}

/// Everything that does not depend on the time.
fn check_form(der: &[u8], limits: &CertificateLimits) -> Result<Validity, CertificateError> {
    let (rest, certificate) =
        X509Certificate::from_der(der).map_err(|_opaque| CertificateError::Form)?;
    if !rest.is_empty() || certificate.version() != X509Version::V3 {
        return Err(CertificateError::Form);
    }
    check_signature(&certificate)?;
    check_extensions(&certificate)?;
    let validity = validity(&certificate, limits.lifetime_max)?;
    // The parser of the TLS stack, where the certificate has to pass too; it is strict where the other is not
    // (tag classes of what the signature does not cover).
    ParsedCertificate::try_from(&CertificateDer::from(der))
        .map_err(|_opaque| CertificateError::Form)?;
    Ok(validity)
}

fn check_signature(certificate: &X509Certificate<'_>) -> Result<(), CertificateError> {
    let tbs = &certificate.tbs_certificate;
    let key = &tbs.subject_pki;
    let on_p256 = key.algorithm.algorithm == OID_KEY_TYPE_EC_PUBLIC_KEY
        && key
            .algorithm
            .parameters
            .as_ref()
            .and_then(|parameters| parameters.as_oid().ok())
            .is_some_and(|curve| curve == OID_EC_P256);
    let is_es256 = |algorithm: &AlgorithmIdentifier<'_>| {
        algorithm.algorithm == OID_SIG_ECDSA_WITH_SHA256 && algorithm.parameters.is_none()
    };
    if !on_p256 || !is_es256(&tbs.signature) || !is_es256(&certificate.signature_algorithm) {
        return Err(CertificateError::KeyType);
    }
    if tbs.subject.as_raw() != tbs.issuer.as_raw() {
        return Err(CertificateError::SelfSignature);
    }
    // Also refuses a point that is not on the curve.
    ParsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, &*key.subject_public_key.data)
        .map_err(|_rejected| CertificateError::KeyType)?
        .verify_sig(tbs.as_ref(), &certificate.signature_value.data)
        .map_err(|_unspecified| CertificateError::SelfSignature)
}

fn check_extensions(certificate: &X509Certificate<'_>) -> Result<(), CertificateError> {
    certificate
        .tbs_certificate
        .extensions_map()
        .map_err(|_repeated| CertificateError::Extension)?;
    for extension in certificate.extensions() {
        #[expect(
            clippy::wildcard_enum_match_arm,
            reason = "of the many extensions, the rest says nothing about what the key is for"
        )]
        match extension.parsed_extension() {
            ParsedExtension::BasicConstraints(constraints) if constraints.ca => {
                return Err(CertificateError::Authority);
            }
            ParsedExtension::KeyUsage(usage) => {
                if usage.key_cert_sign() || usage.crl_sign() {
                    return Err(CertificateError::Authority);
                }
                if !usage.digital_signature() {
                    return Err(CertificateError::Usage);
                }
            }
            ParsedExtension::ExtendedKeyUsage(usage) if !usage.client_auth => {
                return Err(CertificateError::Usage);
            }
            ParsedExtension::SubjectAlternativeName(names)
                if names.general_names.iter().any(is_spiffe) =>
            {
                return Err(CertificateError::SpiffeId);
            }
            ParsedExtension::ParseError { .. } | ParsedExtension::Unparsed => {
                return Err(CertificateError::Extension);
            }
            ParsedExtension::UnsupportedExtension { .. } if extension.critical => {
                return Err(CertificateError::Extension);
            }
            _ => {}
        }
    }
    Ok(())
}

fn is_spiffe(name: &GeneralName<'_>) -> bool {
    matches!(name, GeneralName::URI(uri)
        if uri.get(..7).is_some_and(|scheme| scheme.eq_ignore_ascii_case("spiffe:")))
}

fn validity(
    certificate: &X509Certificate<'_>,
    lifetime_max: Duration,
) -> Result<Validity, CertificateError> {
    let validity = certificate.validity();
    let time = |seconds: i64| {
        u64::try_from(seconds)
            .ok()
            .and_then(|seconds| seconds.checked_mul(1000))
            .map(Time)
            .ok_or(CertificateError::Form)
    };
    let starts = time(validity.not_before.timestamp())?;
    let ends = time(validity.not_after.timestamp())?;
    if ends > starts.after(lifetime_max) {
        return Err(CertificateError::Lifetime { lifetime_max });
    }
    Ok(Validity { starts, ends })
}

impl Validity {
    /// The end, if `now` lies within.
    fn check(self, now: Time) -> Result<Time, CertificateError> {
        if now < self.starts {
            return Err(CertificateError::NotYet);
        }
        // RFC 5280 §4.1.2.5 includes `notAfter` itself; ends are exclusive here.
        if now.reached(self.ends) {
            return Err(CertificateError::Expired);
        }
        Ok(self.ends)
    }
}
