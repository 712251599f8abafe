//! `Tasks.Watch`: its streams end with their connection, and there are so many and no more.

use crate::life::create;
use crate::world::{Caller, OTHER, SERVER, World};
use handfast::proto::v1;
use tonic::{Code, Status, Streaming};
use tonic_types::StatusExt as _;
use v1::tasks_client::TasksClient;

async fn watch(caller: &Caller, task_id: &str) -> Result<Streaming<v1::TaskEvent>, Status> {
    let task_id = task_id.to_owned();
    let mut tasks = TasksClient::new(caller.clone());
    let watched = tasks.watch(v1::WatchTaskRequest { task_id }).await;
    watched.map(tonic::Response::into_inner)
}

fn limit_of(status: &Status) -> (Code, String) {
    let details = status.get_error_details();
    let info = details.error_info().expect("each error has one");
    let limit = info.metadata.get("limit").cloned();
    (status.code(), limit.unwrap_or_default())
}

#[tokio::test]
async fn a_watch_ends_with_its_connection() {
    let world = World::new().await;
    let created = create(&world).await;
    let server = world.caller(SERVER);
    let mut events = watch(&server, &created.task_id).await.expect("is watched");
    server.closing.0.cancel();
    let told = events.message().await.expect("goes on").expect("was told");
    assert_eq!(told.state(), v1::TaskState::Working);
    assert!(events.message().await.expect("ends well").is_none());
}

#[tokio::test]
async fn a_watch_of_an_ended_task_tells_so_and_ends() {
    let world = World::new().await;
    let created = create(&world).await;
    let server = world.caller(SERVER);
    let finish = v1::FinishRequest {
        task_id: created.task_id.clone(),
        completed: true,
        ..v1::FinishRequest::default()
    };
    let mut tasks = TasksClient::new(server.clone());
    tasks.finish(finish).await.expect("is finished");
    let mut events = watch(&server, &created.task_id).await.expect("is watched");
    let told = events.message().await.expect("goes on").expect("was told");
    assert_eq!(told.state(), v1::TaskState::Completed);
    assert!(events.message().await.expect("ends well").is_none());
}

#[tokio::test]
async fn one_user_has_so_many_watches_and_a_closed_one_makes_room() {
    let world = World::new().await;
    let created = create(&world).await;
    let server = world.caller(SERVER);
    let first = watch(&server, &created.task_id).await.expect("is watched");
    let _second = watch(&server, &created.task_id).await.expect("is watched");
    let refused = watch(&server, &created.task_id).await.expect_err("is full");
    let limit = "limits.watches_per_uid".to_owned();
    assert_eq!(limit_of(&refused), (Code::ResourceExhausted, limit));
    // A stranger's attempt takes no place, and tells it nothing.
    let stranger = world.caller(OTHER);
    for _ in 0..3 {
        let refused = watch(&stranger, &created.task_id).await;
        let refused = refused.expect_err("has no role");
        assert_eq!(refused.message(), "unknown task");
    }
    drop(first);
    // The stream's own task is told of the drop; until then there is no room.
    loop {
        match watch(&server, &created.task_id).await {
            Ok(_) => break,
            Err(status) => assert_eq!(limit_of(&status).0, Code::ResourceExhausted),
        }
        tokio::task::yield_now().await;
    }
}
