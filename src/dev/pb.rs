//! Messages and server stubs generated from `proto/spiffe`; the clients are those of the `spiffe`
//! crate.

/// The SPIFFE Workload API.
#[expect(
    missing_docs,
    unused_qualifications,
    clippy::allow_attributes_without_reason,
    clippy::as_conversions,
    clippy::default_trait_access,
    clippy::doc_markdown,
    clippy::too_many_lines,
    reason = "generated code"
)]
pub mod workload {
    tonic::include_proto!("_");
}

/// The SPIFFE Broker API.
#[expect(
    missing_docs,
    unused_qualifications,
    clippy::allow_attributes_without_reason,
    clippy::as_conversions,
    clippy::default_trait_access,
    clippy::doc_markdown,
    clippy::too_many_lines,
    reason = "generated code"
)]
pub mod broker {
    tonic::include_proto!("spiffe.broker");
}

/// `Debug` without the key or token that the message carries.
macro_rules! redacted {
    ($($message:ty),+ $(,)?) => {$(
        impl std::fmt::Debug for $message {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.debug_struct(stringify!($message)).finish_non_exhaustive()
            }
        }
    )+};
}

redacted!(
    workload::X509svid,
    workload::Jwtsvid,
    workload::ValidateJwtsvidRequest,
    broker::X509svid,
    broker::Jwtsvid,
);
