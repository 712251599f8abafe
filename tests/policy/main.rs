//! The policy room from outside: the default set, what is refused at load, reloading, and trust domains.

mod bounds;
mod default_set;
mod evaluation;
mod inputs;
mod load;
mod reload;
mod trust_domains;
