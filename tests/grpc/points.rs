//! `Enforcement.WatchRevocations` for workloads elsewhere: each has places of its own, and nobody acknowledges for
//! another stream.

use crate::world::{Caller, OTHER, TOOL, World};
use handfast::proto::v1;
use std::time::{Duration, Instant};
use tonic::{Code, Status, Streaming};
use tonic_types::StatusExt as _;
use v1::enforcement_client::EnforcementClient;
use v1::enforcement_point::State;
use v1::operator_client::OperatorClient;
use v1::revocation_event::Event;

const NEAR: &str = "spiffe://example.test/near";
const FAR: &str = "spiffe://example.test/far";
/// How long a closed stream may take to leave its place.
const PATIENCE: Duration = Duration::from_secs(10);

/// An open stream, and its number.
#[derive(Debug)]
struct Stream {
    events: Streaming<v1::RevocationEvent>,
    number: u64,
}

impl Stream {
    async fn open(caller: &Caller) -> Result<Self, Status> {
        let mut enforcement = EnforcementClient::new(caller.clone());
        let ask = v1::WatchRevocationsRequest::default();
        let mut events = enforcement.watch_revocations(ask).await?.into_inner();
        let first = events.message().await?.expect("is told something");
        let Some(Event::Opened(opened)) = first.event else {
            panic!("not opened: {first:?}");
        };
        let number = opened.subscription;
        Ok(Self { events, number })
    }

    /// The number of the next ending.
    async fn told(&mut self) -> u64 {
        loop {
            let event = self.events.message().await.expect("goes on");
            let event = event.expect("is told something");
            if let Some(Event::Scope(_)) = event.event {
                return event.sequence;
            }
        }
    }
}

async fn acknowledge(caller: &Caller, subscription: u64, sequence: u64) -> Result<(), Status> {
    let mut enforcement = EnforcementClient::new(caller.clone());
    let told = v1::AcknowledgeRevocationsRequest {
        subscription,
        sequence,
    };
    enforcement.acknowledge_revocations(told).await.map(drop)
}

/// The limit that was reached.
fn limit_of(refused: &Status) -> String {
    assert_eq!(refused.code(), Code::ResourceExhausted);
    let details = refused.get_error_details();
    let info = details.error_info().expect("each error has one");
    info.metadata.get("limit").cloned().expect("names it")
}

/// Told as of a subscription that never was.
fn assert_unknown(refused: &Result<(), Status>) {
    let status = refused.as_ref().expect_err("is not its own");
    assert_eq!(status.code(), Code::PermissionDenied);
    assert_eq!(status.message(), "unknown task");
}

/// To revoke an ID that nobody has.
fn of(nobody: &str) -> v1::RevokeRequest {
    let id = format!("spiffe://example.test/{nobody}");
    v1::RevokeRequest {
        scope: Some(v1::revoke_request::Scope::SpiffeId(id)),
        reason: "test".to_owned(),
        dry_run: false,
    }
}

async fn revoke(operator: &mut OperatorClient<Caller>, nobody: &str) {
    operator.revoke(of(nobody)).await.expect("is permitted");
}

#[tokio::test]
async fn each_workload_elsewhere_has_places_of_its_own_in_the_feed() {
    let world = World::with(|_, settings| settings.revocation_subscribers_max = 8).await;
    let near = world.remote_caller(NEAR);
    let first = Stream::open(&near).await;
    let second = Stream::open(&near).await;
    let (_first, _second) = (first.expect("has a place"), second.expect("has a place"));
    // Another connection of the same workload has no other places.
    let again = world.remote_caller(NEAR);
    let refused = Stream::open(&again).await;
    let refused = refused.expect_err("has both its places");
    assert_eq!(limit_of(&refused), "limits.revocation_subscribers_per_uid");
    // The right ones: another workload elsewhere, and one of this node.
    let far = Stream::open(&world.remote_caller(FAR)).await;
    far.expect("has places of its own");
    let local = Stream::open(&world.caller(TOOL)).await;
    local.expect("has places of its own");
}

#[tokio::test]
async fn all_workloads_elsewhere_together_leave_half_of_the_feed_to_this_node() {
    let world = World::with(|_, settings| settings.revocation_subscribers_max = 4).await;
    let near = Stream::open(&world.remote_caller(NEAR)).await;
    let far = Stream::open(&world.remote_caller(FAR)).await;
    let (_near, far) = (near.expect("has a place"), far.expect("has a place"));
    // The wrong one: an ID that has no stream yet, while there are places for others.
    let third = world.remote_caller("spiffe://example.test/third");
    let refused = Stream::open(&third).await;
    let refused = refused.expect_err("theirs are all taken");
    assert_eq!(limit_of(&refused), "limits.revocation_subscribers");
    // The right ones: processes of this node.
    let first = Stream::open(&world.caller(TOOL)).await;
    let _first = first.expect("has a place");
    let second = Stream::open(&world.caller(OTHER)).await;
    let _second = second.expect("has a place");
    // And the third, once one elsewhere has gone.
    drop(far);
    let begin = Instant::now();
    while let Err(refused) = Stream::open(&third).await {
        assert!(begin.elapsed() < PATIENCE, "{refused:?}");
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn as_many_receipts_are_remembered_as_the_limit_says() {
    let world = World::with(|_, settings| settings.receipts_max = 2).await;
    let mut stream = Stream::open(&world.remote_caller(NEAR)).await;
    let stream = stream.as_mut().expect("has a place");
    let mut operator = OperatorClient::new(world.at_operator_socket());
    let mut sequences = Vec::new();
    for nobody in ["one", "two", "three"] {
        revoke(&mut operator, nobody).await;
        sequences.push(stream.told().await);
    }
    let mut remembered = Vec::new();
    for sequence in sequences {
        let receipt = operator.receipt(v1::ReceiptRequest { sequence }).await;
        remembered.push(receipt.is_ok());
    }
    assert_eq!(remembered, [false, true, true]);
}

#[tokio::test]
async fn the_status_says_how_many_revoked_ids_are_kept_and_a_refusal_what_keeps_them() {
    let world = World::with(|_, settings| settings.limits.revoked_ids_max = 2).await;
    let mut operator = OperatorClient::new(world.at_operator_socket());
    revoke(&mut operator, "one").await;
    revoke(&mut operator, "two").await;
    let spiffe_id = "spiffe://example.test/two".to_owned();
    let lift = v1::LiftRequest {
        spiffe_id,
        reason: "test".to_owned(),
    };
    operator.lift(lift).await.expect("is permitted");
    let status = operator.status(v1::StatusRequest {}).await;
    let status = status.expect("is permitted").into_inner();
    let kept = (status.revoked_ids_kept, status.revoked_ids_lifted);
    assert_eq!((kept, status.revoked_ids_max), ((2, 1), 2));
    // A third finds no place, and the record says why the lifted one still has its own.
    let refused = operator.revoke(of("three")).await.expect_err("is full");
    let details = refused.get_error_details();
    let info = details.error_info().expect("each error has one");
    let decision_id = info.metadata.get("decision_id").expect("has one").clone();
    world.flush().await;
    let explained = operator.explain(v1::ExplainRequest { decision_id }).await;
    let record = format!("{:?}", explained.expect("is there").into_inner());
    for word in ["limits.revoked_ids", "lifted", "tasks.retention"] {
        assert!(record.contains(word), "{record}");
    }
    // The right one: an ID that has a place is revoked again.
    revoke(&mut operator, "two").await;
}

#[tokio::test]
async fn a_stream_elsewhere_is_acknowledged_by_whoever_was_told_its_number_and_has_its_id() {
    let world = World::new().await;
    let near = world.remote_caller(NEAR);
    let mut stream = Stream::open(&near).await.expect("has a place");
    let mut operator = OperatorClient::new(world.at_operator_socket());
    revoke(&mut operator, "nobody").await;
    let sequence = stream.told().await;
    let state = async |operator: &mut OperatorClient<Caller>| {
        let receipt = operator.receipt(v1::ReceiptRequest { sequence }).await;
        let receipt = receipt.expect("is remembered").into_inner();
        let [point] = receipt.points.as_slice() else {
            panic!("is not one: {receipt:?}");
        };
        point.state()
    };
    // A twin with the same SVID has a stream of its own, and its number says nothing of the other's.
    let twin = world.remote_caller(NEAR);
    let own = Stream::open(&twin).await.expect("has a place");
    let near_by = [
        0,
        1,
        2,
        own.number.wrapping_sub(1),
        own.number.wrapping_add(1),
    ];
    for guessed in near_by {
        let refused = acknowledge(&twin, guessed, sequence).await;
        assert_unknown(&refused);
    }
    acknowledge(&twin, own.number, sequence)
        .await
        .expect("is its own");
    // Others have the number and not the ID.
    for stranger in [world.remote_caller(FAR), world.caller(OTHER)] {
        let refused = acknowledge(&stranger, stream.number, sequence).await;
        assert_unknown(&refused);
    }
    assert_eq!(state(&mut operator).await, State::Silent);
    // The right one, over a new connection.
    let again = world.remote_caller(NEAR);
    acknowledge(&again, stream.number, sequence)
        .await
        .expect("is its own");
    assert_eq!(state(&mut operator).await, State::Stopped);
}
