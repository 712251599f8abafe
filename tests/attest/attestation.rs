//! The attestor: what it asks, what it reuses, and what it refuses.

use crate::actor::Actor;
use crate::again;
use crate::agent::{Agent, With, until};
use handfast::attest::AttestLimits;
use handfast::domain::evidence::Assurance;
use handfast::domain::id::{Digest, SpiffeId};
use handfast::domain::time::Time;
use handfast::kernel::DigestLimits;
use handfast::service::ports::{
    AttestError, AttestedWorkload, Attestor, Clock, DirectoryError, Freshness, Peer, RemotePeer,
};
use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;
use std::time::Duration;

/// An agent, a process that it knows, and a way to attest it.
struct Known {
    agent: Agent,
    actor: Actor,
}

impl Known {
    fn with(with: &With) -> Self {
        let agent = Agent::with(with);
        let mut actor = Actor::connected(&agent.socket);
        assert_eq!(actor.ask("call /who"), "heard");
        Self { agent, actor }
    }

    async fn attest(&self, freshness: Freshness) -> Result<AttestedWorkload, AttestError> {
        let peer = self.agent.last_peer();
        self.agent.shared.attestor.attest(&peer, freshness).await
    }

    /// Attests in the background.
    fn attesting(&self) -> tokio::task::JoinHandle<Result<(), AttestError>> {
        let (attestor, peer) = (self.agent.shared.attestor.clone(), self.agent.last_peer());
        tokio::spawn(async move { attestor.attest(&peer, Freshness::Now).await.map(drop) })
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn evidence_is_what_the_kernel_says() {
    let known = Known::with(&With::default());
    let workload = known.attest(Freshness::Now).await.unwrap();
    let evidence = workload.evidence();
    let Peer::Local(peer) = known.agent.last_peer() else {
        panic!("not local");
    };
    assert_eq!(evidence.assurance, Assurance::Process);
    assert_eq!(evidence.process, Some(peer.key));
    assert_eq!(peer.key.pid, known.actor.pid());
    assert_eq!(evidence.uid, Some(nix::unistd::geteuid().as_raw()));
    assert!(!evidence.traced);
    assert_eq!(evidence.executable, None, "nobody asked for it");
    let observed = known.agent.shared.attestor.observe(&peer).unwrap();
    assert_eq!(observed.pid, peer.key.pid);
    assert_eq!(observed.cgroup, evidence.cgroup);
    let path = std::fs::read_link(format!("/proc/{}/exe", peer.key.pid)).unwrap();
    assert_eq!(observed.executable_path, Some(path.display().to_string()));
}

#[tokio::test(flavor = "multi_thread")]
async fn recent_reuses_an_answer_for_its_interval_and_now_never_does() {
    let known = Known::with(&With::default());
    let first = known.attest(Freshness::Recent).await.unwrap();
    known.agent.clock.advance(Duration::from_secs(9));
    let second = known.attest(Freshness::Recent).await.unwrap();
    assert_eq!(known.agent.directory.count(), 1);
    assert_eq!(
        first.evidence().attested_at,
        second.evidence().attested_at,
        "an old answer keeps its age"
    );
    known.attest(Freshness::Now).await.unwrap();
    assert_eq!(known.agent.directory.count(), 2);
    known.agent.clock.advance(Duration::from_secs(11));
    known.attest(Freshness::Recent).await.unwrap();
    assert_eq!(known.agent.directory.count(), 3);
    known.agent.shared.attestor.forget_answers();
    known.attest(Freshness::Recent).await.unwrap();
    assert_eq!(known.agent.directory.count(), 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_no_is_a_no_and_no_answer_is_none() {
    let known = Known::with(&With::default());
    known.attest(Freshness::Now).await.unwrap();
    let fails = |error| *known.agent.directory.fails.lock().unwrap() = Some(error);

    fails(DirectoryError::Unavailable("down".to_owned()));
    let unavailable = AttestError::Unavailable("down".to_owned());
    let now = known.attest(Freshness::Now).await;
    assert_eq!(now.err(), Some(unavailable));
    // The earlier answer is still young: trouble takes nothing away.
    known.attest(Freshness::Recent).await.unwrap();

    fails(DirectoryError::NotEntitled);
    let now = known.attest(Freshness::Now).await;
    assert_eq!(now.err(), Some(AttestError::NoIdentity));
    // But a no does.
    let recent = known.attest(Freshness::Recent).await;
    assert_eq!(recent.err(), Some(AttestError::NoIdentity));
}

#[tokio::test(flavor = "multi_thread")]
async fn trouble_about_a_dead_process_is_a_change() {
    let mut known = Known::with(&With::default());
    let error = DirectoryError::Unavailable("no such process".to_owned());
    *known.agent.directory.fails.lock().unwrap() = Some(error);
    known.agent.directory.shut();
    let attesting = known.attesting();
    until(|| known.agent.directory.count() == 1, "the question").await;
    known.actor.kill();
    known.agent.directory.gate.add_permits(1);
    assert_eq!(attesting.await.unwrap(), Err(AttestError::Changed));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_traced_caller_is_known_to_be() {
    let mut known = Known::with(&With::default());
    let name = known.actor.ask("call /now");
    let traced = known.actor.ask("traced /now");
    assert_eq!(traced, format!("{name}, traced"));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_executable_is_digested_where_that_is_asked_for() {
    let attest = AttestLimits {
        executable_digests: true,
        ..AttestLimits::default()
    };
    let known = Known::with(&With {
        attest,
        ..With::default()
    });
    let program = std::fs::read(format!("/proc/{}/exe", known.actor.pid())).unwrap();
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &program);
    let expected = Some(Digest(digest.as_ref().try_into().unwrap()));
    for freshness in [Freshness::Now, Freshness::Recent] {
        let workload = known.attest(freshness).await.unwrap();
        assert_eq!(workload.evidence().executable, expected);
    }

    let digests = DigestLimits {
        executable_bytes_max: u64::try_from(program.len()).unwrap() - 1,
        ..DigestLimits::default()
    };
    let attest = AttestLimits { digests, ..attest };
    let known = Known::with(&With {
        attest,
        ..With::default()
    });
    let workload = known.attest(Freshness::Now).await.unwrap();
    assert_eq!(workload.evidence().executable, None, "too large");
}

#[tokio::test(flavor = "multi_thread")]
async fn another_user_is_another_caller() {
    if !again::is_inside() {
        let test = "attestation::another_user_is_another_caller";
        return again::run_privileged(test, &["env"]);
    }
    let mut known = Known::with(&With::default());
    let before = known.attest(Freshness::Recent).await.unwrap();
    assert_eq!(before.evidence().uid, Some(0));
    assert_eq!(known.actor.ask("become 65534"), "ok");
    let after = known.attest(Freshness::Recent).await.unwrap();
    assert_eq!(after.evidence().uid, Some(65534));
    assert_eq!(
        known.agent.directory.count(),
        2,
        "the old answer was dropped"
    );

    let mut known = Known::with(&With::default());
    known.agent.directory.shut();
    let attesting = known.attesting();
    until(|| known.agent.directory.count() == 1, "the question").await;
    assert_eq!(known.actor.ask("become 65534"), "ok");
    known.agent.directory.gate.add_permits(1);
    assert_eq!(attesting.await.unwrap(), Err(AttestError::Changed));
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_capability_nobody_else_is_attested() {
    if !again::is_inside() {
        let test = "attestation::without_the_capability_nobody_else_is_attested";
        return again::run_privileged(test, &["setpriv", "--bounding-set=-all"]);
    }
    let agent = Agent::start();
    let anybody = |mode| std::fs::Permissions::from_mode(mode);
    std::fs::set_permissions(agent.socket.parent().unwrap(), anybody(0o755)).unwrap();
    std::fs::set_permissions(&agent.socket, anybody(0o666)).unwrap();
    let mut own = Actor::connected(&agent.socket);
    assert!(own.ask("call /now").starts_with("spiffe://"));
    let mut other = Actor::connected(&agent.socket);
    // A process that may not be looked at, as one of another user is.
    assert_eq!(other.ask("hide"), "ok");
    let refusal = other.ask("call /now");
    assert!(refusal.contains("CAP_SYS_PTRACE"), "{refusal}");
    let connect = format!("connect {}", agent.socket.display());
    assert_eq!(other.ask(&connect), "ok");
    let refusal = other.ask("call /now");
    assert!(refusal.contains("CAP_SYS_PTRACE"), "{refusal}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a17_remote_peer_is_attested_until_its_certificate_ends() {
    let known = Known::with(&With::default());
    let now = known.agent.clock.now().unwrap();
    let remote = |not_after: Time| {
        Peer::Remote(Arc::new(RemotePeer {
            spiffe_id: SpiffeId::new("spiffe://a.test/tool").unwrap(),
            not_after,
        }))
    };
    let attestor = &known.agent.shared.attestor;
    let later = remote(now.after(Duration::from_secs(60)));
    let workload = attestor.attest(&later, Freshness::Now).await.unwrap();
    assert_eq!(workload.evidence().assurance, Assurance::Svid);
    assert_eq!(workload.evidence().process, None);
    assert!(workload.local().is_none());
    let ended = attestor.attest(&remote(now), Freshness::Recent).await;
    assert_eq!(ended.err(), Some(AttestError::Expired));
    assert_eq!(known.agent.directory.count(), 0, "SPIRE was not asked");
}
