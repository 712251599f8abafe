//! The harness itself: entries, identities, a restart of the agent, and the files we ship.

use crate::support::{Entry, Options, Programs, SpireNode, programs};
use spiffe::WorkloadApiClient;
use spire_api::{DelegateAttestationRequest, DelegatedIdentityClient};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::process::Command;

/// A node whose agent knows this very process by the given path, and the entry's ID.
fn node_with(programs: &Programs, path: &str) -> (SpireNode, String) {
    let node = SpireNode::start(programs, &Options::default());
    let program = std::env::current_exe().expect("the test's own program");
    let selector = format!("unix:path:{}", program.display());
    let entry = node.entry_create(Entry {
        path,
        selectors: &[&selector],
    });
    (node, entry)
}

/// The SPIFFE ID that the Workload API gives this process now.
fn own_id(runtime: &tokio::runtime::Runtime, node: &SpireNode) -> Option<String> {
    runtime.block_on(async {
        let client = WorkloadApiClient::connect_to(node.workload_api())
            .await
            .ok()?;
        let svid = client.fetch_x509_svid().await.ok()?;
        Some(svid.spiffe_id().to_string())
    })
}

#[test]
fn an_entry_gives_an_identity_that_survives_the_agent_and_ends_with_the_entry() {
    let Some(programs) = programs() else {
        return;
    };
    let runtime = tokio::runtime::Runtime::new().expect("runtime");
    let (mut node, entry) = node_with(&programs, "/tester");
    let expected = "spiffe://example.org/tester";
    let id = node.wait_for("an identity", || own_id(&runtime, &node));
    assert_eq!(id, expected);

    node.stop_agent();
    assert_eq!(own_id(&runtime, &node), None, "there is no agent");
    node.start_agent();
    let id = node.wait_for("the identity after a restart", || own_id(&runtime, &node));
    assert_eq!(id, expected);

    node.entry_delete(&entry);
    node.wait_for("the withdrawal", || {
        own_id(&runtime, &node).is_none().then_some(())
    });
}

#[test]
fn the_named_delegate_may_ask_about_a_process() {
    let Some(programs) = programs() else {
        return;
    };
    let runtime = tokio::runtime::Runtime::new().expect("runtime");
    let (node, _entry) = node_with(&programs, "/handfast/agent");
    assert!(node.broker_socket().starts_with(node.folder()));
    let agents = node.server_cli(&["agent", "list"]);
    assert!(agents.contains(&node.agent_id()), "{agents}");

    let broker = std::fs::metadata(node.broker_socket()).expect("the broker's socket");
    assert!(broker.file_type().is_socket());
    node.admit_group(broker.gid());

    let request = DelegateAttestationRequest::for_pid(std::process::id()).expect("a PID");
    let endpoint = format!("unix://{}", node.admin_socket().display());
    let ids = node.wait_for("our own identity by PID", || {
        runtime.block_on(async {
            let client = DelegatedIdentityClient::connect_to(&endpoint).await.ok()?;
            let audience = ["urn:handfast:attestation"];
            client
                .fetch_jwt_svids(&audience, request.clone())
                .await
                .ok()
        })
    });
    let ids: Vec<String> = ids
        .iter()
        .map(|svid| svid.spiffe_id().to_string())
        .collect();
    assert_eq!(ids, ["spiffe://example.org/handfast/agent"]);
}

fn shipped(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("spire-config")
        .join(name)
}

#[test]
fn the_shipped_snippets_are_valid() {
    let Some(programs) = programs() else {
        return;
    };
    for (program, snippet) in [
        (programs.server(), "spire-server.conf"),
        (programs.agent(), "spire-agent.conf"),
    ] {
        let output = Command::new(program)
            .args(["validate", "-config"])
            .arg(shipped(snippet))
            .output()
            .expect("validate");
        assert!(output.status.success(), "{snippet}: {output:?}");
    }
}

#[test]
fn a75_the_entries_script_selects_by_user_and_makes_each_entry_once() {
    let Some(programs) = programs() else {
        return;
    };
    let node = SpireNode::start(&programs, &Options::default());
    let run = || {
        let output = Command::new(shipped("entries.sh"))
            .env("SPIRE_SERVER", programs.server())
            .args(["-parentID", &node.parent_id(), "-agentUID", "990"])
            .arg("-socketPath")
            .arg(node.server_socket())
            .args(["worker=1003", "ns/reports=1002"])
            .output()
            .expect("entries.sh");
        assert!(output.status.success(), "{output:?}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    assert_eq!(run().matches("created ").count(), 3);
    assert_eq!(run().matches("there ").count(), 3);
    let shown = node.server_cli(&["entry", "show"]);
    assert!(!shown.contains("unix:path"), "{shown}");
    for id in ["handfast/agent", "worker", "ns/reports"] {
        let line = format!("spiffe://example.org/{id}\n");
        assert_eq!(shown.matches(&line).count(), 1, "{shown}");
    }
}
