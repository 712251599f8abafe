//! Proofs about a set: that it never fails to evaluate, and that it asks for nothing beyond the guard
//! rails, for every request that the schema allows.
//!
//! Cedar's symbolic compiler turns a question into formulas, cvc5 answers it. A counterexample is a
//! request with its entities. Only in builds with the feature `prove`; never part of an agent.

use super::compile::Engine;
use super::error::PolicyError;
use super::{GUARD_RAILS, bounds};
use cedar_policy::{Authorizer, Effect, Policy, PolicyId, PolicySet, RequestEnv, Schema};
use cedar_policy_symcc::solver::{LocalSolver, SolverError};
use cedar_policy_symcc::{CedarSymCompiler, CompiledPolicy, CompiledPolicySet, Env};
use serde_json::Value;
use std::collections::BTreeMap;

/// How long the solver may think about one question, in milliseconds.
const SOLVER_MS: u32 = 60_000;

/// What was asked of a set, in every environment, and what came out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proof {
    /// Each claim, in order.
    pub claims: Vec<Claim>,
    /// How many kinds of request (type of principal, action, type of resource) each was proved for.
    pub environments: usize,
}

/// One claim about a set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// `never-errors`, or the ID of a guard rail.
    pub name: String,
    /// The claim in words.
    pub says: String,
    /// A request that shows it wrong, in lines; none where it is proved.
    pub counterexample: Option<Vec<String>>,
}

impl Proof {
    /// Whether every claim is proved.
    #[must_use]
    pub fn holds(&self) -> bool {
        self.claims
            .iter()
            .all(|claim| claim.counterexample.is_none())
    }
}

/// Why nothing could be proved.
#[derive(Debug, thiserror::Error)]
pub enum ProveError {
    /// The guard rails are no good set.
    #[error("guard rails are not taken")]
    Guards(#[source] PolicyError),
    /// A guard rail is a `forbid`.
    #[error("guard rail `{0}` is a permit; each rail forbids what no set may ask for")]
    Permit(String),
    /// The set is no good set.
    #[error("policy set is not taken")]
    Set(#[source] PolicyError),
    /// The solver cannot be started.
    #[error("solver cvc5 cannot be started: install it (Debian: cvc5), or name it in CVC5")]
    Solver(#[source] SolverError),
    /// The symbolic compiler or the solver gave up: nothing is proved.
    #[error("`{claim}` is neither proved nor refuted: {why}")]
    Undecided {
        /// The claim.
        claim: String,
        /// Why.
        why: String,
    },
}

/// Proves the claims of `guards` (without any, those that are built in) and that no evaluation fails.
///
/// # Errors
/// See [`ProveError`]; then nothing is proved.
pub async fn prove(text: &str, guards: Option<&str>) -> Result<Proof, ProveError> {
    let guards = guards.unwrap_or(GUARD_RAILS);
    let engine = Engine::new().map_err(ProveError::Set)?;
    let policies = bounds::checking(|| engine.policies(text)).map_err(ProveError::Set)?;
    let rails = bounds::checking(|| engine.policies(guards)).map_err(ProveError::Guards)?;
    if let Some(permit) = rails.iter().find(|rail| rail.effect() == Effect::Permit) {
        return Err(ProveError::Permit(permit.id().to_string()));
    }
    let limit = format!("--tlimit-per={SOLVER_MS}");
    let solver = LocalSolver::cvc5_with_args([limit]).map_err(ProveError::Solver)?;
    let mut prover = Prover {
        schema: engine.schema(),
        set: set_of("policy set", policies.iter().cloned())?,
        environments: engine.schema().request_envs().collect(),
        solver: CedarSymCompiler::new(solver).map_err(|error| undecided("the solver", &error))?,
    };
    let mut claims = vec![prover.never_errors(&policies).await?];
    for rail in &rails {
        claims.push(prover.keeps(rail).await?);
    }
    Ok(Proof {
        claims,
        environments: prover.environments.len(),
    })
}

struct Prover<'a> {
    schema: &'a Schema,
    set: PolicySet,
    environments: Vec<RequestEnv>,
    solver: CedarSymCompiler<LocalSolver>,
}

impl Prover<'_> {
    async fn never_errors(&mut self, policies: &[Policy]) -> Result<Claim, ProveError> {
        let mut claim = Claim {
            name: "never-errors".to_owned(),
            says: "no policy fails to evaluate, which would refuse whatever it is about".to_owned(),
            counterexample: None,
        };
        for policy in policies {
            if let Some(found) = self.failing(policy, &claim.name).await? {
                let heading = format!("policy `{}` fails to evaluate for", policy.id());
                claim.counterexample = Some(told(heading, &found));
                break;
            }
        }
        Ok(claim)
    }

    /// A request for which a policy fails to evaluate.
    async fn failing(&mut self, policy: &Policy, claim: &str) -> Result<Option<Env>, ProveError> {
        for environment in &self.environments {
            let compiled = CompiledPolicy::compile(policy, environment, self.schema)
                .map_err(|error| undecided(claim, &error))?;
            let found = self
                .solver
                .check_never_errors_with_counterexample_opt(&compiled)
                .await
                .map_err(|error| undecided(claim, &error))?;
            if found.is_some() {
                return Ok(found);
            }
        }
        Ok(None)
    }

    /// Why a rail is none, if it is none: where it fails to evaluate it forbids nothing, and whatever the set
    /// permits there would pass for kept; and one that is about no request is kept by every set.
    async fn useless(&mut self, rail: &Policy) -> Result<Option<Vec<String>>, ProveError> {
        let name = rail.id().to_string();
        if let Some(found) = self.failing(rail, &name).await? {
            let heading = "the rail itself fails to evaluate, and so forbids nothing, for";
            return Ok(Some(told(heading.to_owned(), &found)));
        }
        for environment in &self.environments {
            let compiled = CompiledPolicy::compile(rail, environment, self.schema)
                .map_err(|error| undecided(&name, &error))?;
            let idle = self.solver.check_never_matches_opt(&compiled).await;
            if !idle.map_err(|error| undecided(&name, &error))? {
                return Ok(None);
            }
        }
        let why = "the rail itself is about no request, and so forbids nothing";
        Ok(Some(vec![why.to_owned()]))
    }

    /// Whether everything that the set permits keeps off what the rail forbids.
    async fn keeps(&mut self, rail: &Policy) -> Result<Claim, ProveError> {
        let counterexample = match self.useless(rail).await? {
            Some(why) => Some(why),
            None => self.beyond(rail).await?,
        };
        Ok(Claim {
            name: rail.id().to_string(),
            says: rail.annotation("says").unwrap_or_default().to_owned(),
            counterexample,
        })
    }

    /// A request that the set permits and the rail forbids.
    async fn beyond(&mut self, rail: &Policy) -> Result<Option<Vec<String>>, ProveError> {
        let name = rail.id().to_string();
        let everything: Policy = "permit (principal, action, resource);"
            .parse()
            .map_err(|error| undecided(&name, &error))?;
        let everything = everything.new_id(PolicyId::new("everything"));
        let within = set_of(&name, [everything, rail.clone()])?;
        for environment in &self.environments {
            let compile = |set| {
                CompiledPolicySet::compile(set, environment, self.schema)
                    .map_err(|error| undecided(&name, &error))
            };
            let (set, within) = (compile(&self.set)?, compile(&within)?);
            let found = self
                .solver
                .check_implies_with_counterexample_opt(&set, &within)
                .await
                .map_err(|error| undecided(&name, &error))?;
            if let Some(found) = found {
                let heading = format!("permitted by {}", self.permitting(&found));
                return Ok(Some(told(heading, &found)));
            }
        }
        Ok(None)
    }

    /// The policies that permit a counterexample.
    fn permitting(&self, found: &Env) -> String {
        let response = Authorizer::new().is_authorized(&found.request, &self.set, &found.entities);
        let mut ids: Vec<String> = response
            .diagnostics()
            .reason()
            .map(|id| format!("policy `{id}`"))
            .collect();
        ids.sort_unstable();
        ids.join(", ")
    }
}

fn set_of(
    claim: &str,
    policies: impl IntoIterator<Item = Policy>,
) -> Result<PolicySet, ProveError> {
    PolicySet::from_policies(policies).map_err(|error| undecided(claim, &error))
}

fn undecided(claim: &str, error: &dyn std::error::Error) -> ProveError {
    let mut why = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        why.push_str(": ");
        why.push_str(&error.to_string());
        cause = error.source();
    }
    ProveError::Undecided {
        claim: claim.to_owned(),
        why,
    }
}

/// A counterexample in lines: the request, and what it refers to.
fn told(heading: String, found: &Env) -> Vec<String> {
    let request = &found.request;
    let or_any = |uid: Option<String>| uid.unwrap_or_else(|| "anything".to_owned());
    let mut lines = vec![
        heading,
        format!(
            "  principal  {}",
            or_any(request.principal().map(ToString::to_string))
        ),
        format!(
            "  action     {}",
            or_any(request.action().map(ToString::to_string))
        ),
        format!(
            "  resource   {}",
            or_any(request.resource().map(ToString::to_string))
        ),
    ];
    if let Some(context) = request.context() {
        lines.push(format!(
            "  context    {}",
            in_cedar(context.to_json_value().ok())
        ));
    }
    let entities: BTreeMap<String, String> = found
        .entities
        .iter()
        .filter(|entity| {
            !matches!(
                entity.uid().type_name().basename(),
                "Action" | "TrustDomain"
            )
        })
        .filter_map(|entity| {
            let json = entity.to_json_value().ok()?;
            let attributes = json.get("attrs")?.clone();
            let told = attributes.as_object().is_some_and(|it| !it.is_empty());
            told.then(|| (entity.uid().to_string(), in_cedar(Some(attributes))))
        })
        .collect();
    lines.extend(
        entities
            .into_iter()
            .map(|(uid, attributes)| format!("  where {uid} is {attributes}")),
    );
    lines
}

/// JSON as Cedar would write it: entities by type and ID.
fn in_cedar(value: Option<Value>) -> String {
    match value.unwrap_or_default() {
        Value::Object(fields) => {
            if let Some(Value::Object(uid)) = fields.get("__entity") {
                let part = |key| uid.get(key).and_then(Value::as_str).unwrap_or_default();
                return format!("{}::{:?}", part("type"), part("id"));
            }
            let fields: Vec<String> = fields
                .into_iter()
                .map(|(name, value)| format!("{name}: {}", in_cedar(Some(value))))
                .collect();
            format!("{{ {} }}", fields.join(", "))
        }
        Value::Array(items) => {
            let items: Vec<String> = items.into_iter().map(|it| in_cedar(Some(it))).collect();
            format!("[{}]", items.join(", "))
        }
        plain @ (Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_)) => {
            plain.to_string()
        }
    }
}
