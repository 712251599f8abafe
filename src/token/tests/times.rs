//! When a token is good, verified for the first time or remembered.

use super::{NOW, key, query, step};
use crate::domain::time::Time;
use crate::token::TokenError;

#[test]
fn exp_is_exclusive_and_iat_is_not_in_the_future() {
    let key = key();
    let token = key.encode(&step()).expect("signs");
    let at = |ms| key.verify(&token, Time(ms)).map(|_| ());
    assert_eq!(at(1_799_999_999_999), Err(TokenError::IssuedLater));
    assert_eq!(at(1_800_000_000_000), Ok(()));
    assert_eq!(at(1_800_000_029_999), Ok(()));
    assert_eq!(at(1_800_000_030_000), Err(TokenError::Expired));
}

#[test]
fn a_remembered_token_ends_and_begins_in_time_too() {
    let key = key();
    let claims = query();
    let token = key.encode(&claims).expect("signs");
    let at = |time| key.verify(&token, time).map(|_| ());
    for _ in 0..2 {
        assert_eq!(at(NOW), Ok(()));
        assert_eq!(at(claims.expires_at), Err(TokenError::Expired));
        let before = Time(claims.issued_at.0 - 1);
        assert_eq!(at(before), Err(TokenError::IssuedLater));
    }
}
