//! The rules, tested without any edge: every state against every command, and the invariants.

mod creation;
mod endings;
mod fixture;
mod roles;
mod rules;
mod tables;
