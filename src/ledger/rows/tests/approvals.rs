//! Requests for approval and accounts, any that there can be.

use super::events::caller;
use super::grants::authority;
use super::{call, check, digest, spiffe_id, time};
use crate::domain::approval::{Account, Approval, Decision, Verdict};
use crate::domain::id::{ApprovalId, Fence};
use crate::ledger::rows::Row;
use proptest::collection::vec;
use proptest::option::of;
use proptest::prelude::*;
use proptest::sample::select;

fn id() -> impl Strategy<Value = ApprovalId> {
    any::<[u8; 32]>().prop_map(|bytes| ApprovalId::from_bytes(&bytes))
}

fn decision() -> impl Strategy<Value = Decision> {
    let verdict = select(vec![Verdict::Approved, Verdict::Refused]);
    (verdict, time(), spiffe_id(), caller(), ".{0,20}", digest()).prop_map(
        |(verdict, at, approver, brought_by, issuer, person)| Decision {
            verdict,
            at,
            approver,
            brought_by,
            issuer,
            person,
        },
    )
}

fn approval() -> impl Strategy<Value = Approval> {
    let call = (call(), authority());
    let what = (id(), spiffe_id(), caller(), call, ".{0,20}", digest());
    (what, time(), time(), of(decision()), of(any::<u64>())).prop_map(
        |(what, opened_at, decide_by, decision, used_by)| {
            let (id, performer, asked_by, (call, authority), text, digest) = what;
            Approval {
                id,
                performer,
                asked_by,
                call,
                authority,
                text,
                opened_at,
                decide_by,
                digest,
                decision,
                used_by: used_by.map(Fence),
            }
        },
    )
}

fn account() -> impl Strategy<Value = Account> {
    (vec(id(), 0..4), any::<u32>(), time()).prop_map(|(open, setbacks, not_before)| Account {
        open,
        setbacks,
        not_before,
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn a_request_for_approval_comes_back(row in approval(), place: prop::sample::Index) {
        check(&row, place)?;
    }

    #[test]
    fn an_account_comes_back(row in account()) {
        prop_assert_eq!(Account::decode(&row.encode()).ok(), Some(row));
    }
}
