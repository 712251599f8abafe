//! `[limits]`: how much of everything there may be.
//!
//! Names nothing of the project. Every limit has a name here; reaching one is a clear error to the
//! caller, never memory or disk growth.

use super::refusal::ConfigError;
use super::table::Table;

/// Declares the limits once: field, type, default and documentation.
macro_rules! limits {
    ($($(#[doc = $doc:literal])+ $name:ident: $kind:ty = $default:expr,)+) => {
        /// `[limits]`. All are at least one.
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub struct Limits {
            $($(#[doc = $doc])+ pub $name: $kind,)+
        }

        impl Default for Limits {
            fn default() -> Self {
                Self { $($name: $default,)+ }
            }
        }

        impl Limits {
            fn read_all(table: &mut Table<'_>) -> Result<Self, ConfigError> {
                Ok(Self { $($name: table.count(stringify!($name), $default)?,)+ })
            }
        }
    };
}

limits! {
    /// Bytes of one request message.
    message_bytes: usize = 64 * 1024,
    /// Bytes of one reply message.
    reply_bytes: usize = 256 * 1024,
    /// Bytes of all headers of one request.
    header_bytes: u32 = 8 * 1024,
    /// Bytes of the JSON arguments of one step.
    argument_bytes: usize = 32 * 1024,
    /// Nesting of those arguments.
    argument_depth: usize = 32,
    /// Bytes of a handle.
    handle_bytes: usize = 512,
    /// Bytes of an OAuth issuer or of a subject, each.
    principal_bytes: usize = 512,
    /// Bytes of the name of a tool or method.
    tool_bytes: usize = 256,
    /// Bytes of a `request_id`.
    request_id_bytes: usize = 64,
    /// Bytes of a leg or hand certificate.
    certificate_bytes: usize = 4 * 1024,
    /// Bytes of a task's outcome, and of an error text in it.
    outcome_bytes: usize = 1024,

    /// (audience, tool, arguments) pairs in one grant.
    grant_pairs: usize = 64,
    /// Values, or digests of arguments, in one list of a constraint.
    constraint_values: usize = 64,
    /// Members that one constraint names.
    constraint_members: usize = 32,
    /// Children of one `Spawn`.
    children_per_spawn: usize = 1_000,
    /// Children of one `Spawn` that its audit record names, with who may spend them; the rest are counted.
    children_named: usize = 64,
    /// Bytes of one request message to `Legs`, which a `Spawn` may need.
    spawn_bytes: usize = 1024 * 1024,
    /// Performers named for one task.
    performers: usize = 16,
    /// Legs that are up on this agent.
    legs: usize = 10_000,
    /// Rows in one answer to `ListTasks`.
    page_rows: usize = 500,

    /// Open connections of each listener (workloads, operator, network). Open files: five times it, two
    /// for each leg, and 256.
    connections: usize = 1024,
    /// Open connections of one user ID.
    connections_per_uid: usize = 256,
    /// Open TCP connections of one network address.
    connections_per_address: usize = 64,
    /// TLS handshakes in flight.
    handshakes: usize = 64,
    /// Streams open at once on one connection, `Hold` included.
    streams: u32 = 64,
    /// Resets of malformed streams before a connection is closed.
    reset_streams: usize = 256,
    /// Streams reset by the client before they were served, before a connection is closed.
    pending_reset_streams: usize = 20,
    /// Bytes of one HTTP/2 frame, 16384 to 16777215.
    frame_bytes: u32 = 16 * 1024,
    /// Flow-control window of one stream, in bytes.
    stream_window_bytes: u32 = 65_535,
    /// Flow-control window of one connection, in bytes.
    connection_window_bytes: u32 = 256 * 1024,
    /// Bytes buffered for a client that does not read, per connection.
    send_buffer_bytes: usize = 64 * 1024,
    /// Bytes per second that are read from one connection; what comes faster waits.
    read_bytes_per_second: u64 = 4 * 1024 * 1024,

    /// Requests per second of one process, averaged.
    requests_per_process: u32 = 4_000,
    /// Requests of one process at once, above the average.
    requests_per_process_burst: u32 = 8_000,
    /// Requests per second of one user ID or remote SPIFFE ID, averaged.
    requests_per_uid: u32 = 16_000,
    /// Requests of one user ID or remote SPIFFE ID at once, above the average.
    requests_per_uid_burst: u32 = 32_000,
    /// Callers whose rate is remembered.
    rate_callers: usize = 16_384,
    /// Audit records that are being folded at a time.
    folded_records: usize = 16_384,
    /// Refusals of one user ID that are told apart by process and task at a time; more share a record.
    folded_denials_per_uid: usize = 64,
    /// `Hold` streams of one leg.
    holds_per_leg: usize = 4,
    /// Notices waiting in one `Hold` stream; beyond it a notice is lost, the stream stays.
    hold_notices: usize = 32,

    /// SPIFFE IDs that are revoked, or were within the life of a task.
    revoked_ids: usize = 1_024,
    /// Open `WatchRevocations` streams; half of them for all SPIFFE IDs elsewhere together.
    revocation_subscribers: usize = 256,
    /// Open `WatchRevocations` streams of one user ID, or of one SPIFFE ID elsewhere.
    revocation_subscribers_per_uid: usize = 64,
    /// Events waiting in one `WatchRevocations` stream; it ends where they wait for three heartbeats.
    revocation_notices: usize = 64,
    /// Revocations whose receipt (who has stopped) is remembered; the oldest is forgotten.
    receipts: usize = 64,
    /// Answers and decisions that one task waits for at a time.
    inputs: usize = 16,
    /// Bytes of a server's name for an answer.
    input_key_bytes: usize = 128,
    /// Bytes of a step's arguments as a person is shown them.
    approval_text_bytes: usize = 16 * 1024,
    /// Requests for approval of one owner that are open at a time.
    approvals_per_owner: usize = 16,
    /// Tasks of one owner (its workload, its principal, or both) that have not ended.
    tasks_per_owner: u64 = 10_000,
    /// Bytes of an issuer's JWK set.
    jwks_bytes: u64 = 64 * 1024,
    /// Open `Watch` streams.
    watches: usize = 1_024,
    /// Open `Watch` streams of one user ID.
    watches_per_uid: usize = 64,

    /// Commits waiting for the ledger's writer.
    ledger_queue: usize = 8_192,
    /// Commits in one durable batch.
    ledger_batch: usize = 512,
    /// Memory for the ledger's page cache, in bytes.
    ledger_cache_bytes: usize = 64 * 1024 * 1024,
    /// Size of the ledger file, in bytes, above which only endings are recorded.
    ledger_bytes: u64 = 8 * 1024 * 1024 * 1024,
    /// Disk space kept back so that cancel and revoke can be recorded on a full disk, in bytes.
    ledger_reserve_bytes: u64 = 16 * 1024 * 1024,

    /// Questions to SPIRE in flight.
    attestations: usize = 64,
    /// Processes whose last answer is remembered.
    attested_processes: usize = 4_096,
    /// Executables whose digest is remembered.
    executable_digests: usize = 1_024,
    /// Bytes of an executable that is digested; a larger one has no digest.
    executable_bytes: u64 = 512 * 1024 * 1024,
    /// Leg and hand certificates, and query tokens, each, whose signature is not verified again.
    verified_signatures: usize = 4_096,
    /// X.509-SVIDs that the Workload API may deliver to the agent.
    svids: usize = 16,
    /// Trust bundles that the Workload API may deliver.
    bundles: usize = 64,
    /// Bytes of one trust bundle.
    bundle_bytes: usize = 1024 * 1024,

    /// Bytes of the policy file, and of the schema.
    policy_bytes: u64 = 1024 * 1024,
    /// Policies in the set.
    policies: usize = 1_000,
}

impl Limits {
    pub(super) fn read(mut table: Table<'_>) -> Result<Self, ConfigError> {
        let limits = Self::read_all(&mut table)?;
        limits.check(&table)?;
        table.finish()?;
        Ok(limits)
    }

    fn check(&self, table: &Table<'_>) -> Result<(), ConfigError> {
        const FRAME_BYTES: std::ops::RangeInclusive<u32> = 16_384..=16_777_215;
        const WINDOW_BYTES_MAX: u32 = 2_147_483_647;
        if !FRAME_BYTES.contains(&self.frame_bytes) {
            let want = "16384 to 16777215 (RFC 9113 §4.2)";
            return Err(table.refuse("frame_bytes", &self.frame_bytes.to_string(), want));
        }
        for (key, window) in [
            ("stream_window_bytes", self.stream_window_bytes),
            ("connection_window_bytes", self.connection_window_bytes),
        ] {
            if !(65_535..=WINDOW_BYTES_MAX).contains(&window) {
                let want = "65535 to 2147483647 (RFC 9113 §6.9)";
                return Err(table.refuse(key, &window.to_string(), want));
            }
        }
        for (key, part, whole_key, whole) in [
            (
                "argument_bytes",
                self.argument_bytes,
                "message_bytes",
                self.message_bytes,
            ),
            (
                "approval_text_bytes",
                self.approval_text_bytes,
                "reply_bytes",
                self.reply_bytes,
            ),
            (
                "ledger_batch",
                self.ledger_batch,
                "ledger_queue",
                self.ledger_queue,
            ),
        ] {
            if part > whole {
                return Err(ConfigError::Conflict {
                    key: table.key(key),
                    other: table.key(whole_key),
                    reason: "a part cannot exceed the whole, lower the first or raise the second",
                });
            }
        }
        Ok(())
    }
}
