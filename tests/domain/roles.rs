//! Who holds a role: ID and evidence, and for an owner the principal.

use crate::fixture::{PRINCIPAL, evidence, id, owner, server, task, tool, twin, worker};
use handfast::domain::evidence::{Assurance, Evidence, Mismatch, Required};
use handfast::domain::id::Digest;
use handfast::domain::role::{
    AsAudience, AsOwner, AsOwnerPrincipalDue, AsPerformer, AsServer, Held, NotHeld,
};

#[test]
fn invariant_02_every_role_needs_its_id_and_its_evidence() {
    let task = task();
    assert!(Held::<AsPerformer>::check(&task, &worker()).is_ok());
    assert!(Held::<AsServer>::check(&task, &server()).is_ok());
    assert!(Held::<AsOwnerPrincipalDue>::check(&task, &owner()).is_ok());
    let uid = NotHeld::Evidence(Mismatch::Uid);
    assert_eq!(Held::<AsPerformer>::check(&task, &twin()).unwrap_err(), uid);
    let server_twin = evidence("reports", 9, 21);
    assert_eq!(
        Held::<AsServer>::check(&task, &server_twin).unwrap_err(),
        uid
    );
    let owner_twin = evidence("assistant", 9, 11);
    assert_eq!(
        Held::<AsOwnerPrincipalDue>::check(&task, &owner_twin).unwrap_err(),
        uid
    );
    for stranger in [owner(), server(), tool()] {
        let refused = Held::<AsPerformer>::check(&task, &stranger).unwrap_err();
        assert_eq!(refused, NotHeld::NoRole);
    }
}

#[test]
fn an_svid_over_the_network_holds_no_role_in_a_task() {
    let mut remote = worker();
    remote.assurance = Assurance::Svid;
    remote.process = None;
    assert_eq!(
        Held::<AsPerformer>::check(&task(), &remote).unwrap_err(),
        NotHeld::NotLocal
    );
}

#[test]
fn an_owner_is_its_workload_and_its_principal() {
    let task = task();
    let assistant = id("assistant");
    assert!(Held::<AsOwner>::with_principal(&task, Some(&assistant), Some(PRINCIPAL)).is_ok());
    for (workload, principal) in [
        (Some(&assistant), None),
        (Some(&assistant), Some(Digest([1; 32]))),
        (None, Some(PRINCIPAL)),
        (Some(&id("worker")), Some(PRINCIPAL)),
    ] {
        assert!(Held::<AsOwner>::with_principal(&task, workload, principal).is_err());
    }
}

#[test]
fn a18_the_same_path_in_another_trust_domain_is_another_id() {
    let mut foreign = worker();
    foreign.spiffe_ids =
        vec![handfast::domain::id::SpiffeId::new("spiffe://evil.example/worker").unwrap()];
    assert_eq!(
        Held::<AsPerformer>::check(&task(), &foreign).unwrap_err(),
        NotHeld::NoRole
    );
    assert!(Held::<AsPerformer>::check(&task(), &worker()).is_ok());
}

#[test]
fn a59_a_digest_alone_fills_no_role() {
    let digest = Digest([4; 32]);
    let required = Required {
        executable: Some(digest),
        ..Required::default()
    };
    let genuine = Evidence {
        executable: Some(digest),
        ..worker()
    };
    assert_eq!(required.matches(&genuine), Err(Mismatch::Unbounded));
    let bounded = Required {
        uid: Some(30),
        ..required
    };
    assert_eq!(bounded.matches(&genuine), Ok(()));
    let preloaded = Evidence {
        uid: Some(31),
        ..genuine
    };
    assert_eq!(bounded.matches(&preloaded), Err(Mismatch::Uid));
}

#[test]
fn a76_a_cgroup_is_compared_whole_and_from_the_root() {
    let required = |pattern: &str| Required {
        cgroup: Some(pattern.to_owned()),
        ..Required::default()
    };
    let at = |path: Option<&str>| Evidence {
        cgroup: path.map(ToOwned::to_owned),
        ..worker()
    };
    let unit = required("/system.slice/worker.service");
    assert_eq!(
        unit.matches(&at(Some("/system.slice/worker.service"))),
        Ok(())
    );
    for spoof in [
        "/user.slice/user-1000.slice/system.slice/worker.service",
        "/system.slice/worker.service/child",
        "/system.slice/worker.service2",
        "/",
    ] {
        assert_eq!(
            unit.matches(&at(Some(spoof))),
            Err(Mismatch::Cgroup),
            "{spoof}"
        );
    }
    assert_eq!(unit.matches(&at(None)), Err(Mismatch::Cgroup));
    let pod = required("/kubepods/pod1/*");
    assert_eq!(pod.matches(&at(Some("/kubepods/pod1/c1"))), Ok(()));
    for other in [
        "/kubepods/pod1",
        "/kubepods/pod1/",
        "/kubepods/pod1/c1/x",
        "/kubepods/pod12/c1",
    ] {
        assert_eq!(
            pod.matches(&at(Some(other))),
            Err(Mismatch::Cgroup),
            "{other}"
        );
    }
}

#[test]
fn a56_an_audience_is_its_id_at_the_assurance_demanded_and_meets_its_row() {
    let warehouse = id("warehouse");
    let row = Required {
        uid: Some(40),
        ..Required::default()
    };
    let check = |demanded, who: &Evidence| {
        Held::<AsAudience>::check(&warehouse, Some(&row), demanded, who).map(drop)
    };
    assert_eq!(check(Assurance::Process, &tool()), Ok(()));
    assert_eq!(check(Assurance::Svid, &worker()), Err(NotHeld::NoRole));
    let twin = evidence("warehouse", 9, 41);
    assert_eq!(
        check(Assurance::Svid, &twin),
        Err(NotHeld::Evidence(Mismatch::Uid))
    );
    let mut remote = tool();
    remote.assurance = Assurance::Svid;
    remote.process = None;
    remote.uid = None;
    assert_eq!(check(Assurance::Svid, &remote), Ok(()));
    assert_eq!(check(Assurance::Process, &remote), Err(NotHeld::NotLocal));
}
