//! Before there is an identity: the reason is named, and the agent comes up once it is gone.

use crate::world::{World, agent_entry, id, within};
use handfast::identity::{Identity, IdentityError, UnixEndpoint, Waiting, waiting_for};
use std::collections::BTreeSet;
use std::time::Duration;

#[tokio::test]
async fn the_reason_for_waiting_is_named() {
    let mut world = World::start("").await;
    let mut config = world.identity_config();

    world.entries("");
    crate::world::eventually(Waiting::NoEntry, || waiting_for(&config)).await;

    world.entries(&format!(
        "{}{}",
        agent_entry(),
        agent_entry().replace("/handfast", "/second")
    ));
    let both = BTreeSet::from([id("/handfast"), id("/second")]);
    crate::world::eventually(Waiting::Ambiguous(both.clone()), || waiting_for(&config)).await;

    config.spiffe_id = Some(id("/third"));
    let expected = Waiting::OtherIdentity {
        wanted: id("/third"),
        offered: both,
    };
    assert_eq!(waiting_for(&config).await, expected);
    let text = expected.to_string();
    assert!(
        text.contains("/second") && text.contains("/third"),
        "{text}"
    );

    world.stop().await;
    assert_eq!(waiting_for(&config).await, Waiting::SocketMissing);
    let endpoint = format!("unix://{}", world.config.entries.display());
    config.endpoint = UnixEndpoint::parse(&endpoint).unwrap();
    assert!(matches!(waiting_for(&config).await, Waiting::Refused(_)));
}

#[tokio::test]
async fn start_waits_for_the_socket_and_then_for_the_entry() {
    let mut world = World::start("").await;
    world.stop().await;
    world.entries("");
    let config = world.identity_config();
    let starting = tokio::spawn(async move { Identity::start(&config).await.unwrap() });
    world.run().await;
    crate::world::eventually(Waiting::NoEntry, || async {
        waiting_for(&world.identity_config()).await
    })
    .await;
    assert!(!starting.is_finished());
    world.entries(&agent_entry());
    assert_eq!(
        *within(starting).await.unwrap().spiffe_id(),
        id("/handfast")
    );
}

#[tokio::test]
async fn a_configured_identity_is_picked_among_several() {
    let world = World::start(&agent_entry().replace("/handfast", "/second")).await;
    for path in ["/handfast", "/second"] {
        let mut config = world.identity_config();
        config.spiffe_id = Some(id(path));
        let identity = within(Identity::start(&config)).await.unwrap();
        assert_eq!(*identity.spiffe_id(), id(path));
    }
}

#[tokio::test]
async fn no_identity_is_picked_by_chance() {
    let world = World::start(&agent_entry().replace("/handfast", "/second")).await;
    let config = world.identity_config();
    let mut starting = tokio::spawn(async move { Identity::start(&config).await.unwrap() });
    let early = tokio::time::timeout(Duration::from_millis(500), &mut starting).await;
    assert!(early.is_err(), "{early:?}");
    world.entries(&agent_entry().replace("/handfast", "/second"));
    let identity = within(starting).await.unwrap();
    assert_eq!(*identity.spiffe_id(), id("/second"));
}

#[tokio::test]
async fn what_is_no_workload_api_is_not_waited_for() {
    let world = World::start("").await;
    let socket = world.path("empty.sock");
    // A gRPC server without services answers `Unimplemented`.
    let _served = crate::served::serve(&socket, tonic::service::Routes::default());
    let mut config = world.identity_config();
    config.endpoint = UnixEndpoint::parse(&format!("unix://{}", socket.display())).unwrap();
    let error = within(Identity::start(&config)).await.unwrap_err();
    assert!(matches!(error, IdentityError::Source { .. }), "{error:?}");
}
