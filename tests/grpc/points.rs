//! `Enforcement.WatchRevocations` for workloads elsewhere: each has places of its own, and nobody acknowledges for
//! another stream.

use crate::world::{Caller, OTHER, TOOL, World};
use handfast::proto::v1;
use tonic::{Code, Status, Streaming};
use tonic_types::StatusExt as _;
use v1::enforcement_client::EnforcementClient;
use v1::enforcement_point::State;
use v1::operator_client::OperatorClient;
use v1::revocation_event::Event;

const NEAR: &str = "spiffe://example.test/near";
const FAR: &str = "spiffe://example.test/far";

/// An open stream, and its number.
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

/// Told as of a subscription that never was.
fn assert_unknown(refused: &Result<(), Status>) {
    let status = refused.as_ref().expect_err("is not its own");
    assert_eq!(status.code(), Code::PermissionDenied);
    assert_eq!(status.message(), "unknown task");
}

/// Revokes an ID that nobody has.
async fn revoke(operator: &mut OperatorClient<Caller>) {
    let scope = v1::revoke_request::Scope::SpiffeId("spiffe://example.test/nobody".to_owned());
    let request = v1::RevokeRequest {
        scope: Some(scope),
        reason: "test".to_owned(),
        dry_run: false,
    };
    operator.revoke(request).await.expect("is permitted");
}

#[tokio::test]
async fn each_workload_elsewhere_has_places_of_its_own_in_the_feed() {
    let world = World::new().await;
    let near = world.remote_caller(NEAR);
    let first = Stream::open(&near).await;
    let second = Stream::open(&near).await;
    let (_first, _second) = (first.expect("has a place"), second.expect("has a place"));
    // Another connection of the same workload has no other places.
    let again = world.remote_caller(NEAR);
    let refused = Stream::open(&again).await;
    let refused = refused.err().expect("has both its places");
    assert_eq!(refused.code(), Code::ResourceExhausted);
    let details = refused.get_error_details();
    let info = details.error_info().expect("each error has one");
    let limit = info.metadata.get("limit").map(String::as_str);
    assert_eq!(limit, Some("limits.revocation_subscribers_per_uid"));
    // The right ones: another workload elsewhere, and one of this node.
    let far = Stream::open(&world.remote_caller(FAR)).await;
    far.expect("has places of its own");
    let local = Stream::open(&world.caller(TOOL)).await;
    local.expect("has places of its own");
}

#[tokio::test]
async fn a_stream_elsewhere_is_acknowledged_by_whoever_was_told_its_number_and_has_its_id() {
    let world = World::new().await;
    let near = world.remote_caller(NEAR);
    let mut stream = Stream::open(&near).await.expect("has a place");
    let mut operator = OperatorClient::new(world.at_operator_socket());
    revoke(&mut operator).await;
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
