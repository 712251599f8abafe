//! The listeners: the workloads' socket, the operator's, and TCP for tools on other nodes.

use super::ready::Guard;
use super::{AppError, Parts, limits};
use crate::grpc::convert::{AudienceMap, Forms};
use crate::grpc::health::Health;
use crate::grpc::listener::{PinnedListener, UnixSocket};
use crate::grpc::observe::{ConnectionEvent, ConnectionObserver};
use crate::grpc::operator::{AgentView, StatusSource};
use crate::grpc::routes::{self, Api, MessageLimits};
use crate::grpc::serve::{Drained, Serving};
use crate::identity::{Identity, PeerRules};
use crate::service::ports::LocalPeer;
use listenfd::ListenFd;
use std::sync::Arc;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;

/// Connections that may wait to be accepted.
const BACKLOG: i32 = 128;

/// Serves the workloads' socket and the operator's until `drain`.
pub(super) async fn serve_local(
    parts: &Parts,
    drain: CancellationToken,
) -> Result<Vec<JoinHandle<Drained>>, AppError> {
    let health = Health::starting().await;
    tokio::spawn(tell_health(parts.clone(), health.clone()));
    let api = api(parts);
    let agent = &parts.config.agent;
    let group = agent.socket_group.as_deref().map(group_id).transpose()?;
    let workloads = match ListenFd::from_env().take_unix_listener(0) {
        Ok(Some(passed)) => PinnedListener::adopt(passed.into())?,
        Err(source) => return Err(AppError::Inherited { source }),
        Ok(None) => PinnedListener::bind(&UnixSocket {
            path: agent.socket_path.clone(),
            directory_mode: 0o755,
            mode: agent.socket_mode,
            group,
            backlog: BACKLOG,
        })?,
    };
    let operators = PinnedListener::bind(&UnixSocket {
        path: agent.operator_socket_path.clone(),
        directory_mode: 0o700,
        mode: 0o600,
        group: None,
        backlog: BACKLOG,
    })?;
    let source: Arc<dyn StatusSource> = Arc::new(Source(parts.clone()));
    let local = serving(parts, routes::local_routes(&api, &health), drain.clone());
    let operator = serving(parts, routes::operator_routes(&api, &health, source), drain);
    tracing::info!(socket = %agent.socket_path.display(), "listening");
    Ok(vec![
        tokio::spawn(local.unix(workloads)),
        tokio::spawn(operator.unix(operators)),
    ])
}

/// Serves tools on other nodes, where the configuration says so.
pub(super) async fn serve_remote(
    parts: &Parts,
    identity: &Identity,
    drain: CancellationToken,
) -> Result<Option<JoinHandle<Drained>>, AppError> {
    let enforcement = &parts.config.enforcement;
    let Some(address) = enforcement.listen else {
        return Ok(None);
    };
    let tls = identity.server_tls(&PeerRules {
        spiffe_ids: enforcement.allowed.iter().cloned().collect(),
        trust_domains: std::collections::BTreeSet::new(),
        federation: enforcement.federated.iter().cloned().collect(),
    })?;
    let listener = tokio::net::TcpListener::bind(address)
        .await
        .map_err(|source| AppError::Tcp { address, source })?;
    let health = Health::starting().await;
    tokio::spawn(tell_health(parts.clone(), health.clone()));
    let serving = serving(parts, routes::remote_routes(&api(parts), &health), drain)
        .with_limits(limits::serve_remote(&parts.config));
    let bound = listener.local_addr().unwrap_or(address);
    tracing::info!(address = %bound, "listening for tools on other nodes");
    Ok(Some(tokio::spawn(
        serving.tls(listener, Arc::new(move || Some(Arc::clone(&tls)))),
    )))
}

/// Says how a listener's drain went.
pub(super) fn drained(how: Result<Drained, tokio::task::JoinError>) {
    match how {
        Ok(Drained {
            aborted: 0,
            requests_left: 0,
        }) => {}
        Ok(Drained {
            aborted,
            requests_left,
        }) => {
            tracing::warn!(
                aborted,
                requests_left,
                "connections were cut at the drain deadline"
            );
        }
        Err(error) => tracing::error!(%error, "a listener failed"),
    }
}

fn serving(parts: &Parts, routes: Routes, drain: CancellationToken) -> Serving {
    Serving::new(
        routes,
        routes::is_stream,
        Arc::clone(&parts.clock),
        Arc::clone(&parts.entropy),
        Arc::new(Observer(parts.clone())),
    )
    .with_limits(limits::serve(&parts.config))
    .with_drain(drain)
}

fn api(parts: &Parts) -> Arc<Api> {
    let config = &parts.config;
    let limits = &config.limits;
    let audiences: AudienceMap = config
        .audiences
        .iter()
        .map(|row| (row.url.clone(), row.spiffe_id.clone()))
        .collect();
    Arc::new(Api {
        continuation: Arc::clone(&parts.service),
        clock: Arc::clone(&parts.clock),
        forms: Forms {
            audiences,
            arguments: crate::canonical::Limits {
                bytes_max: limits.argument_bytes,
                depth_max: u8::try_from(limits.argument_depth)
                    .unwrap_or(crate::canonical::DEPTH_CEILING)
                    .min(crate::canonical::DEPTH_CEILING),
            },
            certificate_bytes: limits.certificate_bytes,
            handle_bytes: limits.handle_bytes,
            inputs: limits.inputs,
            input_key_bytes: limits.input_key_bytes,
            grant_pairs: limits.grant_pairs,
            message_bytes: limits.message_bytes,
            constraint_members: limits.constraint_members,
            constraint_values: limits.constraint_values,
            principal_bytes: limits.principal_bytes,
            request_id_bytes: limits.request_id_bytes,
            reason_bytes: limits.outcome_bytes,
            tool_bytes: limits.tool_bytes,
            ..Forms::default()
        },
        limits: MessageLimits {
            message_bytes: limits.message_bytes,
            spawn_bytes: limits.spawn_bytes,
            reply_bytes: limits.reply_bytes,
            policy_bytes: limits.policy_bytes,
            page_rows: limits.page_rows,
        },
        lease_idle: config.tasks.lease_idle,
    })
}

/// Lets the health service follow readiness, and tells the service manager the first time.
async fn tell_health(parts: Parts, health: Health) {
    let mut changes = parts.readiness.changes();
    let mut told = false;
    loop {
        let ready = changes.borrow_and_update().is_empty();
        health.set_ready(ready).await;
        if ready && !told {
            told = true;
            if let Err(error) = sd_notify::notify(&[sd_notify::NotifyState::Ready]) {
                tracing::debug!(%error, "no service manager was told");
            }
        }
        if changes.changed().await.is_err() {
            return;
        }
    }
}

/// The status that the service does not know.
#[derive(Debug)]
struct Source(Parts);

impl StatusSource for Source {
    fn view(&self) -> AgentView {
        let Self(parts) = self;
        AgentView {
            spiffe_id: Some(parts.config.agent.spiffe_id.clone()),
            not_ready: parts
                .readiness
                .shut()
                .into_iter()
                .map(|guard: Guard| guard.waits_for().to_owned())
                .collect(),
            policy_error: parts.policy.status().error,
            audit_records: parts.ledger.newest().0,
        }
    }
}

/// Puts what is suspicious about a connection into the audit and the log.
#[derive(Debug)]
struct Observer(Parts);

impl ConnectionObserver for Observer {
    fn connection(&self, event: ConnectionEvent, peer: Option<&LocalPeer>) {
        let suspicious = matches!(
            event,
            ConnectionEvent::DescriptorPassed
                | ConnectionEvent::InheritedConnection
                | ConnectionEvent::HandlerPanicked
        );
        let pid = peer.map(|peer| peer.key.pid);
        if suspicious {
            tracing::warn!(event = event.name(), ?pid, "connection closed");
            if let Some(peer) = peer {
                self.0.service.connection_refused(peer, event.name());
            }
        } else {
            tracing::debug!(event = event.name(), ?pid, "connection");
        }
    }
}

fn group_id(name: &str) -> Result<u32, AppError> {
    if let Ok(number) = name.parse() {
        return Ok(number);
    }
    nix::unistd::Group::from_name(name)
        .ok()
        .flatten()
        .map(|group| group.gid.as_raw())
        .ok_or_else(|| AppError::Group(name.to_owned()))
}
