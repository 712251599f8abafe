//! What an operator sees and does.

use crate::life::{create, start};
use crate::world::{MESSAGES, OTHER, OWNER, SERVER, TOOL, WORKER, World};
use handfast::proto::v1;
use prost::Message;
use tonic::Code;
use tonic_types::StatusExt;
use v1::operator_client::OperatorClient;
use v1::tasks_client::TasksClient;

#[tokio::test]
async fn a_task_is_listed_shown_and_revoked() {
    let world = World::new().await;
    let created = create(&world).await;
    let started = start(&world, &created).await;
    let mut operator = OperatorClient::new(world.at_operator_socket());
    let listed = operator.list_tasks(v1::ListTasksRequest::default()).await;
    let listed = listed.expect("is permitted").into_inner();
    let [task] = listed.tasks.as_slice() else {
        panic!("is not one: {listed:?}");
    };
    assert_eq!(task.task_id, created.task_id);
    assert_eq!((task.owner.as_str(), task.server.as_str()), (OWNER, SERVER));
    assert_eq!(task.held_by, format!("{WORKER} pid 1003"));
    assert!(listed.next.is_empty());
    let show = v1::ShowTaskRequest {
        task_id: created.task_id.clone(),
    };
    let shown = operator
        .show_task(show)
        .await
        .expect("is there")
        .into_inner();
    assert_eq!((shown.fence, shown.legs), (started.fence, 1));
    assert_eq!(
        shown.asked,
        [
            format!("pay at {TOOL}"),
            format!("wire at {TOOL}"),
            "left: 4 children within 1 generations".to_owned(),
        ]
    );
    assert!(shown.own.is_empty() && !shown.claimed);
    assert_eq!(shown.requirements.len(), 3);

    let revoke = v1::RevokeRequest {
        scope: Some(v1::revoke_request::Scope::TaskId(created.task_id.clone())),
        reason: "paid twice".to_owned(),
        dry_run: false,
    };
    let nameless = v1::RevokeRequest {
        reason: String::new(),
        ..revoke.clone()
    };
    let refused = operator.revoke(nameless).await.expect_err("says no why");
    assert_eq!(refused.message(), "reason: is required");
    let revoked = operator
        .revoke(revoke)
        .await
        .expect("is permitted")
        .into_inner();
    assert_eq!(revoked.state(), v1::TaskState::Cancelled);
    let working = operator.list_tasks(v1::ListTasksRequest::default()).await;
    assert!(working.expect("is permitted").into_inner().tasks.is_empty());
    let all = v1::ListTasksRequest {
        include_ended: true,
        ..v1::ListTasksRequest::default()
    };
    let all = operator
        .list_tasks(all)
        .await
        .expect("is permitted")
        .into_inner();
    assert_eq!(all.tasks.len(), 1);
    let unknown = v1::ShowTaskRequest {
        task_id: "0197f0a1b2c37d4e8f00112233445566".to_owned(),
    };
    let unknown = operator.show_task(unknown).await.expect_err("is not there");
    assert_eq!(unknown.message(), "unknown task");
}

#[tokio::test]
async fn the_true_reason_is_explained_and_audited() {
    let world = World::new().await;
    let created = create(&world).await;
    let get = v1::GetRequest {
        task_id: created.task_id.clone(),
    };
    let refused = TasksClient::new(world.caller(OTHER)).get(get).await;
    let info = refused
        .expect_err("is foreign")
        .get_details_error_info()
        .expect("has one");
    let decision_id = info.metadata.get("decision_id").expect("is there").clone();
    world.flush().await;
    let mut operator = OperatorClient::new(world.at_operator_socket());
    let explained = operator.explain(v1::ExplainRequest { decision_id }).await;
    let record = explained.expect("is ours").into_inner().record;
    let record = record.expect("is there");
    assert_eq!(
        (record.operation.as_str(), record.allowed),
        ("Tasks.Get", false)
    );
    assert_eq!(
        (record.reason.as_str(), record.uid, record.pid),
        ("no_role", 1005, 1005)
    );
    assert_eq!(record.spiffe_ids, [OTHER]);
    let foreign = v1::ExplainRequest {
        decision_id: "x".to_owned(),
    };
    let foreign = operator.explain(foreign).await.expect_err("is not ours");
    assert_eq!(foreign.code(), Code::InvalidArgument);

    let audit = operator.audit(v1::AuditRequest { from: 1, limit: 0 }).await;
    let records = audit.expect("is permitted").into_inner().records;
    let numbers: Vec<u64> = records.iter().map(|record| record.number).collect();
    assert!(numbers.len() > 2 && numbers.is_sorted());
    assert!(records.contains(&record));
    let too_many = u32::try_from(MESSAGES.page_rows + 1).expect("is small");
    let audit = v1::AuditRequest {
        from: 1,
        limit: too_many,
    };
    let refused = operator.audit(audit).await.expect_err("is too much");
    assert_eq!(refused.message(), "limit: greater than 50");
}

#[tokio::test]
async fn a_page_stops_where_the_reply_is_full() {
    let world = World::new().await;
    let created = create(&world).await;
    for _ in 0..MESSAGES.page_rows {
        let get = v1::GetRequest {
            task_id: created.task_id.clone(),
        };
        let refused = TasksClient::new(world.caller(OTHER)).get(get).await;
        assert!(refused.is_err());
    }
    world.flush().await;
    let mut operator = OperatorClient::new(world.at_operator_socket());
    let mut from = 1;
    let mut pages = 0;
    loop {
        let audit = operator.audit(v1::AuditRequest { from, limit: 0 }).await;
        let page = audit.expect("fits").into_inner();
        assert!(page.encoded_len() <= MESSAGES.reply_bytes);
        let Some(last) = page.records.last() else {
            break;
        };
        assert_eq!(page.records.first().map(|first| first.number), Some(from));
        from = last.number + 1;
        pages += 1;
    }
    assert!(from > 50 && pages > 1, "{from} {pages}");
}

#[tokio::test]
async fn the_status_is_that_of_agent_and_service() {
    let world = World::new().await;
    let created = create(&world).await;
    start(&world, &created).await;
    let mut operator = OperatorClient::new(world.at_operator_socket());
    let status = operator.status(v1::StatusRequest {}).await;
    let status = status.expect("is permitted").into_inner();
    assert_eq!(status.version, env!("CARGO_PKG_VERSION"));
    assert_eq!(
        (status.ready, status.not_ready),
        (false, vec!["attestation".to_owned()])
    );
    assert_eq!(
        (status.live_legs, status.audit_records, status.epoch),
        (1, 7, 1)
    );
    assert_eq!(status.spiffe_id, "spiffe://example.test/handfast");
}
