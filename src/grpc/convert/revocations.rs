//! Revocations: scopes from operators, endings and receipts to whoever has to hear of them.

use super::answers;
use super::field::{self, FormError, InField as _, InvalidField};
use crate::domain::id::{Epoch, SpiffeId};
use crate::domain::revocation::{Ended, Ending, Scope, Wide};
use crate::domain::time::Time;
use crate::proto::v1;
use crate::service::{FeedEvent, Point, PointState, Receipt, Stops, Told};
use v1::enforcement_point::State;
use v1::revocation_event::Event;

/// `Operator.Revoke`: what is to be revoked.
pub(in crate::grpc) fn scope(
    scope: Option<v1::revoke_request::Scope>,
) -> Result<Scope, InvalidField> {
    use v1::revoke_request::Scope as Wire;
    match scope {
        None => Err(FormError::Missing.at("scope")),
        Some(Wire::TaskId(id)) => Ok(Scope::Task(field::task_id(&id).field("task_id")?)),
        Some(Wire::TreeOfTaskId(id)) => {
            Ok(Scope::Tree(field::task_id(&id).field("tree_of_task_id")?))
        }
        Some(Wire::SpiffeId(id)) => Ok(Scope::Wide(Wide::SpiffeId(spiffe_id(&id)?))),
        Some(Wire::Epoch(epoch)) => Ok(Scope::Wide(Wide::Epoch(Epoch(epoch)))),
        Some(Wire::BeforeMs(ms)) => Ok(Scope::Wide(Wide::Before(Time(ms)))),
    }
}

/// The field `spiffe_id`.
pub(in crate::grpc) fn spiffe_id(text: &str) -> Result<SpiffeId, InvalidField> {
    field::spiffe_id(text).field("spiffe_id")
}

/// What a revocation would stop.
pub(in crate::grpc) fn would_stop(stops: &Stops) -> v1::WouldStop {
    v1::WouldStop {
        tasks: stops.tasks,
        legs: stops.legs,
        tokens: stops.tokens,
        reachable: stops.reachable,
        children: stops.children,
        task_ids: stops.named.iter().map(ToString::to_string).collect(),
    }
}

/// Who has stopped.
pub(in crate::grpc) fn receipt(receipt: Receipt) -> v1::ReceiptResponse {
    let point = |point: Point| {
        let (state, after) = match point.state {
            PointState::Gone => (State::Gone, None),
            PointState::Silent => (State::Silent, None),
            PointState::Stopped(after) => (State::Stopped, Some(after)),
            PointState::Unwatched => (State::Unwatched, None),
        };
        v1::EnforcementPoint {
            spiffe_id: point.spiffe_id.to_string(),
            pid: point.pid.unwrap_or_default(),
            state: state.into(),
            after_ms: after.map(answers::duration_ms).unwrap_or_default(),
        }
    };
    v1::ReceiptResponse {
        points: receipt.points.into_iter().map(point).collect(),
    }
}

/// One event of the feed.
pub(in crate::grpc) fn revocation_event(told: Told, now: Time) -> v1::RevocationEvent {
    let Told { event, mark } = told;
    let (event, sequence, at) = match event {
        FeedEvent::Opened {
            subscription,
            sequence,
            heartbeat,
        } => {
            let opened = v1::RevocationsOpened {
                subscription,
                heartbeat_ms: answers::duration_ms(heartbeat),
            };
            (Event::Opened(opened), sequence, now)
        }
        FeedEvent::Heartbeat { sequence, behind } => {
            let heartbeat = v1::RevocationHeartbeat { behind };
            (Event::Heartbeat(heartbeat), sequence, now)
        }
        FeedEvent::Ended { sequence, ending } => {
            let Ending { at, ended } = ending;
            (ended_event(ended), sequence, at)
        }
    };
    v1::RevocationEvent {
        event: Some(event),
        sequence: sequence.0,
        at_ms: answers::at_ms(at),
        mark: mark.0.to_vec(),
    }
}

fn ended_event(ended: Ended) -> Event {
    use v1::revoked_scope::Scope as Wire;
    let scope = match ended {
        Ended::Task(task, state) => {
            return Event::Task(v1::TaskEnded {
                task_id: task.to_string(),
                state: answers::task_state(state),
            });
        }
        Ended::Wide(Wide::Before(time)) => Wire::BeforeMs(answers::at_ms(time)),
        Ended::Wide(Wide::Epoch(epoch)) => Wire::Epoch(epoch.0),
        Ended::Wide(Wide::SpiffeId(id)) => Wire::SpiffeId(id.to_string()),
    };
    Event::Scope(v1::RevokedScope { scope: Some(scope) })
}
