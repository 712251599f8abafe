//! Other processes on a connection: forked, handed over, orphaned, or gone.

use crate::actor::Actor;
use crate::agent::{Agent, until};
use handfast::grpc::observe::ConnectionEvent;

const FLAVOUR: &str = "heard";

async fn refused(command: &str, event: ConnectionEvent) {
    let agent = Agent::start();
    let mut actor = Actor::connected(&agent.socket);
    // The right process is heard, from any of its threads.
    assert_eq!(actor.ask("call /who"), FLAVOUR);
    assert_eq!(actor.ask("thread /who"), FLAVOUR);

    assert_eq!(actor.ask(command), "closed");

    agent.until(event, 1).await;
    assert_eq!(agent.shared.peers.lock().unwrap().len(), 2);
    // The connection is gone for everybody.
    assert_eq!(actor.ask("call /who"), "closed");
    // And its rightful owner may come again.
    let connect = format!("connect {}", agent.socket.display());
    assert_eq!(actor.ask(&connect), "ok");
    assert_eq!(actor.ask("call /who"), FLAVOUR);
}

#[tokio::test(flavor = "multi_thread")]
async fn a14_forked_child_does_not_speak_for_its_parent() {
    refused("fork /who", ConnectionEvent::InheritedConnection).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a14_socket_handed_to_another_process_is_refused() {
    refused("handover /who", ConnectionEvent::InheritedConnection).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a14_request_of_two_processes_is_refused() {
    refused("mixed /who", ConnectionEvent::InheritedConnection).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a14_child_of_a_silent_parent_is_refused() {
    let agent = Agent::start();
    let mut actor = Actor::connected(&agent.socket);
    assert_eq!(actor.ask("fork /who"), "closed");
    agent.until(ConnectionEvent::InheritedConnection, 1).await;
    assert!(agent.shared.peers.lock().unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a14_program_started_with_the_socket_is_refused() {
    let agent = Agent::start();
    // A fork and an exec in one: the program's standard output is our connection.
    let stream = std::os::unix::net::UnixStream::connect(&agent.socket).unwrap();
    let mut program = std::process::Command::new("/bin/sh");
    program
        .args(["-c", "printf 'PRI * HTTP/2.0'"])
        .stdout(std::os::fd::OwnedFd::from(stream));
    assert!(program.status().unwrap().success());
    agent.until(ConnectionEvent::Closed, 1).await;
    let violations = agent.count(ConnectionEvent::InheritedConnection);
    assert_eq!(violations, 1);
}

fn open_descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

#[tokio::test(flavor = "multi_thread")]
async fn a14_descriptors_sent_to_the_agent_are_dropped() {
    let agent = Agent::start();
    let mut actor = Actor::connected(&agent.socket);
    assert_eq!(actor.ask("call /who"), FLAVOUR);
    assert_eq!(actor.ask("descriptors 50"), "closed");
    agent.until(ConnectionEvent::DescriptorPassed, 1).await;
    agent.until(ConnectionEvent::Closed, 1).await;
    let links = std::fs::read_dir("/proc/self/fd").unwrap();
    let stdin = std::fs::read_link(format!("/proc/{}/fd/0", actor.pid())).unwrap();
    let leaked = links
        .filter_map(|link| std::fs::read_link(link.unwrap().path()).ok())
        .filter(|target| *target == stdin)
        .count();
    // What was sent is the actor's standard input, a pipe of which one end is ours.
    assert_eq!(leaked, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a13_orphan_does_not_speak_for_a_dead_parent() {
    let agent = Agent::start();
    let mut actor = Actor::connected(&agent.socket);
    assert_eq!(actor.ask("call /who"), FLAVOUR);
    actor.tell("orphan /who");
    actor.reap();
    assert_eq!(actor.answer(), "closed");
    agent.until(ConnectionEvent::PeerExited, 1).await;
    assert_eq!(agent.shared.peers.lock().unwrap().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a13_orphan_hears_nothing_that_is_meant_for_a_dead_parent() {
    let agent = Agent::start();
    let mut actor = Actor::connected(&agent.socket);
    actor.tell("eavesdrop /stream");
    actor.reap();
    agent.drain.cancel();
    // Of the stream it got what was sent while its parent lived, and not that the agent drains.
    assert_eq!(actor.answer(), "closed after open");
    agent.until(ConnectionEvent::PeerExited, 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a13_peers_that_exit_at_once_leave_nothing_behind() {
    let agent = Agent::start();
    let connect_and_exit = format!(
        "import socket\nfor i in range(40):\n  s = socket.socket(socket.AF_UNIX)\n  s.connect('{}')\n  \
         s.send(b'PRI * HTTP/2.0')\nimport os\nos._exit(0)",
        agent.socket.display()
    );
    // One connection first, so that everything that is opened once is open.
    let mut actor = Actor::connected(&agent.socket);
    assert_eq!(actor.ask("call /who"), FLAVOUR);
    for round in 1..=5_u64 {
        let mut python = std::process::Command::new("python3");
        let status = python.args(["-c", &connect_and_exit]).status();
        assert!(status.unwrap().success());
        let ended = || {
            let opened = agent.count(ConnectionEvent::Opened) - 1;
            let gone = agent.count(ConnectionEvent::PeerGone);
            opened + gone == round * 40 && agent.count(ConnectionEvent::Closed) == opened
        };
        until(ended, "every connection to end").await;
    }
    assert_eq!(agent.count(ConnectionEvent::PinFailed), 0);
    assert_eq!(actor.ask("call /who"), FLAVOUR);
    // All tests share this process: its descriptors come and go, but 200 would show.
    until(|| open_descriptors() < 150, "descriptors to be closed").await;
}
