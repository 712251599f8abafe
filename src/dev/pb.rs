//! Messages and server stubs generated from `proto/spiffe`; the clients are those of the `spiffe` crate.

/// The SPIFFE Workload API.
pub mod workload {
    tonic::include_proto!("_");
}

/// The SPIFFE Broker API.
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
