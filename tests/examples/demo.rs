//! `make demo`, as a user runs it.

use super::programs::{HANDFAST, example};
use std::process::Command;

#[test]
fn the_demo_ends_as_expected() {
    let played = Command::new(example("demo"))
        .env("HANDFAST_BIN", HANDFAST)
        .output()
        .expect("the demo starts");
    let told = String::from_utf8_lossy(&played.stdout);
    assert!(played.status.success(), "{told}");
    assert!(told.contains("31 of 31 as expected"), "{told}");
}

#[test]
fn the_demo_fails_where_there_is_no_agent() {
    let played = Command::new(example("demo"))
        .env("HANDFAST_BIN", "/bin/false")
        .output()
        .expect("the demo starts");
    let told = String::from_utf8_lossy(&played.stdout);
    assert!(!played.status.success(), "{told}");
    assert!(told.contains("0 of 31 as expected"), "{told}");
    let logs = told.lines().last().and_then(|line| line.split(": ").nth(1));
    let folder = logs.and_then(|logs| std::path::Path::new(logs).parent());
    std::fs::remove_dir_all(folder.expect("a folder")).expect("removed");
}
