//! Hands over real TLS on the loopback, and the certificates that may be bound.
//!
//! What only the signer of tokens can do is tested beside it, in `src/token/tests`.

#[cfg(test)]
mod certificate;
#[cfg(test)]
mod pool;
#[cfg(test)]
mod provider;
#[cfg(test)]
mod spiffe_source;
#[cfg(test)]
mod tls;
#[cfg(test)]
mod world;
