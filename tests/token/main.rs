//! Hands over real TLS on the loopback, and the certificates that may be bound.
//!
//! What only the signer of tokens can do is tested beside it, in `src/token/tests`.

#![expect(
    clippy::tests_outside_test_module,
    reason = "this whole file is built for tests only"
)]

mod certificate;
mod pool;
mod provider;
mod spiffe_source;
mod tls;
mod world;
