//! A process number that is given to another process, in a PID namespace of the test's own.

use crate::actor::Actor;
use crate::again;
use crate::agent::Agent;
use handfast::grpc::observe::ConnectionEvent;
use handfast::kernel;
use handfast::service::ports::{AttestError, Attestor, Freshness, Peer};

#[tokio::test(flavor = "multi_thread")]
async fn a13_recycled_process_number_is_another_process() {
    if !again::is_inside() {
        let namespace = ["unshare", "--pid", "--fork", "--mount-proc"];
        let test = "recycled::a13_recycled_process_number_is_another_process";
        return again::run_privileged(test, &namespace);
    }
    let agent = Agent::start();
    let mut actor = Actor::connected(&agent.socket);
    let name = actor.ask("call /now");
    assert!(name.starts_with("spiffe://a.test/python"), "{name}");
    let Peer::Local(victim) = agent.last_peer() else {
        panic!("not local");
    };

    // Its child waits until the number is free, forks until it has the number, and calls: first on
    // the inherited connection, then on one of its own.
    actor.tell("reborn /now");
    actor.reap();
    assert_eq!(actor.answer(), format!("reborn closed {name}"));

    agent.until(ConnectionEvent::PeerExited, 1).await;
    let heard = agent.shared.peers.lock().unwrap().len();
    assert_eq!(heard, 2, "nothing was heard on the inherited connection");
    let Peer::Local(successor) = agent.last_peer() else {
        panic!("not local");
    };
    assert_eq!(successor.key.pid, victim.key.pid, "the number was reused");
    assert_ne!(successor.key, victim.key);
    let attest = |peer: &Peer, freshness| {
        let (attestor, peer) = (agent.shared.attestor.clone(), peer.clone());
        async move { attestor.attest(&peer, freshness).await.map(drop) }
    };
    for freshness in [Freshness::Now, Freshness::Recent] {
        let attested = attest(&Peer::Local(victim.clone()), freshness).await;
        assert_eq!(attested, Err(AttestError::Changed));
    }
    assert!(kernel::reopen(&victim.key).unwrap().is_none());
}
