//! From the configuration to the limits of each edge.

use crate::attest::AttestLimits;
use crate::config::Config;
use crate::grpc::serve::ServeLimits;
use crate::kernel::DigestLimits;

/// Limits of the attestation.
pub(super) fn attest(config: &Config) -> AttestLimits {
    AttestLimits {
        reattest_interval: config.spiffe.reattest_interval,
        answers_max: config.limits.attested_processes,
        questions_max: config.limits.attestations,
        queue_wait_max: config.spiffe.deadline,
        executable_digests: config
            .workloads
            .iter()
            .any(crate::config::WorkloadRow::needs_executable),
        digests: DigestLimits {
            executable_bytes_max: config.limits.executable_bytes,
            entries_max: config.limits.executable_digests,
            ..DigestLimits::default()
        },
        ..AttestLimits::default()
    }
}

/// Limits of the TCP listener: its sources are network addresses.
pub(super) fn serve_remote(config: &Config) -> ServeLimits {
    ServeLimits {
        connections_per_source_max: config.limits.connections_per_address,
        ..serve(config)
    }
}

/// Limits of a Unix listener: its sources are user IDs.
pub(super) fn serve(config: &Config) -> ServeLimits {
    let (limits, timeouts) = (&config.limits, &config.timeouts);
    ServeLimits {
        connections_max: limits.connections,
        connections_per_source_max: limits.connections_per_uid,
        handshakes_max: limits.handshakes,
        concurrent_streams_max: limits.streams,
        local_error_reset_streams_max: limits.reset_streams,
        pending_accept_reset_streams_max: limits.pending_reset_streams,
        header_list_bytes_max: limits.header_bytes,
        frame_bytes_max: limits.frame_bytes,
        stream_window_bytes: limits.stream_window_bytes,
        connection_window_bytes: limits.connection_window_bytes,
        send_buffer_bytes_max: limits.send_buffer_bytes,
        read_bytes_per_second: limits.read_bytes_per_second,
        handshake_timeout: timeouts.handshake,
        preface_timeout: timeouts.handshake,
        idle_timeout: timeouts.idle,
        request_deadline: timeouts.request,
        keepalive_interval: timeouts.keepalive_interval,
        keepalive_timeout: timeouts.keepalive,
        connection_age_max: timeouts.connection_age,
        connection_age_grace: timeouts.connection_age_grace,
        drain_deadline: config.drain.deadline,
        ..ServeLimits::default()
    }
}
