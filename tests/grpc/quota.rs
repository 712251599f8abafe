//! What one owner may have of the agent at a time.

use crate::life::{create_as, register, start};
use crate::world::{OTHER, OWNER, WORKER, World};
use handfast::proto::v1;
use tonic::Code;
use tonic_types::StatusExt as _;
use v1::legs_client::LegsClient;

const HANDLES: [&str; 4] = [
    "3f0c5f0e-5d5a-4a3f-9d3c-0a8d3e0e6b01",
    "3f0c5f0e-5d5a-4a3f-9d3c-0a8d3e0e6b02",
    "3f0c5f0e-5d5a-4a3f-9d3c-0a8d3e0e6b03",
    "3f0c5f0e-5d5a-4a3f-9d3c-0a8d3e0e6b04",
];

#[tokio::test]
async fn an_owner_has_no_more_live_tasks_than_the_limit() {
    let world = World::with(|_, settings| settings.limits.tasks_per_owner = 2).await;
    let [first, second, third, others] = HANDLES;
    let created = create_as(&world, OWNER, first).await;
    create_as(&world, OWNER, second).await;
    let refused = register(&world, OWNER, third)
        .await
        .expect_err("is one too many");
    assert_eq!(refused.code(), Code::ResourceExhausted);
    assert!(
        refused.message().contains("limits.tasks_per_owner"),
        "{refused:?}"
    );
    let info = refused.get_details_error_info().expect("has one");
    assert!(info.metadata.contains_key("decision_id"));
    // Others have their own, and an ended task makes room.
    create_as(&world, OTHER, others).await;
    let leg = start(&world, &created).await.leg;
    let end = v1::EndRequest {
        task_id: created.task_id,
        leg,
        outcome: v1::end_request::Outcome::Completed.into(),
        request_id: vec![1],
    };
    let mut legs = LegsClient::new(world.caller(WORKER));
    legs.end(end).await.expect("is permitted");
    create_as(&world, OWNER, third).await;
}
