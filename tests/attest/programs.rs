//! `exec`: the same process and connection, but another program.

use crate::actor::Actor;
use crate::agent::{Agent, until};
use handfast::service::ports::{AttestError, Attestor, Freshness};

fn changed() -> String {
    AttestError::Changed.to_string()
}

fn identity(actor: &mut Actor) -> String {
    let identity = actor.ask("call /now");
    assert!(identity.starts_with("spiffe://a.test/python"), "{identity}");
    identity
}

#[tokio::test(flavor = "multi_thread")]
async fn a14_other_program_between_two_calls_is_refused() {
    for path in ["/now", "/recent"] {
        let agent = Agent::start();
        let mut actor = Actor::connected(&agent.socket);
        identity(&mut actor);
        identity(&mut actor);
        assert_eq!(actor.ask(&format!("exec_other {path}")), "sent");
        let verdicts = &agent.shared.verdicts;
        until(|| verdicts.lock().unwrap().len() == 3, "the third call").await;
        assert_eq!(verdicts.lock().unwrap()[2], changed());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a14_same_program_started_anew_is_refused() {
    for path in ["/now", "/recent"] {
        let agent = Agent::start();
        let mut actor = Actor::connected(&agent.socket);
        let before = identity(&mut actor);
        assert_eq!(actor.ask("exec_same"), "again");
        assert_eq!(actor.ask(&format!("call {path}")), changed());
        // On a connection of its own it is attested for what it is now.
        let connect = format!("connect {}", agent.socket.display());
        assert_eq!(actor.ask(&connect), "ok");
        assert_eq!(actor.ask(&format!("call {path}")), before);
        assert_eq!(agent.directory.count(), 2, "no old answer was used");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a14_exec_before_the_first_call_is_refused() {
    let agent = Agent::start();
    let mut actor = Actor::connected(&agent.socket);
    // Heard once, so that the connection is accepted for certain.
    assert_eq!(actor.ask("call /who"), "heard");
    assert_eq!(actor.ask("exec_other /now"), "sent");
    let verdicts = &agent.shared.verdicts;
    until(|| verdicts.lock().unwrap().len() == 1, "the call").await;
    assert_eq!(verdicts.lock().unwrap()[0], changed());
}

#[tokio::test(flavor = "multi_thread")]
async fn a14_exec_while_spire_is_asked_is_refused() {
    let agent = Agent::start();
    let mut actor = Actor::connected(&agent.socket);
    let before = identity(&mut actor);
    agent.directory.shut();
    agent.directory.asked.notified().await;
    let call = tokio::spawn({
        let shared = agent.shared.clone();
        let peer = agent.last_peer();
        async move {
            let attested = shared.attestor.attest(&peer, Freshness::Now).await;
            attested.map(|workload| workload.evidence().spiffe_ids[0].to_string())
        }
    });
    agent.directory.asked.notified().await;
    assert_eq!(actor.ask("exec_same"), "again");
    agent.directory.gate.add_permits(1);
    assert_eq!(call.await.unwrap(), Err(AttestError::Changed));
    assert!(before.starts_with("spiffe://"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a13_exit_while_spire_is_asked_is_refused() {
    let agent = Agent::start();
    let mut actor = Actor::connected(&agent.socket);
    identity(&mut actor);
    agent.directory.asked.notified().await;
    agent.directory.shut();
    actor.tell("call /now");
    agent.directory.asked.notified().await;
    actor.kill();
    let peer = agent.last_peer();
    agent.directory.gate.add_permits(1);
    let attested = agent.shared.attestor.attest(&peer, Freshness::Recent).await;
    assert_eq!(attested.err(), Some(AttestError::Changed));
}
