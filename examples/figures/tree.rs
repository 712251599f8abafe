//! How long it takes to end a large tree: one commit, whatever its size.

use crate::Error;
use crate::figure::{Figure, Size, milliseconds, rounded};
use crate::load::Load;
use crate::node::{LOAD_ID, Node};
use crate::revocation::{begin, call};
use handfast::client::{
    Agent, AgentConfig, Caller, Checked, Child, Create, Grant, Register, StepIssued, ToolCall,
    mint_handle,
};
use handfast::proto::v1;
use std::time::Instant;
use tokio::task::JoinSet;

/// Children cut in one commit.
const PER_SPAWN: usize = 500;
/// Children that are made tasks of at a time.
const AT_ONCE: usize = 16;

/// `cancel_tree_10k_ms`: from sending `revoke tree` to its answer, with every child a task of its own.
pub(crate) async fn cancel_ms(node: &Node, load: &Load, size: &Size) -> Result<Figure, Error> {
    let agent = node.connect().await?;
    let operator = Agent::connect(AgentConfig::new(node.path("private/operator.sock"))).await?;
    let asked = Grant::nothing()
        .tool(LOAD_ID, "measure")
        .tool(LOAD_ID, "part")
        .fanning_out(u32::try_from(size.tree)?, 1);
    let (root, leg) = begin(&agent, load, asked).await?;
    let step = Grant::nothing().tool(LOAD_ID, "measure").steps(1);
    let mut children = Vec::new();
    while children.len() < size.tree {
        let count = PER_SPAWN.min(size.tree.saturating_sub(children.len()));
        let part = part()?;
        let each = (0..count).map(|_| Child::by(&part).granting(step.clone()));
        children.extend(leg.spawn(each, None).await?);
    }
    let references = spend(&agent, load, children).await?;
    let last = references.last().ok_or("no child")?;
    let below = agent.worker().start(last.clone(), &load.hand).await?;
    let StepIssued::Token(token) = below.issue(1, call()?, None).await? else {
        return Err("a child's step was refused".into());
    };
    let sent = Instant::now();
    let revoke = v1::RevokeRequest {
        scope: Some(v1::revoke_request::Scope::TreeOfTaskId(root)),
        reason: "measured".to_owned(),
        dry_run: false,
    };
    operator.operator().revoke(revoke).await?;
    let took = sent.elapsed();
    match agent
        .tool()
        .check(&token.token, load.proof(), call()?)
        .await?
    {
        Checked::Denied(no) if no.reason == "cancelled" => {}
        other @ (Checked::Denied(_) | Checked::Fresh(_) | Checked::Repeat(_)) => {
            return Err(format!("a child's step after the end of its root: {other:?}").into());
        }
    }
    Ok(Figure {
        name: "cancel_tree_10k_ms",
        value: rounded(milliseconds(took)),
        unit: "ms",
        n: 1,
        how: format!(
            "`revoke tree` of a root with {} live children, each a task of its own, until its answer: one commit; \
             the token of the last child's step was refused right after",
            size.tree
        ),
    })
}

/// What makes a child at the server.
fn part() -> Result<ToolCall, Error> {
    Ok(ToolCall::new(LOAD_ID, "part", "{}")?)
}

/// Makes a task of every child; their work references, in order.
async fn spend(agent: &Agent, load: &Load, children: Vec<String>) -> Result<Vec<String>, Error> {
    let mut references = Vec::with_capacity(children.len());
    for some in children.chunks(AT_ONCE) {
        let mut spending = JoinSet::new();
        for (place, child) in some.iter().enumerate() {
            let create = Create::by(part()?).spending(child).performed_by(LOAD_ID);
            let (agent, hand, proof) = (agent.clone(), load.hand.clone(), load.proof().clone());
            spending.spawn(async move {
                let issued = agent.owner().issue_create(&hand, create).await?;
                let token = issued.token.ok_or("no create token")?;
                let caller = Caller::with_token(&token, &proof);
                let register = Register::new(caller, part()?, mint_handle()?);
                let made = agent.server().create(register).await?;
                Ok::<_, Error>((place, made.work_reference().to_owned()))
            });
        }
        let mut made = spending
            .join_all()
            .await
            .into_iter()
            .collect::<Result<Vec<_>, _>>()?;
        made.sort_unstable();
        references.extend(made.into_iter().map(|(_, reference)| reference));
    }
    Ok(references)
}
