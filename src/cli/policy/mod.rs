//! `handfast policy`: check a set, test it, and ask it why.

mod prove;
mod simulate;

use super::output::Output;
use super::{Complaint, OperatorSocket, audit};
use crate::kernel;
use crate::policy::{
    Case, CaseFile, CaseReport, CedarPolicy, Explained, PolicyError, PolicySource, Problem,
    read_cases,
};
use clap::{Args, Subcommand};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

#[derive(Debug, Subcommand)]
pub(super) enum Policy {
    /// Which policies decide a case, or a decision of the running agent.
    Explain {
        /// A case file or a folder of them, put to a set; or with --decision, a decision ID.
        #[arg(required_unless_present = "decision", conflicts_with = "decision")]
        cases: Option<PathBuf>,
        #[command(flatten)]
        set: SetFile,
        /// A decision ID of the running agent, as `handfast explain` takes it.
        #[arg(long, allow_hyphen_values = true)]
        decision: Option<String>,
        #[command(flatten)]
        operator: OperatorSocket,
    },
    /// Proves that a set never fails to evaluate and asks for nothing beyond the guard rails; exit status
    /// 1 with a counterexample. Needs a build with the feature `prove`, and the solver cvc5.
    Prove {
        /// The policy set.
        file: PathBuf,
        /// Other guard rails than those built in (spire-config/policy/guard-rails.cedar).
        #[arg(long)]
        guards: Option<PathBuf>,
    },
    /// What another set would cut off from the live tasks of a running agent, and what it would open, before
    /// it is committed; changes nothing.
    Simulate {
        /// The other policy set.
        file: PathBuf,
        #[command(flatten)]
        operator: OperatorSocket,
    },
    /// Puts a folder of cases to a set; exit status 1 if any differs.
    Test {
        /// A folder of case files, or one file.
        cases: PathBuf,
        #[command(flatten)]
        set: SetFile,
    },
    /// Checks policy files as the agent would when it loads them.
    Validate {
        /// The files; each is a whole set.
        #[arg(required = true)]
        files: Vec<PathBuf>,
    },
}

#[derive(Args, Debug)]
pub(super) struct SetFile {
    /// The policy set; without it the set that is built in.
    #[arg(long = "policy", env = "HANDFAST_POLICY")]
    policy: Option<PathBuf>,
}

impl SetFile {
    fn load(&self) -> Result<CedarPolicy, Complaint> {
        CedarPolicy::load(PolicySource {
            path: self.policy.clone(),
            ..PolicySource::default()
        })
        .map_err(|error| Complaint::new(format!("policy: {}", error.chain()), ""))
    }
}

/// The longest set that is looked at here, in bytes; an agent takes `limits.policy_bytes`.
const SET_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// The text of a set.
fn text(file: &Path) -> Result<String, Complaint> {
    kernel::read_text(file, SET_BYTES_MAX)
        .map_err(|error| Complaint::new(format!("`{}`: {error}", file.display()), ""))
}

/// Runs a verb on policy.
pub(super) async fn policy(verb: Policy, output: &mut Output) -> Result<ExitCode, Complaint> {
    match verb {
        Policy::Explain {
            decision: Some(id),
            operator,
            ..
        } => audit::explain(&operator.operator_socket_path, id, output).await,
        Policy::Explain { cases, set, .. } => {
            explain(&cases.unwrap_or_default(), &set.load()?, output)
        }
        Policy::Prove { file, guards } => prove::prove(&file, guards.as_deref(), output).await,
        Policy::Simulate { file, operator } => {
            simulate::simulate(&operator.operator_socket_path, &file, output).await
        }
        Policy::Test { cases, set } => test(&cases, &set.load()?, output),
        Policy::Validate { files } => Ok(validate(&files, output)),
    }
}

fn validate(files: &[PathBuf], output: &mut Output) -> ExitCode {
    let (mut lines, mut json, mut good) = (Vec::new(), Vec::new(), true);
    for file in files {
        match CedarPolicy::load(PolicySource::file(file)) {
            Ok(policy) => {
                let summary = policy.summary();
                let policies = summary.policies.len();
                lines.push(format!("ok    {}: {policies} policies", file.display()));
                let warnings = summary.warnings.iter();
                lines.extend(warnings.map(|warning| placed(file, "warning", warning)));
                json.push(json!({
                    "file": file, "ok": true, "policies": policies,
                    "warnings": problems_json(&summary.warnings),
                }));
            }
            Err(error) => {
                good = false;
                match error.problems() {
                    [] => lines.push(format!("error {}", error.chain())),
                    problems => lines.extend(problems.iter().map(|it| placed(file, "error", it))),
                }
                json.push(refused_json(file, &error));
            }
        }
    }
    output.answer(&Value::Array(json), &lines);
    status(good)
}

/// As compilers say it: file, line, column.
fn placed(file: &Path, kind: &str, problem: &Problem) -> String {
    let mut message = problem.message.clone();
    if let Some(policy) = &problem.policy {
        message = format!("policy `{policy}`: {message}");
    }
    if let Some(help) = &problem.help {
        message = format!("{message} ({help})");
    }
    let (line, column) = (problem.line, problem.column);
    format!("{}:{line}:{column}: {kind}: {message}", file.display())
}

fn refused_json(file: &Path, error: &PolicyError) -> Value {
    json!({
        "file": file, "ok": false, "error": error.chain(),
        "problems": problems_json(error.problems()),
    })
}

fn problems_json(problems: &[Problem]) -> Value {
    problems
        .iter()
        .map(|it| {
            json!({
                "line": it.line, "column": it.column, "policy": it.policy, "message": it.message,
                "help": it.help,
            })
        })
        .collect()
}

fn read(path: &Path) -> Result<Vec<CaseFile>, Complaint> {
    read_cases(path).map_err(|error| {
        Complaint::of(
            &error,
            "spire-config/policy/cases has a file of cases for every action",
        )
    })
}

fn test(path: &Path, policy: &CedarPolicy, output: &mut Output) -> Result<ExitCode, Complaint> {
    let (mut lines, mut json) = (Vec::new(), Vec::new());
    let (mut cases, mut failed) = (0_usize, 0_usize);
    for (file, case, report) in asked(&read(path)?, policy) {
        cases = cases.saturating_add(1);
        let name = format!("{}: {}", stem(&file.path), case.name);
        if report.holds() {
            lines.push(format!("ok    {name}"));
        } else {
            failed = failed.saturating_add(1);
            lines.push(format!("FAIL  {name}"));
            let differences = report.differences.iter();
            lines.extend(differences.map(|difference| format!("      {difference}")));
        }
        json.push(json!({
            "file": file.path, "case": case.name, "ok": report.holds(),
            "differences": report.differences, "answer": answer_json(&report),
        }));
    }
    lines.push(format!("{cases} cases, {failed} failed"));
    output.answer(
        &json!({ "cases": json, "failed": failed, "ok": failed == 0 }),
        &lines,
    );
    Ok(status(failed == 0))
}

fn explain(path: &Path, policy: &CedarPolicy, output: &mut Output) -> Result<ExitCode, Complaint> {
    let (mut lines, mut json, mut asked_all) = (Vec::new(), Vec::new(), true);
    for (file, case, report) in asked(&read(path)?, policy) {
        lines.push(format!("{}: {}", stem(&file.path), case.name));
        match &report.answer {
            Ok(answer) => lines.push(in_words(answer)),
            Err(error) => {
                asked_all = false;
                lines.push(format!("  cannot be asked: {error}"));
            }
        }
        json.push(json!({
            "file": file.path, "case": case.name, "answer": answer_json(&report),
        }));
    }
    output.answer(&Value::Array(json), &lines);
    Ok(status(asked_all))
}

fn asked<'a>(
    files: &'a [CaseFile],
    policy: &'a CedarPolicy,
) -> impl Iterator<Item = (&'a CaseFile, &'a Case, CaseReport)> {
    files.iter().flat_map(move |file| {
        let cases = file.cases.iter();
        cases.map(move |case| (file, case, case.ask(policy)))
    })
}

fn in_words(answer: &Explained) -> String {
    if answer.permitted {
        format!("  {}", answer.why)
    } else {
        format!("  refused: {}", answer.why)
    }
}

fn answer_json(report: &CaseReport) -> Value {
    match &report.answer {
        Ok(answer) => json!({
            "permitted": answer.permitted, "deciding": answer.deciding, "why": answer.why,
        }),
        Err(error) => json!({ "error": error }),
    }
}

fn stem(path: &Path) -> String {
    path.file_stem()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned()
}

fn status(good: bool) -> ExitCode {
    if good {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
