//! Every sequence of commands up to a length, over two workloads (one of them with twins), two tasks and one
//! child, put to the rules and to a naive oracle.
//!
//! The real side is the pure functions of `src/domain` over rows, applied as the ledger would ([`rows`],
//! [`real`]). The oracle keeps the history of what was accepted and answers by reading it ([`history`],
//! [`oracle`], [`steps`]). After each command both must say the same ([`answer`]) and named invariants must
//! hold of the rows ([`invariants`]).
//!
//! # Why each state is expanded once
//!
//! Two sequences that lead to equal rows, equal tokens in circulation, the same time and an equal
//! [`oracle::Oracle`] have the same future. On the real side that is by construction: the rules are pure
//! functions of just these. The oracle predicts from what it read out of the history and from nothing else;
//! that what it reads out after one more command depends only on what it read out before is compared, for
//! every command, wherever two histories meet (`states_that_are_taken_for_the_same_have_the_same_future`).
//!
//! # How far
//!
//! `make test` covers every sequence of all commands on a task and its child up to a length of 4, of all
//! commands on all three tasks up to 3, and of a few commands, and of those around a person's consent, up to 6.
//! All commands on a task and its child up to 6, in some minutes and about 2 GiB:
//!
//! ```text
//! ENUMERATION_LENGTH=6 cargo --config 'profile.test.package.handfast.opt-level=3' \
//!     test --locked --features failpoints --test domain every_sequence -- --nocapture
//! ```
//!
//! The task beside them needs no place in the long sequences: a decision reads the rows of one task and of its
//! line, and writes rows of that task alone (an invariant), so a sequence does to a task what is left of it
//! does without the commands on others. The one thing that tasks of an owner share is the account of what was
//! asked of people: there the three tasks count.
//!
//! Not among the commands: spawning, delegation, and revocation by more than a task. The child is there from
//! the beginning.
//!
//! # That it can fail
//!
//! `each_wrong_rule_is_found` gives the oracle one wrong rule at a time: the search meets the difference just
//! as it would if the real rule were wrong. Of the real rules these were broken by hand, one at a time, and
//! each was found: a dead ancestor ignored; a token that outlives its leg, or is not burned, or is good on
//! another key, or beside a newer one of its step; a used one that never becomes unknown, by time or by a
//! restart; a leg pre-empted, or kept by an ended task; the fence kept at re-attachment; no re-attachment after
//! a restart; an outcome overridden; two steps in flight; a step past an unknown one, or while the task waits;
//! other arguments after a use; completion past an unknown step; `Finish` without the fence; evidence or
//! principal ignored; a late claim; the last clock instead of the first; a task that is never forgotten.
#![expect(
    clippy::arithmetic_side_effects,
    clippy::as_conversions,
    clippy::wildcard_enum_match_arm,
    reason = "small, known numbers; a question to the history is about one thing that happened"
)]

#[cfg(test)]
mod alphabet;
#[cfg(test)]
mod answer;
#[cfg(test)]
mod asked;
#[cfg(test)]
mod consents;
#[cfg(test)]
mod diagram;
#[cfg(test)]
mod history;
#[cfg(test)]
mod invariants;
#[cfg(test)]
mod letters;
#[cfg(test)]
mod oracle;
#[cfg(test)]
mod real;
#[cfg(test)]
mod rows;
#[cfg(test)]
mod search;
#[cfg(test)]
mod steps;

use alphabet::{Command, On};
use diagram::Changes;
use letters::{asking, core, drawn, few, full};
use oracle::Flaw;
use search::{Covered, Search};

fn covers(what: &str, alphabet: &[Command], length: u32) -> Covered {
    let covered = Search::new(alphabet, None).run(length);
    let covered = covered.unwrap_or_else(|found| panic!("{what}, up to {length}:\n{found}"));
    println!(
        "{what}, {} of them, up to {length}: {covered:?}",
        alphabet.len()
    );
    covered
}

/// Every change of state that sequences of a task's commands bring about.
pub(crate) fn changes() -> Changes {
    let changes = Search::new(&drawn(), None).changes(On::Child, 5);
    changes.unwrap_or_else(|found| panic!("{found}"))
}

#[test]
fn every_sequence_of_all_commands_on_a_task_and_its_child_is_as_the_oracle_says() {
    let length = std::env::var("ENUMERATION_LENGTH");
    let length = length.map_or(4, |length| length.parse().unwrap());
    let covered = covers("all commands", &full(&[On::Root, On::Child]), length);
    assert!(covered.sequences >= 7_000_000, "{covered:?}");
}

#[test]
fn every_sequence_of_all_commands_on_three_tasks_is_as_the_oracle_says() {
    let covered = covers("all commands on three tasks", &full(&On::ALL), 3);
    assert!(
        covered.sequences >= 7_000_000 && covered.states >= 900,
        "{covered:?}"
    );
}

#[test]
fn every_sequence_of_few_commands_up_to_six_is_as_the_oracle_says() {
    let covered = covers("few commands", &few(), 6);
    assert!(
        covered.sequences >= 25_000_000 && covered.states >= 2_000,
        "{covered:?}"
    );
}

#[test]
fn every_sequence_of_asking_a_person_up_to_six_is_as_the_oracle_says() {
    let covered = covers("asking a person", &asking(), 6);
    assert!(
        covered.sequences >= 11_000_000 && covered.states >= 500,
        "{covered:?}"
    );
}

#[test]
fn states_that_are_taken_for_the_same_have_the_same_future() {
    let alphabet = core(&[On::Root, On::Child]);
    let covered = Search::new(&alphabet, None).comparing().run(4);
    let covered = covered.unwrap_or_else(|found| panic!("{found}"));
    assert!(covered.merged >= 1_500, "{covered:?}");
}

#[test]
fn each_wrong_rule_is_found() {
    for flaw in Flaw::ALL {
        let alphabet = match flaw {
            Flaw::ConsentToAnything | Flaw::ConsentTwice => asking(),
            Flaw::OrphansLive => core(&[On::Root, On::Child]),
            _ => core(&[On::Root]),
        };
        let found = (1..=6).find_map(|length| Search::new(&alphabet, Some(flaw)).run(length).err());
        println!("{flaw:?}:\n{}", found.unwrap());
    }
}
