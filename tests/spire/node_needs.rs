//! What the agent needs of a node, and what a workload without an entry is told.

use crate::actor::Actor;
use crate::cast::Cast;
use crate::world::{STRANGER, Setup, World, ready};
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
