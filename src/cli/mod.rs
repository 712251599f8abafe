//! The command line. Verbs follow SPIRE's: `run validate healthcheck api`, and our own `task approval revoke audit
//! policy explain status dev`.
//!
//! The one thing to know: every error ends with what to do next, and every verb that answers takes
//! `--output json`.

mod approval;
mod audit;
mod dev;
mod health;
mod operator;
mod output;
mod policy;
mod revoke;
mod run;
mod status;
mod validate;
mod whoami;

use clap::{Args, Parser, Subcommand, ValueEnum};
use output::Output;
use std::path::PathBuf;
use std::process::ExitCode;

/// Where the configuration is where nothing says otherwise.
const CONFIG_DEFAULT: &str = "/etc/handfast/handfast.toml";
/// Where the operator's socket is where nothing says otherwise.
const OPERATOR_DEFAULT: &str = "/run/handfast/private/operator.sock";
/// Where the workloads' socket is where nothing says otherwise.
const SOCKET_DEFAULT: &str = "/run/handfast/public/agent.sock";
/// The exit status of a command line that cannot be read, as in `sysexits.h`: nothing was done, and no answer of
/// a verb looks like it.
const USAGE: u8 = 64;

/// A SPIFFE-native node agent that makes asynchronous MCP work safe to resume.
#[derive(Debug, Parser)]
#[command(name = "handfast", version, propagate_version = true)]
pub struct Cli {
    /// How answers are printed.
    #[arg(long, global = true, value_enum, default_value_t = Format::Pretty)]
    output: Format,
    #[command(subcommand)]
    verb: Verb,
}

/// How answers are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// One JSON value.
    Json,
    /// For people.
    Pretty,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// What a workload sees of the agent.
    #[command(subcommand)]
    Api(Api),
    /// What people are asked, for the workload through which they decide.
    #[command(subcommand)]
    Approval(Approval),
    /// The audit chain.
    #[command(subcommand)]
    Audit(Audit),
    /// Runs a development SPIFFE provider: no SPIRE, no security, for reserved trust domains only.
    Dev(dev::DevArgs),
    /// The true reason behind a decision ID.
    Explain {
        /// The decision ID, from an answer or a log line. May begin with a hyphen.
        #[arg(allow_hyphen_values = true)]
        decision_id: String,
        #[command(flatten)]
        operator: OperatorSocket,
    },
    /// Whether the agent is ready; exit status 1 if it is not.
    Healthcheck {
        /// The agent's socket.
        #[arg(long, alias = "socketPath", env = "HANDFAST_SOCKET", default_value = SOCKET_DEFAULT)]
        socket_path: PathBuf,
    },
    /// Policy sets: checked, tested, explained.
    #[command(subcommand)]
    Policy(policy::Policy),
    /// Stops work: a task, a tree, a SPIFFE ID, an epoch, or everything before a time.
    #[command(subcommand)]
    Revoke(revoke::Revoke),
    /// Runs the agent.
    Run {
        #[command(flatten)]
        config: ConfigFile,
        /// Leaves the process readable to a development provider of the same user. Reserved trust
        /// domains only.
        #[arg(long)]
        development: bool,
    },
    /// How the agent is: epoch, policy, readiness, legs, subscribers, revoked SPIFFE IDs.
    Status {
        #[command(flatten)]
        operator: OperatorSocket,
    },
    /// Tasks: what an operator may see and do.
    #[command(subcommand)]
    Task(Task),
    /// Checks the configuration and the policy, and with --node what the agent needs of this machine.
    Validate {
        #[command(flatten)]
        config: ConfigFile,
        /// Also check kernel, capabilities and limits, for the user that runs this.
        #[arg(long)]
        node: bool,
    },
}

#[derive(Debug, Subcommand)]
enum Api {
    /// What the agent sees of this very process, and which registration entry it would need.
    Whoami {
        /// The agent's socket.
        #[arg(long, alias = "socketPath", env = "HANDFAST_SOCKET", default_value = SOCKET_DEFAULT)]
        socket_path: PathBuf,
    },
}

#[derive(Debug, Subcommand)]
enum Approval {
    /// Brings a person's decision.
    Decide {
        /// The request.
        approval_id: String,
        /// The digest that the person saw, in hexadecimal.
        #[arg(long)]
        digest: String,
        #[command(flatten)]
        verdict: VerdictFlags,
        #[command(flatten)]
        token: TokenSource,
        #[command(flatten)]
        agent: AgentSocket,
    },
    /// Lists open requests that this process may decide.
    List {
        #[command(flatten)]
        agent: AgentSocket,
    },
    /// Shows one request: the exact arguments, escaped and whole, and the digest.
    Show {
        /// The request.
        approval_id: String,
        #[command(flatten)]
        agent: AgentSocket,
    },
}

#[derive(Args, Debug)]
#[group(required = true, multiple = false)]
struct VerdictFlags {
    /// Yes, for this one step.
    #[arg(long)]
    approve: bool,
    /// No.
    #[arg(long)]
    refuse: bool,
}

#[derive(Args, Debug)]
#[group(required = true, multiple = false)]
struct TokenSource {
    /// The file that holds the person's ID token.
    #[arg(long)]
    id_token_file: Option<PathBuf>,
    /// The inherited file descriptor on which the person's ID token is read.
    #[arg(long)]
    id_token_fd: Option<u32>,
}

#[derive(Args, Debug)]
struct AgentSocket {
    /// The agent's socket.
    #[arg(long, alias = "socketPath", env = "HANDFAST_SOCKET", default_value = SOCKET_DEFAULT)]
    socket_path: PathBuf,
}

#[derive(Debug, Subcommand)]
enum Audit {
    /// Prints records from the running agent.
    Tail {
        /// The first record to print; without it the last 20.
        #[arg(long)]
        from: Option<u64>,
        /// The most records to print.
        #[arg(long, default_value_t = 20)]
        limit: u32,
        #[command(flatten)]
        operator: OperatorSocket,
    },
    /// Checks the hash chain of a stopped agent's ledger.
    Verify {
        #[command(flatten)]
        config: ConfigFile,
        /// The ledger file, in place of the configured one.
        #[arg(long)]
        ledger: Option<PathBuf>,
    },
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Lists tasks: state, who holds them, who can act now.
    List {
        /// Also tasks that have ended.
        #[arg(long)]
        all: bool,
        #[command(flatten)]
        operator: OperatorSocket,
    },
    /// Cancels a task, whatever its owner or server say.
    Revoke {
        /// The task.
        task_id: String,
        /// Why; goes into the audit.
        #[arg(long, alias = "reason")]
        why: String,
        #[command(flatten)]
        operator: OperatorSocket,
    },
    /// Shows one task.
    Show {
        /// The task.
        task_id: String,
        #[command(flatten)]
        operator: OperatorSocket,
    },
}

#[derive(Args, Debug)]
struct ConfigFile {
    /// The configuration file.
    #[arg(long, env = "HANDFAST_CONFIG", default_value = CONFIG_DEFAULT)]
    config: PathBuf,
}

#[derive(Args, Debug)]
struct OperatorSocket {
    /// The operator's socket.
    #[arg(
        long,
        alias = "operatorSocketPath",
        env = "HANDFAST_OPERATOR_SOCKET",
        default_value = OPERATOR_DEFAULT
    )]
    operator_socket_path: PathBuf,
}

/// A message for the person at the terminal: what went wrong and what to do next.
#[derive(Debug)]
struct Complaint {
    what: String,
    advice: String,
}

impl Complaint {
    /// What went wrong, and advice; either in one line.
    fn new(what: impl Into<String>, advice: impl Into<String>) -> Self {
        Self {
            what: what.into(),
            advice: advice.into(),
        }
    }

    /// An error with its causes, and advice.
    fn of(error: &dyn std::error::Error, advice: &str) -> Self {
        let mut text = error.to_string();
        let mut cause = error.source();
        while let Some(error) = cause {
            text.push_str(": ");
            text.push_str(&error.to_string());
            cause = error.source();
        }
        Self::new(text, advice)
    }
}

/// Reads the command line and runs the verb. Exit status 0: yes; 1: no, or it failed, or its answer could not be
/// written; 2: `revoke`, where it is in force and not everybody is known to have stopped; 64: the command line cannot
/// be read, and nothing was done.
#[must_use]
pub fn main() -> ExitCode {
    match Cli::try_parse() {
        Ok(cli) => cli.run(),
        Err(error) => {
            Output::new(false).usage(&error);
            let asked_for_help = error.exit_code() == 0;
            if asked_for_help {
                ExitCode::SUCCESS
            } else {
                ExitCode::from(USAGE)
            }
        }
    }
}

impl Cli {
    fn run(self) -> ExitCode {
        let mut output = Output::new(self.output == Format::Json);
        let done = self.verb.run(&mut output).and_then(|code| {
            let lost = || {
                Complaint::new(
                    "the answer could not be written",
                    "the verb was carried out",
                )
            };
            output.is_whole().then_some(code).ok_or_else(lost)
        });
        done.unwrap_or_else(|complaint| {
            output.complain(&complaint);
            ExitCode::FAILURE
        })
    }
}

impl Verb {
    fn run(self, output: &mut Output) -> Result<ExitCode, Complaint> {
        match self {
            Self::Run {
                config,
                development,
            } => run::run(&config.config, development),
            Self::Validate { config, node } => validate::validate(&config.config, node, output),
            Self::Dev(args) => dev::run(args),
            Self::Healthcheck { socket_path } => {
                block_on(health::healthcheck(&socket_path, output))
            }
            Self::Api(Api::Whoami { socket_path }) => {
                block_on(whoami::whoami(&socket_path, output))
            }
            Self::Approval(verb) => block_on(approval::approval(verb, output)),
            Self::Audit(Audit::Verify { config, ledger }) => {
                audit::verify(&config.config, ledger, output)
            }
            Self::Audit(Audit::Tail {
                from,
                limit,
                operator,
            }) => block_on(audit::tail(
                &operator.operator_socket_path,
                (from, limit),
                output,
            )),
            Self::Explain {
                decision_id,
                operator,
            } => block_on(audit::explain(
                &operator.operator_socket_path,
                decision_id,
                output,
            )),
            Self::Policy(verb) => block_on(policy::policy(verb, output)),
            Self::Revoke(verb) => block_on(revoke::revoke(verb, output)),
            Self::Status { operator } => {
                block_on(status::status(&operator.operator_socket_path, output))
            }
            Self::Task(task) => block_on(operator::task(task, output)),
        }
    }
}

/// A runtime for one question; the agent itself has its own.
fn block_on<T>(future: impl Future<Output = Result<T, Complaint>>) -> Result<T, Complaint> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Complaint::of(&error, ""))?
        .block_on(future)
}
