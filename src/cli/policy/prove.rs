//! `handfast policy prove`.

use super::super::Complaint;
use super::super::output::Output;
use std::path::Path;
use std::process::ExitCode;

/// Says how to get a prover.
#[cfg(not(feature = "prove"))]
#[expect(clippy::unused_async, reason = "the other build waits for the solver")]
pub(super) async fn prove(
    _file: &Path,
    _guards: Option<&Path>,
    _output: &mut Output,
) -> Result<ExitCode, Complaint> {
    let how = "cargo build --features prove, and have cvc5 (Debian: cvc5)";
    Err(Complaint::new("this build has no prover", how))
}

/// Proves a set.
#[cfg(feature = "prove")]
pub(super) async fn prove(
    file: &Path,
    guards: Option<&Path>,
    output: &mut Output,
) -> Result<ExitCode, Complaint> {
    use crate::policy::prove;

    let guards = guards.map(super::text).transpose()?;
    let proof = prove(&super::text(file)?, guards.as_deref())
        .await
        .map_err(|error| {
            let advice =
                "nothing is proved; handfast policy validate tells what is wrong with a set";
            Complaint::of(&error, advice)
        })?;
    let mut lines = Vec::new();
    for claim in &proof.claims {
        match &claim.counterexample {
            None => lines.push(format!("proved  {}: {}", claim.name, claim.says)),
            Some(found) => {
                lines.push(format!("FAILS   {}: {}", claim.name, claim.says));
                lines.extend(found.iter().map(|line| format!("        {line}")));
            }
        }
    }
    let kinds = proof.environments;
    lines.push(if proof.holds() {
        format!("proved for every request of {kinds} kinds")
    } else {
        "not proved: the counterexamples are requests that the schema allows".to_owned()
    });
    let claims = proof.claims.iter().map(|claim| {
        serde_json::json!({
            "name": claim.name, "says": claim.says, "proved": claim.counterexample.is_none(),
            "counterexample": claim.counterexample,
        })
    });
    let json = serde_json::json!({
        "proved": proof.holds(), "environments": kinds, "claims": claims.collect::<Vec<_>>(),
    });
    output.answer(&json, &lines);
    Ok(super::status(proof.holds()))
}
