//! The ledger, as the service sees it.
//!
//! [`contract`] is written against `&dyn Ledger`, so that every ledger can be held to it; the other
//! modules are about the file: opening, crashing, filling up, and being tampered with.

#![expect(
    clippy::arithmetic_side_effects,
    reason = "small numbers of a test; an overflow fails it"
)]

#[cfg(test)]
mod approvals;
#[cfg(test)]
mod audit;
#[cfg(test)]
mod contract;
#[cfg(test)]
#[cfg(feature = "failpoints")]
mod crash_points;
#[cfg(test)]
mod endings;
#[cfg(test)]
mod file;
#[cfg(test)]
mod kill;
#[cfg(test)]
mod owners;
#[cfg(test)]
mod reserve;
#[cfg(test)]
mod size;
#[cfg(test)]
mod skew;
#[cfg(test)]
mod support;

/// Runs each case of the contract on a fresh ledger of its own.
macro_rules! on_a_fresh_file {
    ($room:ident: $($case:ident),* $(,)?) => {
        #[cfg(test)]
        mod $room {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $case() {
                    let file = crate::support::File::new();
                    let ledger = file.open();
                    crate::$room::$case(&ledger).await;
                }
            )*
        }
    };
}

#[cfg(test)]
mod redb {
    mod cases {
        on_a_fresh_file!(contract:
            absent_rows_load_as_nothing,
            a_commit_is_visible_once_answered,
            a_name_belongs_to_one_task,
            a_request_finds_its_task,
            settled_steps_and_records_are_read_by_number,
            forgetting_leaves_nothing,
            unused_terms_are_forgotten_after_their_end,
            tasks_come_in_pages,
            decide_gives_proofs,
            numbers_are_dense_and_chained,
            every_name_stays_its_tasks_until_it_is_forgotten,
        );
        on_a_fresh_file!(approvals:
            a_request_and_its_owners_account_come_back,
            the_list_of_open_requests_follows_what_tasks_wait_for,
            two_tasks_of_one_owner_do_not_both_take_the_last_place,
        );
        on_a_fresh_file!(endings:
            old_endings_are_forgotten_and_it_is_known_up_to_where,
            the_audiences_of_steps_are_known_by_task,
        );
        on_a_fresh_file!(owners:
            an_owners_live_tasks_are_counted,
            a_count_that_changed_is_decided_again,
            live_and_ended_tasks_are_listed_apart,
        );
        on_a_fresh_file!(skew:
            a_changed_ancestor_is_decided_again,
            a_revocation_meanwhile_is_decided_again,
            changed_rows_are_decided_again,
            an_outdated_policy_is_decided_again,
            refused_again_writes_nothing,
            unchanged_again_is_noted,
            write_skew_is_decided_again,
            a_name_taken_meanwhile_is_seen,
            every_writer_of_one_task_gets_through,
        );
    }
}
