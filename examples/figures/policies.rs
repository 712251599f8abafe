//! What a large policy set costs each step, and what an explanation costs the operator.

use crate::Error;
use crate::figure::{Figure, Size, count, quantile, rounded};
use crate::node::Node;
use handfast::client::{Agent, AgentConfig, OperatorStub};
use handfast::domain::evidence::{Assurance, Evidence};
use handfast::domain::id::{SpiffeId, TaskId};
use handfast::domain::policy::{
    Action, BudgetFacts, CallFacts, Consent, LineFacts, PolicyInput, TaskFacts,
};
use handfast::domain::task::TaskState;
use handfast::domain::time::Time;
use handfast::policy::{CedarPolicy, DEFAULT_POLICY, PolicySource};
use handfast::proto::v1;
use handfast::service::ports::Policy;
use std::fmt::Write;
use std::hint::black_box;
use std::time::Instant;

/// Policies of the large set, the shipped ones included.
const POLICIES: usize = 1_000;

/// Evaluations between two looks at the clock.
const BATCH: usize = 100;

/// One step under a large set: most of its policies name a tool or a performer, as operators write them.
pub(crate) fn decide_1000_policies_us(size: &Size) -> Result<Figure, Error> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("policy.cedar");
    std::fs::write(&path, large_set()?)?;
    let policy = CedarPolicy::load(PolicySource::file(&path))?;
    let policies = policy.summary().policies.len();
    let input = step()?;
    policy
        .evaluate(&input)
        .map_err(|refusal| refusal.explanation)?;
    let mut samples = Vec::with_capacity(size.batches);
    for _ in 0..size.batches {
        let started = Instant::now();
        for _ in 0..BATCH {
            black_box(policy.evaluate(black_box(&input)).is_ok());
        }
        samples.push(started.elapsed().as_secs_f64() * 1e6 / count(BATCH));
    }
    Ok(Figure {
        name: "decide_1000_policies_us",
        value: rounded(quantile(&samples, 500)),
        unit: "us",
        n: size.batches.saturating_mul(BATCH),
        how: format!(
            "policy's answer to one step in this process under {policies} policies (the shipped ones; of the \
             others 1 in 50 is about all, the rest name a tool or a performer), question and entities \
             included; sliced, and equal to the whole set by src/policy/differential.rs; median over batches \
             of {BATCH}"
        ),
    })
}

/// The true reason behind a decision, over the operator's socket.
pub(crate) async fn explain_ms(node: &Node, size: &Size) -> Result<Figure, Error> {
    let agent = Agent::connect(AgentConfig::new(node.path("private/operator.sock"))).await?;
    let mut operator = agent.operator();
    let decision_id = decision(&mut operator).await?;
    let mut samples = Vec::with_capacity(size.calls);
    for _ in 0..size.calls {
        let request = v1::ExplainRequest {
            decision_id: decision_id.clone(),
        };
        let started = Instant::now();
        operator.explain(request).await?;
        samples.push(started.elapsed());
    }
    let how =
        "Operator.Explain of one decision of a running agent, one at a time; its record is on disk";
    Ok(Figure::p50_ms("explain_ms", &samples, how))
}

/// A decision of this agent: a revocation of no task is refused, and the refusal has its ID.
async fn decision(operator: &mut OperatorStub) -> Result<String, Error> {
    let request = v1::RevokeRequest {
        scope: Some(v1::revoke_request::Scope::TaskId(
            TaskId([0xff; 16]).to_string(),
        )),
        reason: "a decision to be explained".to_owned(),
        dry_run: false,
    };
    let Err(status) = operator.revoke(request).await else {
        return Err("there is a task of this name".into());
    };
    let details = tonic_types::StatusExt::get_error_details(&status);
    let id = details
        .error_info()
        .and_then(|info| info.metadata.get("decision_id").cloned())
        .ok_or("a refusal without a decision ID")?;
    // Refusals are folded for a while before their record is durable.
    let started = tokio::time::Instant::now();
    loop {
        let request = v1::ExplainRequest {
            decision_id: id.clone(),
        };
        match operator.explain(request).await {
            Ok(_) => return Ok(id),
            Err(status) if started.elapsed() > std::time::Duration::from_secs(60) => {
                return Err(status.into());
            }
            Err(_) => tokio::time::sleep(std::time::Duration::from_millis(100)).await,
        }
    }
}

fn large_set() -> Result<String, Error> {
    let mut text = DEFAULT_POLICY.to_owned();
    let shipped = handfast::policy::check(DEFAULT_POLICY)?.policies.len();
    for number in 0..POLICIES.saturating_sub(shipped) {
        let policy = match number % 50 {
            0 => "forbid (principal, action == Action::\"step\", resource)\n\
                  when { resource.name like \"admin-*\" && !context.owner_authority };"
                .to_owned(),
            odd if odd % 2 == 1 => format!(
                "permit (principal, action in [Action::\"step\", Action::\"retry\"],\n\
                 resource == Tool::\"spiffe://figures.test/tool-{number}#export\")\n\
                 when {{ context.task.age_ms < 3600000 }};"
            ),
            _ => format!(
                "forbid (principal == Workload::\"spiffe://figures.test/worker-{number}\",\n\
                 action in [Action::\"start\", Action::\"step\"], resource)\n\
                 when {{ context has evidence && context.evidence.traced }};"
            ),
        };
        writeln!(text, "\n@id(\"own-{number}\")\n{policy}")?;
    }
    Ok(text)
}

/// A step that policies of the set name: by its tool and by its performer.
fn step() -> Result<PolicyInput, Error> {
    let id = |path: &str| SpiffeId::new(format!("spiffe://figures.test/{path}"));
    let actor = id("worker-2")?;
    let now = Time(1_000_000);
    Ok(PolicyInput {
        action: Action::Step,
        evidence: Some(Evidence {
            spiffe_ids: vec![actor.clone()],
            assurance: Assurance::Process,
            process: None,
            uid: Some(30),
            cgroup: Some("/system.slice/worker.service".to_owned()),
            executable: None,
            releases: Vec::new(),
            traced: false,
            attested_at: now,
        }),
        actor: Some(actor),
        task: Some(TaskFacts {
            id: TaskId([5; 16]),
            state: TaskState::Working,
            owner: Some(id("assistant")?),
            principal: None,
            server: id("reports")?,
            tool: "build".to_owned(),
            created_at: now,
            deadline: Time(4_600_000),
            last_step: 0,
            legs: 1,
            leg: None,
            line: LineFacts {
                root: TaskId([5; 16]),
                parent: None,
                depth: 0,
            },
            budget: BudgetFacts::default(),
            delegates: Vec::new(),
        }),
        call: Some(CallFacts {
            audience: id("tool-1")?,
            tool: "export".to_owned(),
            owner_authority: true,
        }),
        issuer: None,
        consent: Consent::default(),
        now,
    })
}
