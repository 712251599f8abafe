//! What a tool does around an effect, by the library: it stops, comes too late, or is restarted.

use crate::solo::{PATIENCE, Solo, alone};
use handfast::client::{
    Agent, AgentConfig, Begun, Checked, Effect, Fences, Fresh, Outcome, StaleFence, StepState,
    Stop, Token, ToolCall,
};
use std::time::Duration;
use tokio::sync::Notify;

const POLL_INTERVAL: Duration = Duration::from_millis(20);

async fn fresh(solo: &Solo, (token, call): (Token, ToolCall)) -> Fresh {
    let checked = solo.agent.tool().check(&token, &solo.proof, call).await;
    match checked.unwrap() {
        Checked::Fresh(fresh) => *fresh,
        other @ (Checked::Denied(_) | Checked::Repeat(_)) => panic!("{other:?}"),
    }
}

/// As in the README: acts until it is told to stop, and reports either way.
async fn act(solo: &Solo, effect: Effect, done: &Notify) -> (Option<Stop>, StepState) {
    let tool = solo.agent.tool();
    let (outcome, stopped) = tokio::select! {
        () = done.notified() => (Outcome::Done, None),
        why = effect.stopped() => (Outcome::NotDone, Some(why)),
    };
    let state = tool.report(effect.fresh(), outcome).await.unwrap();
    (stopped, state)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_effect_is_done_or_told_to_stop_and_reported_either_way() {
    let job = tokio::task::block_in_place(alone);
    let mut solo = Solo::begin(&job).await;
    let feed = solo.feed().await;
    let done = Notify::new();
    let mut begun = Vec::new();
    for _ in 0..2 {
        let effect = solo.begin_effect(&feed).await;
        if begun.is_empty() {
            done.notify_one();
            begun.push(act(&solo, effect, &done).await);
        } else {
            let id = effect.fresh().task().task_id.clone();
            let revoke = async {
                tokio::task::block_in_place(|| {
                    let verb = ["revoke", "task", &id, "--why", "test"];
                    job.node.operator_json(&verb);
                });
            };
            let (ended, ()) = tokio::join!(act(&solo, effect, &done), revoke);
            begun.push(ended);
        }
    }
    let undone = (Some(Stop::Revoked), StepState::NotDone);
    assert_eq!(begun, [(None, StepState::Done), undone]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_effect_that_was_held_up_and_overtaken_is_refused_at_the_resource() {
    let job = tokio::task::block_in_place(alone);
    let mut solo = Solo::begin(&job).await;
    let fences = Fences::new(10, Duration::from_secs(600));
    let token = solo.token().await;
    let held_up = fresh(&solo, token).await;
    // Nobody knows, and the owner says that it did not happen.
    let tool = solo.agent.tool();
    tool.report(&held_up, Outcome::Unknown).await.unwrap();
    let handover = solo.agent.handover();
    let settled = async {
        // Not before its effect can begin no more.
        while handover.resolve(solo.task.clone(), 1, false).await.is_err() {
            tokio::time::sleep(POLL_INTERVAL).await; // poll: the owner's word counts
        }
    };
    tokio::time::timeout(PATIENCE, settled).await.unwrap();
    let retry = fresh(&solo, solo.again().await).await;
    assert_eq!(retry.step(), held_up.step());
    assert_eq!(retry.idempotency_key(), held_up.idempotency_key());
    assert!(retry.fence() > held_up.fence());
    fences.admit(&retry).unwrap();
    let newest = retry.fence();
    assert_eq!(
        fences.admit(&held_up),
        Err(StaleFence::Overtaken { newest })
    );
    // One effect may take several writes.
    fences.admit(&retry).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tool_reports_after_its_restart_what_it_had_begun() {
    let job = tokio::task::block_in_place(alone);
    let mut solo = Solo::begin(&job).await;
    let token = solo.token().await;
    // Kept by the tool before the effect, and read again after its restart.
    let kept = {
        let Begun {
            task_id,
            step,
            fence,
            jti,
        } = fresh(&solo, token).await.begun();
        (task_id, step, fence, jti)
    };
    let config = AgentConfig::new(job.node.socket());
    let restarted = Agent::connect(config).await.unwrap().tool();
    let (task_id, step, fence, jti) = kept;
    let begun = Begun {
        task_id,
        step,
        fence,
        jti,
    };
    let other = Begun {
        fence: fence + 1,
        ..begun.clone()
    };
    assert!(restarted.report_begun(&other, Outcome::Done).await.is_err());
    let state = restarted.report_begun(&begun, Outcome::Done).await;
    assert_eq!(state.unwrap(), StepState::Done);
    // The first word counts, and may be said again.
    let again = restarted.report_begun(&begun, Outcome::Done).await;
    assert_eq!(again.unwrap(), StepState::Done);
}
