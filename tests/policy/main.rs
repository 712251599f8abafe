//! The policy room from outside: the default set, what is refused at load, reloading, and trust
//! domains.

#[cfg(test)]
mod bounds;
#[cfg(test)]
mod cases;
#[cfg(test)]
mod consent;
#[cfg(test)]
mod default_set;
#[cfg(test)]
mod evaluation;
#[cfg(test)]
mod inputs;
#[cfg(test)]
mod load;
#[cfg(test)]
mod proofs;
#[cfg(test)]
mod reload;
#[cfg(test)]
mod trust_domains;
#[cfg(test)]
mod verbs;
