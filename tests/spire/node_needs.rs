//! What the agent needs of a node, and what a workload without an entry is told.

use crate::actor::Actor;
use crate::cast::{Cast, ask_create_by, end, hold, issue, start};
use crate::world::{STRANGER, Setup, World, number, ready};
use serde_json::json;

fn lines(output: &std::process::Output) -> String {
    String::from_utf8_lossy(&[output.stdout.as_slice(), &output.stderr].concat()).into_owned()
}

#[test]
fn own_user_with_cap_sys_ptrace_alone_is_enough_and_validate_says_so() {
    let Some(programs) = ready() else {
        return;
    };
    let world = World::start(&programs, Setup::default());
    let validate = |capabilities| {
        let mut command = world.as_agent(capabilities);
        command
            .args(["validate", "--node", "--config"])
            .arg(world.config());
        let output = command.output().expect("validate");
        (output.status.success(), lines(&output))
    };
    let (fit, said) = validate("+sys_ptrace");
    assert!(fit, "{said}");
    for need in [
        "configuration",
        "policy",
        "kernel",
        "SO_PEERPIDFD",
        "CAP_SYS_PTRACE",
    ] {
        assert!(
            said.contains(&format!("ok    {need}: ")),
            "{need} in {said}"
        );
    }
    assert!(!said.contains("FAIL"), "{said}");

    let (fit, said) = validate("");
    assert!(!fit, "{said}");
    let failed: Vec<&str> = said
        .lines()
        .filter(|line| line.starts_with("FAIL"))
        .collect();
    assert_eq!(failed.len(), 1, "{said}");
    assert!(
        failed[0].contains("CAP_SYS_PTRACE: have not effective"),
        "{said}"
    );
    assert!(
        failed[0].contains("AmbientCapabilities=CAP_SYS_PTRACE"),
        "{said}"
    );
}

#[test]
fn whoami_names_who_is_registered_and_tells_the_others_how_to_be() {
    let Some(programs) = ready() else {
        return;
    };
    let world = World::start(&programs, Setup::default());
    let mut cast = Cast::start(&world);
    for (actor, role) in [(&mut cast.owner, "owner"), (&mut cast.worker, "worker")] {
        let me = actor.must("whoami", json!({}));
        assert_eq!(
            me["spiffe_ids"],
            json!([format!("spiffe://example.org/{role}")]),
            "{me}"
        );
        assert_eq!(
            (&me["assurance"], &me["hints"]),
            (&json!("process"), &json!([])),
            "{me}"
        );
    }
    let mut twin = Actor::start(&world, "worker", STRANGER);
    let me = twin.must("whoami", json!({}));
    assert_eq!(
        me["spiffe_ids"],
        json!(["spiffe://example.org/worker"]),
        "{me}"
    );
    let hint = me["hints"][0].as_str().unwrap_or_default();
    assert!(hint.contains("does not meet its [[workload]] row"), "{me}");

    let output = world.cli(STRANGER, &["api", "whoami"]);
    let said = lines(&output);
    assert!(!output.status.success(), "{said}");
    let path = world.program("handfast");
    for selector in [
        format!("unix:uid:{STRANGER}"),
        format!("unix:gid:{STRANGER}"),
        format!("unix:path:{}", path.display()),
    ] {
        assert!(said.contains(&format!("selector {selector}\n")), "{said}");
        assert!(said.contains(&format!(" -selector {selector}")), "{said}");
    }
    assert!(
        said.contains("spire-server entry create -parentID "),
        "{said}"
    );
}

/// A whole task, every call once.
fn carry_out(world: &World) {
    let mut cast = Cast::start(world);
    let task = cast.create("whole");
    let read = cast.query(&task).expect("a query");
    assert_eq!(read["task"]["state"], "working", "{read}");
    let leg = start(&mut cast.worker, &task).expect("a leg");
    hold(&mut cast.worker, &leg).expect("a hold");
    // An upgrade replaces the program of those who run it.
    let (program, newer) = (world.program("actor"), world.program("actor.new"));
    std::fs::copy(&program, &newer).expect("a new program");
    std::fs::rename(&newer, &program).expect("the upgrade");
    cast.effect(&leg, 1);
    let repeat = issue(&mut cast.worker, &leg, 1);
    assert!(repeat.is_ok(), "done at the first attempt: {repeat:?}");
    let ended = end(&mut cast.worker, &leg, "completed").expect("the end");
    assert_eq!(ended["state"], "completed");
    let read = cast.query(&task).expect("a query");
    assert_eq!(read["task"]["state"], "completed", "{read}");
    let no = start(&mut cast.worker, &task).unwrap_err();
    assert_eq!(no.code, "FailedPrecondition", "{no:?}");
}

#[test]
fn a_task_is_carried_out_by_way_of_the_broker_api() {
    let Some(programs) = ready() else {
        return;
    };
    carry_out(&World::start(&programs, Setup::default()));
}

#[test]
fn a_task_is_carried_out_by_way_of_the_delegated_identity_api() {
    let Some(programs) = ready() else {
        return;
    };
    let setup = Setup {
        attestation: "delegated",
        ..Setup::default()
    };
    carry_out(&World::start(&programs, setup));
}

#[test]
fn without_the_capability_nobody_is_attested() {
    let Some(programs) = ready() else {
        return;
    };
    let world = World::start(
        &programs,
        Setup {
            capabilities: "",
            ..Setup::default()
        },
    );
    let mut owner = Actor::start(&world, "owner", number("owner"));
    owner.hand("o");
    let no = ask_create_by(&mut owner, "none").unwrap_err();
    assert!(no.is_unavailable(), "{no:?}");
}
