//! `exec`: the same process and connection, but another program.

use crate::actor::Actor;
use crate::agent::{Agent, until};
use handfast::service::ports::{AttestError, Attestor, Freshness};

fn changed() -> String {
    AttestError::Changed.to_string()
}

async fn identity(actor: &mut Actor) -> String {
    let identity = actor.ask("call /now").await;
    assert!(identity.starts_with("spiffe://a.test/python"), "{identity}");
    identity
}

#[tokio::test(flavor = "multi_thread")]
async fn a14_other_program_between_two_calls_is_refused() {
    for path in ["/now", "/recent"] {
        let agent = Agent::start();
        let mut actor = Actor::connected(&agent.socket).await;
        identity(&mut actor).await;
        identity(&mut actor).await;
        assert_eq!(actor.ask(&format!("exec_other {path}")).await, "sent");
        let verdicts = &agent.shared.verdicts;
        until(|| verdicts.lock().unwrap().len() == 3, "the third call").await;
        assert_eq!(verdicts.lock().unwrap()[2], changed());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a14_same_program_started_anew_is_refused() {
    for path in ["/now", "/recent"] {
        let agent = Agent::start();
        let mut actor = Actor::connected(&agent.socket).await;
        let before = identity(&mut actor).await;
        assert_eq!(actor.ask("exec_same").await, "again");
        assert_eq!(actor.ask(&format!("call {path}")).await, changed());
        // On a connection of its own it is attested for what it is now.
        let connect = format!("connect {}", agent.socket.display());
        assert_eq!(actor.ask(&connect).await, "ok");
        assert_eq!(actor.ask(&format!("call {path}")).await, before);
        assert_eq!(agent.directory.count(), 2, "no old answer was used");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a14_exec_before_the_first_call_is_refused() {
    let agent = Agent::start();
    let mut actor = Actor::connected(&agent.socket).await;
    // Heard once, so that the connection is accepted for certain.
    assert_eq!(actor.ask("call /who").await, "heard");
    assert_eq!(actor.ask("exec_other /now").await, "sent");
    let verdicts = &agent.shared.verdicts;
    until(|| verdicts.lock().unwrap().len() == 1, "the call").await;
    assert_eq!(verdicts.lock().unwrap()[0], changed());
}

#[tokio::test(flavor = "multi_thread")]
async fn a14_exec_while_spire_is_asked_is_refused() {
    let agent = Agent::start();
    let mut actor = Actor::connected(&agent.socket).await;
    let before = identity(&mut actor).await;
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
    assert_eq!(actor.ask("exec_same").await, "again");
    agent.directory.gate.add_permits(1);
    assert_eq!(call.await.unwrap(), Err(AttestError::Changed));
    assert!(before.starts_with("spiffe://"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a13_exit_while_spire_is_asked_is_refused() {
    let agent = Agent::start();
    let mut actor = Actor::connected(&agent.socket).await;
    identity(&mut actor).await;
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
