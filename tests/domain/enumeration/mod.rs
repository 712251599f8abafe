//! Every sequence of commands up to a length, over two workloads (one of them with twins), two tasks and one
//! child, put to the rules and to a naive oracle.
//!
//! The real side is the pure functions of `src/domain` over rows, applied as the ledger would ([`rows`],
//! [`real`]). The oracle keeps the history of what was accepted and answers by reading it ([`history`],
//! [`oracle`], [`steps`], [`handed`], [`spawned`], [`revoked`]). After each command both must say the same
//! ([`answer`]) and named invariants must hold of the rows ([`invariants`], [`standing`]).
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
//! commands on all three tasks up to 3, and of these up to 6 ([`letters`]):
//!
//! * few commands, and those around a person's consent;
//! * handing a task over, taking it back and taking its leg ("handing over"), and handing on what was handed
//!   over ("handing on"); the first also by an owner that acts for a user, whose orders its server has carried out;
//! * children of a task with a budget, from `Spawn` to the first step of a child ("fanning out"), and child grants of
//!   a task that has a child anyway ("spawning beside a child");
//! * a tree, SPIFFE IDs, the epoch and everything before a moment, revoked and lifted ("revoking").
//!
//! All commands together where tasks may be handed over are covered up to 3.
//!
//! `make long` goes on with all commands together, up to 6: on a task and its child (146 commands, 979,420 states
//! from which each is tried), on all three tasks (216 commands), and where tasks may be handed over, spawned from,
//! taken back and revoked by more than a task (208 commands, 4,781,146 states, an hour and a half and 4 GiB).
//! `ENUMERATION_LENGTH` says how far. A level has about twelve times the states of the one before it, where tasks may
//! be handed over seventeen times.
//!
//! What makes six possible: a state that was met is remembered as 128 bits ([`seen`] says how likely that misleads),
//! one that waits for its turn as the path to it ([`levels`]), and one after the last command not at all: its answer
//! is compared and its invariants are tried, and it is dropped. On three tasks the last command is put to
//! what it reads alone ([`parts`]): it is answered once for all states that differ elsewhere.
//!
//! The task beside them needs no place in the long sequences: a decision reads the rows of one task and of its
//! line, and writes rows of that task alone (an invariant), so a sequence does to a task what is left of it
//! does without the commands on others. The one thing that tasks of an owner share is the account of what was
//! asked of people: there the three tasks count.
//!
//! Where children are spawned ([`wider::Setting::FANNED`]) the child is there once its grant is spent, and of
//! several grants the first is. Elsewhere it is there from the beginning. What is revoked by more than a task
//! is not a task's row, and read by every decision: there too a command writes rows of its own task alone.
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
//!
//! Of those on handing over, fanning out and revoking: whoever lost a leg to a takeover starts again; a lent leg has
//! children, or calls what was not lent or what the server added, or outlives its delegation; a delegation that
//! never runs out, outlives its giver's or its delegate's ID, or exceeds its giver's acts or end; one that a
//! stranger to it takes back; children, or their steps, that are not taken from their parent; a grant spent twice,
//! in a dead line, or by a void token; a leg that outlives its ID; a cut through time, or an ancestor's
//! revocation, ignored; a lift that revives.
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
mod columns;
#[cfg(test)]
mod consents;
#[cfg(test)]
mod diagram;
#[cfg(test)]
mod families;
#[cfg(test)]
mod family_letters;
#[cfg(test)]
mod flaw;
#[cfg(test)]
mod handed;
#[cfg(test)]
mod handing;
#[cfg(test)]
mod history;
#[cfg(test)]
mod invariants;
#[cfg(test)]
mod kept;
#[cfg(test)]
mod letters;
#[cfg(test)]
mod levels;
#[cfg(test)]
mod oracle;
#[cfg(test)]
mod parts;
#[cfg(test)]
mod real;
#[cfg(test)]
mod revoked;
#[cfg(test)]
mod revoking;
#[cfg(test)]
mod rows;
#[cfg(test)]
mod search;
#[cfg(test)]
mod seen;
#[cfg(test)]
mod spawned;
#[cfg(test)]
mod spawning;
#[cfg(test)]
mod standing;
#[cfg(test)]
mod steps;
#[cfg(test)]
mod tables;
#[cfg(test)]
mod wider;

use self::wider::Setting;
use alphabet::{Command, On};
use diagram::Changes;
use family_letters::{fanning, spawning_beside};
use flaw::Flaw;
use letters::{asking, core, drawn, few, full, handing, handing_on, revoking, wider};
use search::{Covered, Search};
pub(crate) use tables::print_all as wider_tables;

/// How far the environment says, in a long run.
fn long() -> Option<u32> {
    let length = std::env::var("ENUMERATION_LENGTH").ok()?;
    Some(length.parse().unwrap())
}

fn length(least: u32) -> u32 {
    long().unwrap_or(least)
}

fn covers(what: &str, alphabet: &[Command], length: u32) -> Covered {
    covers_in(Setting::PLAIN, what, alphabet, length)
}

fn covers_in(setting: Setting, what: &str, alphabet: &[Command], length: u32) -> Covered {
    covered(search(setting, alphabet), what, length)
}

fn search(setting: Setting, alphabet: &[Command]) -> Search<'_> {
    let search = Search::new(setting, alphabet, None);
    match long() {
        None => search,
        Some(_) => search.long(),
    }
}

fn covered(search: Search<'_>, what: &str, length: u32) -> Covered {
    let letters = search.alphabet.len();
    let covered = search.run(length);
    let covered = covered.unwrap_or_else(|found| panic!("{what}, up to {length}:\n{found}"));
    println!("{what}, {letters} of them, up to {length}: {covered:?}");
    covered
}

/// Every change of state that sequences of commands bring about: of a child, and of what is handed over of its
/// parent, cut out of it and asked about it.
pub(crate) fn changes() -> Changes {
    let all = [
        (Setting::HANDED, drawn(), On::Child, 5),
        (Setting::HANDED, handing_on(), On::Root, 4),
        (Setting::FANNED, fanning(), On::Root, 5),
        (Setting::PLAIN, asking(), On::Root, 5),
    ];
    let [child, handed, fanned, asked] = all.map(|(setting, alphabet, on, length)| {
        let changes = Search::new(setting, &alphabet, None).changes(on, length);
        changes.unwrap_or_else(|found| panic!("{found}"))
    });
    child.with(handed, fanned, asked)
}

#[test]
fn every_sequence_of_all_commands_on_a_task_and_its_child_is_as_the_oracle_says() {
    let length = length(4);
    let covered = covers("all commands", &full(&[On::Root, On::Child]), length);
    let least = covered.sequences >= 450_000_000 && covered.states >= 6_800;
    assert!(least && covered.changes >= 190_000, "{covered:?}");
}

#[test]
fn every_sequence_of_all_commands_on_three_tasks_is_as_the_oracle_says() {
    let length = length(3);
    let alphabet = full(&On::ALL);
    let search = search(Setting::PLAIN, &alphabet).by_parts();
    let covered = covered(search, "all commands on three tasks", length);
    assert!(
        covered.sequences >= 10_000_000 && covered.states >= 880,
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
fn every_sequence_of_all_commands_on_a_task_that_is_handed_over_is_as_the_oracle_says() {
    let tasks = [On::Root, On::Child];
    let alphabet = [full(&tasks), wider(&tasks)].concat();
    let length = length(3);
    let covered = covers_in(
        Setting::HANDED,
        "all commands, handed over",
        &alphabet,
        length,
    );
    let least = covered.sequences >= 8_000_000 && covered.states >= 900;
    assert!(least && covered.changes >= 39_000, "{covered:?}");
}

#[test]
fn every_sequence_of_handing_over_up_to_six_is_as_the_oracle_says() {
    let covered = covers_in(Setting::HANDED, "handing over", &handing(), 6);
    let least = covered.sequences >= 67_000_000 && covered.states >= 4_900;
    assert!(least && covered.changes >= 33_000, "{covered:?}");
}

#[test]
fn every_sequence_of_handing_over_for_a_user_up_to_six_is_as_the_oracle_says() {
    let what = "handing over for a user";
    let covered = covers_in(Setting::OF_A_USER, what, &handing(), 6);
    let least = covered.sequences >= 67_000_000 && covered.states >= 4_900;
    assert!(least && covered.changes >= 33_000, "{covered:?}");
}

#[test]
fn every_sequence_of_handing_on_up_to_six_is_as_the_oracle_says() {
    let covered = covers_in(Setting::HANDED, "handing on", &handing_on(), 6);
    let least = covered.sequences >= 67_000_000 && covered.states >= 1_400;
    assert!(least && covered.changes >= 6_700, "{covered:?}");
}

#[test]
fn every_sequence_of_fanning_out_up_to_six_is_as_the_oracle_says() {
    let covered = covers_in(Setting::FANNED, "fanning out", &fanning(), 6);
    let least = covered.sequences >= 199_000_000 && covered.states >= 3_900;
    assert!(least && covered.changes >= 25_500, "{covered:?}");
}

#[test]
fn every_sequence_of_spawning_beside_a_child_up_to_six_is_as_the_oracle_says() {
    let what = "spawning beside a child";
    let covered = covers_in(Setting::HANDED, what, &spawning_beside(), 6);
    let least = covered.sequences >= 36_000_000 && covered.states >= 1_000;
    assert!(least && covered.changes >= 5_000, "{covered:?}");
}

#[test]
fn every_sequence_of_revoking_up_to_six_is_as_the_oracle_says() {
    let covered = covers_in(Setting::HANDED, "revoking", &revoking(), 6);
    let least = covered.sequences >= 36_000_000 && covered.states >= 7_000;
    assert!(least && covered.changes >= 52_000, "{covered:?}");
}

#[test]
fn states_that_are_taken_for_the_same_have_the_same_future() {
    let plain = core(&[On::Root, On::Child]);
    let searches = [
        (Setting::PLAIN, plain, 4, 1_500),
        (Setting::HANDED, handing(), 4, 30),
        (Setting::HANDED, handing_on(), 5, 70),
        (Setting::FANNED, fanning(), 5, 100),
        (Setting::HANDED, revoking(), 5, 500),
    ];
    for (setting, alphabet, length, least) in searches {
        let covered = Search::new(setting, &alphabet, None)
            .comparing()
            .run(length);
        let covered = covered.unwrap_or_else(|found| panic!("{found}"));
        println!("{covered:?}");
        assert!(covered.merged >= least, "{covered:?}");
    }
}

#[test]
fn each_wrong_rule_is_found() {
    for flaw in Flaw::ALL {
        let (setting, alphabet) = flaw.alphabet();
        // Breadth first: what is found is as short as any.
        let found = Search::new(setting, &alphabet, Some(flaw)).run(6).err();
        println!("{flaw:?}:\n{}", found.unwrap());
    }
}
