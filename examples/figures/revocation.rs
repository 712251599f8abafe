//! How long after a revocation something is still accepted, and how soon a running effect hears of it.

use crate::Error;
use crate::figure::{Figure, Size, milliseconds, quantile, rounded};
use crate::load::Load;
use crate::node::{LOAD_ID, Node};
use handfast::client::{
    Agent, AgentConfig, Caller, Create, Grant, Leg, Outcome, Register, RevocationFeed, StepIssued,
    ToolCall, Watched, mint_handle,
};
use handfast::proto::v1;
use std::time::{Duration, Instant};

/// Longer than any pause of a busy machine.
const SILENCE_MAX: Duration = Duration::from_secs(10);

/// `revocation_p99_ms` at `Check`, and pushed, each with its median and maximum in words.
pub(crate) async fn measure(node: &Node, load: &Load, size: &Size) -> Result<[Figure; 2], Error> {
    let agent = node.connect().await?;
    let feed = RevocationFeed::start(&agent.tool(), SILENCE_MAX);
    feed.caught_up().await;
    let operator = Agent::connect(AgentConfig::new(node.path("private/operator.sock"))).await?;
    let (mut checked, mut pushed) = (Vec::new(), Vec::new());
    for _ in 0..size.trials {
        let (last_accept, told) = trial(&agent, &operator, load, &feed).await?;
        checked.push(milliseconds(last_accept));
        pushed.push(milliseconds(told));
    }
    let how = |samples: &[f64], what: &str| {
        format!(
            "{what}, by a process that works, checks and reports without pause; p50 {} ms, max {} ms; \
             counted from sending `revoke`, so its own commit is included",
            rounded(quantile(samples, 500)),
            rounded(quantile(samples, 1000)),
        )
    };
    Ok([
        Figure {
            name: "revocation_p99_ms",
            value: rounded(quantile(&checked, 990)),
            unit: "ms",
            n: checked.len(),
            how: how(
                &checked,
                "last `fresh` of Check after a revocation of the task",
            ),
        },
        Figure {
            name: "revocation_pushed_p99_ms",
            value: rounded(quantile(&pushed, 990)),
            unit: "ms",
            n: pushed.len(),
            how: how(
                &pushed,
                "until the running effect's handler was told over WatchRevocations",
            ),
        },
    ])
}

pub(crate) fn call() -> Result<ToolCall, Error> {
    Ok(ToolCall::new(LOAD_ID, "measure", "{}")?)
}

/// One task that is revoked while its steps are carried out.
async fn trial(
    agent: &Agent,
    operator: &Agent,
    load: &Load,
    feed: &RevocationFeed,
) -> Result<(Duration, Duration), Error> {
    let (task_id, leg) = begin(agent, load, Grant::nothing().tool(LOAD_ID, "measure")).await?;
    let Some(mut first) = step(&leg, 1, load, feed).await? else {
        return Err("a step of a running task was refused".into());
    };
    let sent = Instant::now();
    let revoke = async {
        let request = v1::RevokeRequest {
            scope: Some(v1::revoke_request::Scope::TaskId(task_id)),
            reason: "measured".to_owned(),
            dry_run: false,
        };
        operator.operator().revoke(request).await?;
        Ok::<_, Error>(())
    };
    let work = async {
        let mut last_accept = Duration::ZERO;
        for number in 2.. {
            // Refused once the task has ended, or not: an outcome is evidence and ends nothing.
            drop(agent.tool().report(first.fresh(), Outcome::Done).await);
            let Ok(Some(next)) = step(&leg, number, load, feed).await else {
                break;
            };
            last_accept = sent.elapsed();
            first = next;
        }
        first.stopped().await;
        (last_accept, sent.elapsed())
    };
    let (revoked, measured) = tokio::join!(revoke, work);
    revoked?;
    Ok(measured)
}

/// A new task with this grant, and its leg.
pub(crate) async fn begin(
    agent: &Agent,
    load: &Load,
    asked: Grant,
) -> Result<(String, Leg), Error> {
    let create = Create::by(call()?).granting(asked).performed_by(LOAD_ID);
    let issued = agent.owner().issue_create(&load.hand, create).await?;
    let token = issued.token.ok_or("no create token")?;
    let caller = Caller::with_token(&token, load.proof());
    let register = Register::new(caller, call()?, mint_handle()?);
    let registered = agent.server().create(register).await?;
    let leg = agent
        .worker()
        .start(registered.work_reference(), &load.hand)
        .await?;
    Ok((registered.task_id().to_owned(), leg))
}

/// Asks for a step and checks its token; `None` where either is refused.
async fn step(
    leg: &Leg,
    number: u32,
    load: &Load,
    feed: &RevocationFeed,
) -> Result<Option<Box<handfast::client::Effect>>, Error> {
    let StepIssued::Token(issued) = leg.issue(number, call()?, None).await? else {
        return Ok(None);
    };
    Ok(
        match feed.check(&issued.token, load.proof(), call()?).await? {
            Watched::Fresh(effect) => Some(effect),
            Watched::Denied(_) | Watched::Repeat(_) => None,
        },
    )
}
