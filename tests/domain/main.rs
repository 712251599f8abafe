//! The rules, tested without any edge: every state against every command, and the invariants.

#[cfg(test)]
mod approvals;
#[cfg(test)]
mod asking;
#[cfg(test)]
mod away;
#[cfg(test)]
mod consents;
#[cfg(test)]
mod creation;
#[cfg(test)]
mod endings;
#[cfg(test)]
mod enumeration;
#[cfg(test)]
mod fanning;
#[cfg(test)]
mod fixture;
#[cfg(test)]
mod handover;
#[cfg(test)]
mod lasting;
#[cfg(test)]
mod late_orders;
#[cfg(test)]
mod lines;
#[cfg(test)]
mod narrowing;
#[cfg(test)]
mod ordering;
#[cfg(test)]
mod orders;
#[cfg(test)]
mod paths;
#[cfg(test)]
mod roles;
#[cfg(test)]
mod rules;
#[cfg(test)]
mod several;
#[cfg(test)]
mod skipping;
#[cfg(test)]
mod tables;
#[cfg(test)]
mod takeovers;
#[cfg(test)]
mod task_table;
#[cfg(test)]
mod trees;
#[cfg(test)]
mod universe;
