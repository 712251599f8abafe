//! Runs one test of this binary once more, in a process of its own: with other privileges, limits
//! or namespaces.

use std::process::Command;

/// Set in the process of its own.
const INSIDE: &str = "HANDFAST_TEST_INSIDE";

/// Whether this is the process of its own.
pub(crate) fn is_inside() -> bool {
    std::env::var_os(INSIDE).is_some()
}

/// Runs `test` under a command that ends in executing its last arguments.
pub(crate) fn run(test: &str, through: &[&str]) {
    let mut arguments = through.iter().map(ToString::to_string).collect::<Vec<_>>();
    let own = std::env::current_exe().unwrap();
    arguments.push(own.to_string_lossy().into_owned());
    arguments.extend([test, "--exact", "--nocapture", "--test-threads=1"].map(str::to_owned));
    let output = Command::new(&arguments[0])
        .args(&arguments[1..])
        .env(INSIDE, "1")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    let complained = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success() && said.contains("1 passed"),
        "{said}\n{complained}"
    );
}

/// As [`run`], where we are root; else says that it was not run, or fails where it must.
pub(crate) fn run_privileged(test: &str, through: &[&str]) {
    if nix::unistd::geteuid().is_root() {
        run(test, through);
    } else {
        let must = std::env::var_os("PRIVILEGED").is_some_and(|value| value == "required");
        assert!(!must, "{test} needs root");
        println!("{test}: not run: needs root");
    }
}
