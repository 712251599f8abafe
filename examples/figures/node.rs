//! One agent as a process of its own, beside a provider of identities.

use crate::Error;
use crate::figure::{Figure, Size, count, rounded};
use handfast::client::{Agent, AgentConfig};
use std::fs::{File, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use tempfile::TempDir;
use tokio::time::Instant;

/// The trust domain of every figure.
pub(crate) const TRUST_DOMAIN: &str = "figures.test";

/// The agent.
pub(crate) const AGENT_ID: &str = "spiffe://figures.test/handfast/agent";

/// This very process: owner, server and performer of the one task.
pub(crate) const LOAD_ID: &str = "spiffe://figures.test/load";

const READY_WAIT: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(20);

/// Who says which process is which workload.
pub(crate) struct Provider {
    pub(crate) workload_api: String,
    pub(crate) broker_socket: PathBuf,
    _development: Option<(Process, TempDir)>,
}

/// A running agent in a folder of its own. Everything ends with this value.
pub(crate) struct Node {
    // Declared before the folder: the program must be gone before its files are.
    agent: Process,
    folder: TempDir,
    /// Where workloads ask for their SVIDs.
    pub(crate) workload_api: String,
}

/// A process that is killed when it is dropped.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended by itself; there is nobody left to tell.
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

impl Provider {
    /// `handfast dev`, which knows the agent and this process by their programs.
    pub(crate) fn development(handfast: &Path) -> Result<Self, Error> {
        let folder = new_folder()?;
        let entries = folder.path().join("entries.toml");
        let text = format!(
            "{}broker = true\n{}",
            entry(AGENT_ID, handfast),
            entry(LOAD_ID, &std::env::current_exe()?)
        );
        std::fs::write(&entries, text)?;
        let mut command = Command::new(handfast);
        command.args(["dev", "--trust-domain", TRUST_DOMAIN, "--folder"]);
        command.arg(folder.path()).arg("--entries").arg(&entries);
        let process = spawn(command, &folder.path().join("dev.log"))?;
        Ok(Self {
            workload_api: format!("unix://{}/public/api.sock", folder.path().display()),
            broker_socket: folder.path().join("broker/broker.sock"),
            _development: Some((process, folder)),
        })
    }

    /// One that runs already.
    pub(crate) fn at(workload_api: String, broker_socket: PathBuf) -> Self {
        Self {
            workload_api,
            broker_socket,
            _development: None,
        }
    }
}

impl Node {
    /// Starts an agent whose rate limits do not slow one process down.
    pub(crate) fn start(handfast: &Path, provider: &Provider) -> Result<Self, Error> {
        let folder = new_folder()?;
        for (name, mode) in [
            ("public", 0o755),
            ("private", 0o700),
            ("data", 0o700),
            ("key", 0o700),
        ] {
            let path = folder.path().join(name);
            std::fs::create_dir(&path)?;
            std::fs::set_permissions(path, Permissions::from_mode(mode))?;
        }
        let policy = include_str!("../../spire-config/policy/default.cedar");
        std::fs::write(folder.path().join("policy.cedar"), policy)?;
        let config = folder.path().join("handfast.toml");
        std::fs::write(&config, config_text(folder.path(), provider))?;
        let mut command = Command::new(handfast);
        command.args(["run", "--development", "--config"]);
        command.arg(&config);
        Ok(Self {
            agent: spawn(command, &folder.path().join("agent.log"))?,
            folder,
            workload_api: provider.workload_api.clone(),
        })
    }

    /// A place in the agent's folder.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Connects to the agent's public socket.
    pub(crate) async fn connect(&self) -> Result<Agent, Error> {
        Ok(Agent::connect(AgentConfig::new(self.path("public/agent.sock"))).await?)
    }

    /// Waits as long as the agent runs, and no longer than a minute.
    pub(crate) async fn wait_until_ready(&mut self) -> Result<(), Error> {
        let started = Instant::now();
        loop {
            if let Ok(agent) = self.connect().await
                && agent.is_ready().await?
            {
                return Ok(());
            }
            let ended = self.agent.0.try_wait()?;
            if ended.is_some() || started.elapsed() >= READY_WAIT {
                let log = std::fs::read_to_string(self.path("agent.log")).unwrap_or_default();
                let last = log.lines().last().unwrap_or("it logged nothing");
                return Err(format!("the agent is not ready ({ended:?}): {last}").into());
            }
            tokio::time::sleep(POLL).await;
        }
    }

    /// What the agent holds in memory before anybody asked it anything.
    pub(crate) async fn idle_rss_mib(&self, size: &Size) -> Result<Figure, Error> {
        tokio::time::sleep(size.idle).await;
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.agent.0.id()))?;
        let kib: usize = status
            .lines()
            .find_map(|line| line.strip_prefix("VmRSS:"))
            .and_then(|rest| rest.split_whitespace().next())
            .ok_or("no VmRSS")?
            .parse()?;
        Ok(Figure {
            name: "idle_rss_mib",
            value: rounded(count(kib) / 1024.0),
            unit: "MiB",
            n: 1,
            how: "VmRSS of the agent's process, ready and before the first request".to_owned(),
        })
    }
}

/// The `handfast` program: where `HANDFAST_BIN` says, else beside the folder of this one.
pub(crate) fn program() -> Result<PathBuf, Error> {
    let path = match std::env::var_os("HANDFAST_BIN") {
        Some(path) => PathBuf::from(path),
        None => std::env::current_exe()?
            .parent()
            .and_then(Path::parent)
            .ok_or("this program lies in no folder")?
            .join("handfast"),
    };
    path.canonicalize().map_err(|error| {
        let path = path.display();
        format!("cannot find the agent's program `{path}` ({error}): build it, or set HANDFAST_BIN")
            .into()
    })
}

fn config_text(folder: &Path, provider: &Provider) -> String {
    format!(
        r#"[agent]
spiffe_id = "{AGENT_ID}"
socket_path = "{folder}/public/agent.sock"
socket_mode = "0666"
operator_socket_path = "{folder}/private/operator.sock"
data_dir = "{folder}/data"
key_file = "{folder}/key/names.key"

[spiffe]
workload_api = "{workload_api}"
broker_socket = "{broker}"

[policy]
path = "{folder}/policy.cedar"

[limits]
tasks_per_owner = 20000
requests_per_process = 1000000
requests_per_process_burst = 1000000
requests_per_uid = 1000000
requests_per_uid_burst = 1000000

[[workload]]
spiffe_id = "{LOAD_ID}"
uid = {uid}
"#,
        folder = folder.display(),
        workload_api = provider.workload_api,
        broker = provider.broker_socket.display(),
        uid = rustix::process::geteuid().as_raw(),
    )
}

fn entry(spiffe_id: &str, program: &Path) -> String {
    format!(
        "\n[[entry]]\nspiffe_id = \"{spiffe_id}\"\nselectors = [\"unix:uid:{}\", \"unix:path:{}\"]\n",
        rustix::process::geteuid().as_raw(),
        program.display()
    )
}

fn new_folder() -> Result<TempDir, Error> {
    let folder = tempfile::Builder::new().prefix("hffigures.").tempdir()?;
    std::fs::set_permissions(folder.path(), Permissions::from_mode(0o755))?;
    Ok(folder)
}

fn spawn(mut command: Command, log: &Path) -> Result<Process, Error> {
    let log = File::create(log)?;
    let child = command
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .spawn()?;
    Ok(Process(child))
}
