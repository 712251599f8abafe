//! The API as callers see it: every message through the routes, the service, the rules and a real ledger.
//! Only attestation is told whom it sees.

mod alike;
mod edges;
mod life;
mod log;
mod operator;
mod world;
