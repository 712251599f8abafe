//! `grpc.health.v1`: whether the agent answers, for whoever asks.
//!
//! The one thing to know: until somebody says otherwise nothing is serving.

use super::routes::MessageLimits;
use tonic_health::ServingStatus;
use tonic_health::pb::health_server::HealthServer;
use tonic_health::server::{HealthReporter, HealthService};

/// Services that a health check can ask about; the empty name is the agent as a whole.
const NAMES: &[&str] = &[
    "",
    "handfast.v1.Enforcement",
    "handfast.v1.Legs",
    "handfast.v1.Operator",
    "handfast.v1.Requests",
    "handfast.v1.Self",
    "handfast.v1.Tasks",
];

/// The health of the agent, shared by all listeners.
#[derive(Clone, Debug)]
pub struct Health(HealthReporter);

impl Health {
    /// Nothing is serving yet.
    pub async fn starting() -> Self {
        let health = Self(HealthReporter::new());
        health.set_ready(false).await;
        health
    }

    /// Says whether the agent is serving. Watchers are told where it changed.
    pub async fn set_ready(&self, ready: bool) {
        let status = if ready {
            ServingStatus::Serving
        } else {
            ServingStatus::NotServing
        };
        for name in NAMES {
            self.0.set_service_status(name, status).await;
        }
    }

    pub(super) fn server(&self, limits: &MessageLimits) -> HealthServer<HealthService> {
        HealthServer::new(HealthService::from_health_reporter(self.0.clone()))
            .max_decoding_message_size(limits.message_bytes)
            .max_encoding_message_size(limits.reply_bytes)
    }
}
