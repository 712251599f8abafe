//! The stream behind a feed of revocations: opened, followed, opened again.

use super::{Ended, Shared};
use crate::client::agent::Stub;
use crate::proto::v1 as proto;
use proto::enforcement_client::EnforcementClient;
use proto::revocation_event::Event;
use proto::revoked_scope::Scope;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;
use tonic_types::StatusExt as _;

/// The pause before a feed that broke off is opened again.
const PAUSE: Duration = Duration::from_millis(100);

/// Falls silent when nothing was heard for too long.
pub(super) async fn guard(shared: Arc<Shared>) {
    loop {
        let silent_at = shared.lock().heard.checked_add(shared.silence_max);
        match silent_at {
            Some(at) if at > Instant::now() => tokio::time::sleep_until(at).await,
            Some(_) | None => {
                shared.silent();
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

/// Opens the stream, and again when it ends.
pub(super) async fn read(mut client: EnforcementClient<Stub>, shared: Arc<Shared>) {
    loop {
        if let Err(error) = follow(&mut client, &shared).await {
            tracing::debug!(%error, "the feed of revocations broke off");
            if is_gap(&error) {
                // What ended meanwhile is not to be learned any more: nothing that runs may go on.
                shared.lost();
            }
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// Whether the agent keeps nothing from there on where the feed would resume.
fn is_gap(error: &tonic::Status) -> bool {
    let info = error.get_details_error_info();
    info.is_some_and(|info| info.reason == "feed_gap")
}

/// Follows one stream to its end, or until it is silent.
async fn follow(
    client: &mut EnforcementClient<Stub>,
    shared: &Shared,
) -> Result<(), tonic::Status> {
    let silence = |_elapsed| tonic::Status::unavailable("the feed is silent");
    let (after, mark) = shared.lock().after.clone().unzip();
    let mark = mark.unwrap_or_default();
    let ask = client.watch_revocations(proto::WatchRevocationsRequest { after, mark });
    let opened = tokio::time::timeout(shared.silence_max, ask).await;
    let mut events = opened.map_err(silence)??.into_inner();
    let mut subscription = 0;
    loop {
        let next = tokio::time::timeout(shared.silence_max, events.message()).await;
        let Some(event) = next.map_err(silence)?? else {
            return Ok(());
        };
        let sequence = event.sequence;
        let told = (sequence, event.mark);
        let ended = match event.event {
            Some(Event::Opened(opened)) => {
                subscription = opened.subscription;
                shared.heard(told);
                continue;
            }
            Some(Event::Heartbeat(heartbeat)) => {
                if heartbeat.behind {
                    shared.heard(told);
                } else {
                    shared.caught_up(told);
                }
                continue;
            }
            Some(Event::Task(task)) => Ended::Task(task.task_id),
            Some(Event::Scope(proto::RevokedScope { scope: Some(scope) })) => Ended::Scope(scope),
            // Of a later version: nobody here knows what it ends.
            Some(Event::Scope(_)) | None => Ended::Scope(Scope::Epoch(u64::MAX)),
        };
        // Told first, then acknowledged.
        shared.ended(&ended);
        shared.heard(told);
        let acknowledge = proto::AcknowledgeRevocationsRequest {
            subscription,
            sequence,
        };
        client.acknowledge_revocations(acknowledge).await?;
    }
}
