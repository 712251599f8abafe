//! Reloading: a good set replaces the old one whole, a bad one changes nothing and is told.

use crate::inputs::{Folder, default_set, ordinary, permitted, refused};
use handfast::domain::policy::Action;
use handfast::policy::{CedarPolicy, PolicyError};
use handfast::service::ports::Policy;
use std::fs;
use std::os::unix::fs::symlink;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

const QUERY: &str = "@id(\"q\") permit (principal, action == Action::\"query\", resource);";
const CANCEL: &str = "@id(\"c\") permit (principal, action == Action::\"cancel\", resource);";
const INTERVAL: Duration = Duration::from_millis(20);
const DEADLINE: Duration = Duration::from_secs(30);

/// Broken in every way that failure 30 of the list names.
const BROKEN: [&str; 6] = [
    "\u{0}garbage\u{7f}((((",
    "permit (principal, action == Action::\"query\", reso",
    "",
    "permit (principal == User::\"alice\", action == Action::\"view\", resource);",
    "permit (principal, action, resource);",
    "permit (principal, action == Action::\"query\", resource) when { resource.nope };",
];

#[test]
fn a_good_set_replaces_the_old_one_and_raises_the_generation() {
    let folder = Folder::with(QUERY);
    let policy = folder.load();
    let first = policy.generation();
    permitted(&policy, &ordinary(Action::Query));
    refused(&policy, &ordinary(Action::Cancel));

    folder.write(CANCEL);
    permitted(&policy, &ordinary(Action::Query));
    let second = policy.reload().expect("a good set");
    assert_eq!(second.number, first.number + 1);
    assert_ne!(second.text, first.text);
    assert_eq!(policy.generation(), second);
    let permit = permitted(&policy, &ordinary(Action::Cancel));
    assert_eq!(permit.generation(), second);
    assert_eq!(
        refused(&policy, &ordinary(Action::Query)).generation,
        second
    );
}

#[test]
fn the_same_text_is_no_new_generation() {
    let folder = Folder::with(QUERY);
    let policy = folder.load();
    folder.write(QUERY);
    assert_eq!(policy.reload().expect("a good set").number, 1);
    folder.write(&format!("{QUERY}\n"));
    assert_eq!(policy.reload().expect("a good set").number, 2);
}

#[test]
fn a_broken_file_keeps_the_last_good_set_and_says_so() {
    for broken in BROKEN {
        let folder = Folder::with(QUERY);
        let policy = folder.load();
        let before = policy.generation();
        assert_eq!(policy.status().error, None);

        folder.write(broken);
        let error = policy.reload().expect_err("a broken set");
        let status = policy.status();
        assert_eq!(status.error, Some(error.chain()));
        assert_eq!(status.failures, 1);
        assert_eq!(status.generation, before);
        assert_eq!(status.path, Some(folder.file()));
        let told = status.error.unwrap_or_default();
        assert!(told.contains("policy.cedar"), "{told}");
        if !broken.is_empty() {
            assert!(told.contains("line 1, column "), "{told}");
        }
        permitted(&policy, &ordinary(Action::Query));

        folder.write(&format!("{QUERY}{CANCEL}"));
        assert_eq!(policy.reload().expect("good again").number, 2);
        assert_eq!(policy.status().error, None);
    }
}

#[test]
fn going_back_to_the_set_that_decides_clears_the_error() {
    let folder = Folder::with(QUERY);
    let policy = folder.load();
    folder.write("permit");
    policy.reload().expect_err("a broken set");
    folder.write(QUERY);
    assert_eq!(policy.reload().expect("good again").number, 1);
    assert_eq!(policy.status().error, None);
}

#[test]
fn a_file_that_is_gone_or_unreadable_keeps_the_last_good_set() {
    let folder = Folder::with(QUERY);
    let policy = folder.load();
    fs::remove_file(folder.file()).expect("remove");
    let gone = policy.reload().expect_err("no file");
    assert!(matches!(gone, PolicyError::Read { .. }), "{gone}");
    fs::create_dir(folder.file()).expect("a folder in its place");
    let a_folder = policy.reload().expect_err("a folder");
    assert!(matches!(a_folder, PolicyError::NotAFile { .. }));
    fs::remove_dir(folder.file()).expect("remove");
    symlink("policy.cedar", folder.file()).expect("a link to itself");
    let looping = policy.reload().expect_err("a loop");
    assert!(matches!(looping, PolicyError::Read { .. }), "{looping}");
    assert_eq!(policy.status().failures, 3);
    permitted(&policy, &ordinary(Action::Query));
}

#[test]
fn the_default_set_is_reloaded_to_itself() {
    let policy = default_set();
    assert_eq!(policy.reload().expect("good").number, 1);
    assert_eq!(policy.status().path, None);
}

#[test]
fn a_hundred_reloads_under_load_never_mix_two_sets() {
    let folder = Folder::with(QUERY);
    let policy = Arc::new(folder.load());
    let done = Arc::new(AtomicBool::new(false));
    let reader = {
        let (policy, done) = (Arc::clone(&policy), Arc::clone(&done));
        std::thread::spawn(move || {
            let mut decided = 0;
            while !done.load(Ordering::Relaxed) {
                // Odd generations permit query, even ones cancel: each answer must fit its own.
                let (query, cancel) = (ordinary(Action::Query), ordinary(Action::Cancel));
                for (input, odd) in [(query, true), (cancel, false)] {
                    let (number, yes) = match policy.evaluate(&input) {
                        Ok(permit) => (permit.generation().number, true),
                        Err(refusal) => (refusal.generation.number, false),
                    };
                    assert_eq!(yes, (number % 2 == 1) == odd);
                    decided += 1;
                }
            }
            decided
        })
    };
    for round in 0..100 {
        folder.write(if round % 2 == 0 { CANCEL } else { QUERY });
        policy.reload().expect("a good set");
    }
    done.store(true, Ordering::Relaxed);
    assert!(reader.join().expect("no mixed answer") > 0);
    assert_eq!(policy.generation().number, 101);
}

/// Watches a file while `test` runs.
fn watched(test: impl AsyncFnOnce(&Folder, &Arc<CedarPolicy>)) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        let folder = Folder::with(QUERY);
        let policy = Arc::new(folder.load());
        let shutdown = CancellationToken::new();
        let watch = tokio::spawn(Arc::clone(&policy).watch(INTERVAL, shutdown.clone()));
        test(&folder, &policy).await;
        shutdown.cancel();
        tokio::time::timeout(DEADLINE, watch)
            .await
            .expect("the watch ends at shutdown")
            .expect("no panic");
    });
}

/// Waits until the status is as wanted.
async fn until(policy: &CedarPolicy, wanted: impl Fn(&CedarPolicy) -> bool) {
    let since = Instant::now();
    while !wanted(policy) {
        assert!(since.elapsed() < DEADLINE, "{:?}", policy.status());
        tokio::time::sleep(Duration::from_millis(5)).await; // poll: the watch is another task
    }
}

#[test]
fn a_watched_file_is_taken_up_and_its_holders_are_told() {
    watched(async |folder, policy| {
        let mut changes = policy.changes();
        folder.write(CANCEL);
        tokio::time::timeout(DEADLINE, changes.changed())
            .await
            .expect("in time")
            .expect("a change");
        assert_eq!(changes.borrow().number, 2);
        assert_eq!(policy.generation(), *changes.borrow());
        permitted(policy, &ordinary(Action::Cancel));
    });
}

#[test]
fn a_watched_file_may_be_replaced_by_rename() {
    watched(async |folder, policy| {
        for round in 0..3 {
            let next = folder.folder().join("next");
            fs::write(&next, if round % 2 == 0 { CANCEL } else { QUERY }).expect("write");
            fs::rename(&next, folder.file()).expect("rename");
            until(policy, |it| it.generation().number == round + 2).await;
        }
    });
}

#[test]
fn a_watched_file_that_breaks_is_told_once_and_taken_up_when_good() {
    watched(async |folder, policy| {
        for (round, broken) in (1..).zip(BROKEN) {
            folder.write(broken);
            until(policy, |it| it.status().failures == round).await;
            assert_eq!(policy.generation().number, round);
            folder.write(&format!("{QUERY}// {round}"));
            until(policy, |it| it.generation().number == round + 1).await;
            assert_eq!(policy.status().error, None);
        }
    });
}

#[test]
fn a_watched_file_that_vanishes_is_told_and_taken_up_when_back() {
    watched(async |folder, policy| {
        fs::remove_file(folder.file()).expect("remove");
        until(policy, |it| it.status().error.is_some()).await;
        permitted(policy, &ordinary(Action::Query));
        folder.write(CANCEL);
        until(policy, |it| it.generation().number == 2).await;
        assert_eq!(policy.status().failures, 1);
    });
}

#[test]
fn watching_the_default_set_ends_at_once() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        let watch = Arc::new(default_set()).watch(INTERVAL, CancellationToken::new());
        tokio::time::timeout(DEADLINE, watch)
            .await
            .expect("at once");
    });
}
