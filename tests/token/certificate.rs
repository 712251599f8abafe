//! Which certificates may be bound into a token.

use crate::world::{HOUR, params};
use handfast::client::hand::{BACKDATE, Hand};
use handfast::domain::id::Digest;
use handfast::domain::time::Time;
use handfast::service::ports::Certificates as _;
use handfast::token::certificate::{
    CertificateCheck, CertificateError, CertificateLimits, check, thumbprint,
};
use proptest::prelude::*;
use rcgen::{
    BasicConstraints, CertificateParams, CustomExtension, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyPair, KeyUsagePurpose, SanType, date_time_ymd,
};
use std::time::Duration;

/// 2030-01-01T00:00:00Z, when the certificates below start.
const START: Time = Time(1_893_456_000_000);
const DAY: Duration = Duration::from_secs(24 * 3600);

fn leg(change: impl FnOnce(&mut CertificateParams)) -> Vec<u8> {
    let mut params = params("urn:handfast:leg:00");
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    params.not_before = date_time_ymd(2030, 1, 1);
    params.not_after = date_time_ymd(2030, 1, 2);
    change(&mut params);
    let key = KeyPair::generate().expect("makes a key");
    params.self_signed(&key).expect("signs").der().to_vec()
}

fn at(der: &[u8], time: Time) -> Result<Time, CertificateError> {
    check(der, time, &CertificateLimits::default()).map(|bound| bound.ends)
}

#[test]
fn a_hand_is_accepted_and_named_by_its_thumbprint() {
    let hand = Hand::generate(HOUR).expect("makes a hand");
    let now = Time(hand.ends().0 - 1);
    let bound = CertificateCheck::default()
        .check(hand.certificate(), now)
        .expect("is accepted");
    assert_eq!(bound.thumbprint, hand.thumbprint());
    assert_eq!(bound.ends, hand.ends());
    assert!(hand.certificate().len() < 600);
    // Backdated, but not by more.
    let started =
        Time(hand.ends().0 - 3_600_000 - u64::try_from(BACKDATE.as_millis()).expect("fits"));
    assert!(at(hand.certificate(), started).is_ok());
    assert_eq!(
        at(hand.certificate(), Time(started.0 - 1)),
        Err(CertificateError::NotYet)
    );
}

#[test]
fn a_thumbprint_is_sha_256_of_the_der() {
    let mut expected = [0; 32];
    expected
        .copy_from_slice(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, b"der").as_ref());
    assert_eq!(thumbprint(b"der"), Digest(expected));
}

#[test]
fn validity_is_from_the_start_and_excludes_the_end() {
    let der = leg(|_| ());
    let end = START.after(DAY);
    assert_eq!(at(&der, Time(START.0 - 1)), Err(CertificateError::NotYet));
    assert_eq!(at(&der, START), Ok(end));
    assert_eq!(at(&der, Time(end.0 - 1)), Ok(end));
    assert_eq!(at(&der, end), Err(CertificateError::Expired));
}

#[test]
fn what_is_remembered_of_a_certificate_is_no_longer_good_than_it() {
    let remembering = CertificateCheck::new(CertificateLimits::default(), 16);
    let der = leg(|_| ());
    let end = START.after(DAY);
    assert!(remembering.check(&der, Time(START.0 - 1)).is_err());
    for _ in 0..2 {
        let bound = remembering.check(&der, START).expect("is accepted");
        assert_eq!((bound.thumbprint, bound.ends), (thumbprint(&der), end));
    }
    assert!(remembering.check(&der, end).is_err());
    assert!(remembering.check(&der, Time(START.0 - 1)).is_err());
    for at in 0..der.len() {
        let mut other = der.clone();
        other[at] ^= 1;
        assert!(remembering.check(&other, START).is_err(), "byte {at}");
        assert!(
            remembering.check(&other, START).is_err(),
            "byte {at}, again"
        );
    }
}

#[test]
fn both_sides_of_the_limits() {
    let longest = leg(|params| params.not_after = date_time_ymd(2030, 1, 2));
    assert!(at(&longest, START).is_ok());
    let limits = CertificateLimits {
        lifetime_max: Duration::from_secs(24 * 3600 - 1),
        bytes_max: longest.len(),
    };
    assert_eq!(
        check(&longest, START, &limits),
        Err(CertificateError::Lifetime {
            lifetime_max: limits.lifetime_max
        })
    );
    let limits = CertificateLimits {
        bytes_max: longest.len(),
        ..CertificateLimits::default()
    };
    assert!(check(&longest, START, &limits).is_ok());
    let limits = CertificateLimits {
        bytes_max: longest.len() - 1,
        ..limits
    };
    assert_eq!(
        check(&longest, START, &limits),
        Err(CertificateError::Size {
            bytes_max: longest.len() - 1
        })
    );
}

#[test]
fn other_kinds_of_certificate_are_refused() {
    use CertificateError::{Authority, Extension, SpiffeId, Usage};
    type Change = fn(&mut CertificateParams);
    let uri = |text: &str| SanType::URI(text.try_into().expect("is ASCII"));
    assert!(at(&leg(|_| ()), START).is_ok());
    let cases: [(Change, Option<CertificateError>); 10] = [
        (
            |p| p.is_ca = IsCa::Ca(BasicConstraints::Unconstrained),
            Some(Authority),
        ),
        (
            |p| p.key_usages.push(KeyUsagePurpose::KeyCertSign),
            Some(Authority),
        ),
        (
            |p| p.key_usages.push(KeyUsagePurpose::CrlSign),
            Some(Authority),
        ),
        (
            |p| p.key_usages = vec![KeyUsagePurpose::KeyAgreement],
            Some(Usage),
        ),
        (
            |p| p.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth],
            Some(Usage),
        ),
        (
            |p| {
                let mut unknown = CustomExtension::from_oid_content(&[1, 3, 9999, 1], vec![5, 0]);
                unknown.set_criticality(true);
                p.custom_extensions.push(unknown);
            },
            Some(Extension),
        ),
        // Not critical: nothing that it says matters.
        (
            |p| {
                let unknown = CustomExtension::from_oid_content(&[1, 3, 9999, 1], vec![5, 0]);
                p.custom_extensions.push(unknown);
            },
            None,
        ),
        // A second basicConstraints, which says the contrary of the first.
        (
            |p| {
                let der = vec![0x30, 3, 1, 1, 0xff];
                p.custom_extensions
                    .push(CustomExtension::from_oid_content(&[2, 5, 29, 19], der));
            },
            Some(Extension),
        ),
        (|p| p.extended_key_usages.clear(), None),
        (|p| p.key_usages.clear(), None),
    ];
    for (case, (change, expected)) in cases.into_iter().enumerate() {
        assert_eq!(at(&leg(change), START).err(), expected, "case {case}");
    }
    for name in ["spiffe://example.org/admin", "SPIFFE://example.org/admin"] {
        let der = leg(|p| p.subject_alt_names.push(uri(name)));
        assert_eq!(at(&der, START), Err(SpiffeId), "{name}");
    }
}

#[test]
fn other_keys_are_refused() {
    for algorithm in [&rcgen::PKCS_ECDSA_P384_SHA384, &rcgen::PKCS_ED25519] {
        let key = KeyPair::generate_for(algorithm).expect("makes a key");
        let certificate = params("urn:handfast:leg:00")
            .self_signed(&key)
            .expect("signs");
        assert_eq!(at(certificate.der(), START), Err(CertificateError::KeyType));
    }
}

/// One certificate names the key of another: what it says about the key is nobody's word.
#[test]
fn a_certificate_signed_with_another_key_is_refused() {
    let (own, other) = (
        KeyPair::generate().expect("makes a key"),
        KeyPair::generate().expect("makes a key"),
    );
    let mut of_leg = params("urn:handfast:leg:00");
    of_leg.not_before = date_time_ymd(2030, 1, 1);
    of_leg.not_after = date_time_ymd(2030, 1, 2);
    let issuer = Issuer::new(params("urn:handfast:leg:01"), other);
    let certificate = of_leg.signed_by(&own, &issuer).expect("signs");
    assert_eq!(
        at(certificate.der(), START),
        Err(CertificateError::SelfSignature)
    );
}

#[test]
fn what_is_not_exactly_one_certificate_is_refused() {
    let der = leg(|_| ());
    let twice = [der.as_slice(), &der].concat();
    let mut trailing = der.clone();
    trailing.push(0);
    for wrong in [
        &[][..],
        b"x",
        &der[..der.len() - 1],
        &der[1..],
        &trailing,
        &twice,
    ] {
        assert_eq!(at(wrong, START), Err(CertificateError::Form));
    }
}

#[test]
fn each_changed_byte_is_refused() {
    let der = leg(|_| ());
    for index in 0..der.len() {
        for flip in [1, 0x80] {
            let mut changed = der.clone();
            changed[index] ^= flip;
            assert!(
                at(&changed, START).is_err(),
                "byte {index} flipped by {flip}"
            );
        }
    }
}

proptest! {
    #[test]
    fn garbage_never_panics_and_is_never_accepted(
        bytes in prop::collection::vec(any::<u8>(), 0..600),
        cut in 0_usize..400,
    ) {
        prop_assert!(at(&bytes, START).is_err());
        // Garbage that starts like a certificate.
        let mut spliced = leg(|_| ());
        spliced.truncate(cut);
        spliced.extend(bytes);
        prop_assert!(at(&spliced, START).is_err());
    }
}
