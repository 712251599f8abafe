//! One node for a test: the development provider, the agent and any number of workloads, each a process.
//!
//! Included by `#[path]`, with `node_actor.rs` and `node_files.rs` beside it. Everything is blocking. As root each
//! role runs under its own uid; otherwise all share the test's, and [`distinct_uids`] says so for those that need
//! them.

#[path = "node_actor.rs"]
mod actor;
#[path = "node_files.rs"]
mod files;

pub(crate) use actor::Actor;

pub(crate) use files::program_of;
use files::{config, copy_program, entries};
use serde_json::Value;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// How long a process may take to do what it was started for.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long a record may be folded before it is written.
const RECORD_PATIENCE: Duration = Duration::from_secs(20);
const POLL_INTERVAL: Duration = Duration::from_millis(10);
/// A program without registration entry.
const NOBODY: &str = "nobody";
const AGENT: &str = env!("CARGO_BIN_EXE_handfast");
const ACTOR: &str = env!("CARGO_BIN_EXE_handfast-test-actor");

/// What a role's `[[workload]]` row demands besides its SPIFFE ID.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Row {
    /// The file has none for it.
    Absent,
    /// Exactly the process that took the role.
    Process,
    /// The role's uid, and a release of the role's name.
    Release,
    /// The role's uid.
    Uid,
}

/// A program of its own with the SPIFFE ID `spiffe://demo.test/<name>`, whoever runs it.
#[derive(Clone, Debug)]
pub(crate) struct Role {
    pub(crate) name: String,
    /// The uid it runs under where the test is run by root.
    pub(crate) uid: u32,
    pub(crate) row: Row,
}

impl Role {
    pub(crate) fn new(name: &str, uid: u32, row: Row) -> Self {
        let name = name.to_owned();
        Self { name, uid, row }
    }

    /// The same program and SPIFFE ID under another uid: without the evidence, where it is demanded.
    pub(crate) fn twin(&self) -> Self {
        let mut twin = self.clone();
        twin.uid = self.uid.checked_add(500).unwrap();
        twin
    }

    pub(crate) fn spiffe_id(&self) -> String {
        format!("spiffe://demo.test/{}", self.name)
    }

    fn real_uid(&self) -> u32 {
        if is_root() { self.uid } else { own_uid() }
    }
}

/// What a test may want different.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    pub(crate) roles: Vec<Role>,
    /// More tables for the configuration file; `{folder}` stands for the node's folder.
    pub(crate) config: String,
    /// `HANDFAST_FAILPOINTS` of the agent.
    pub(crate) failpoints: String,
    /// The whole policy file.
    pub(crate) policy: String,
}

impl Default for Options {
    /// client, server, worker, tool and thief, each with a row for its uid; the shipped policy.
    fn default() -> Self {
        let names = ["client", "server", "worker", "tool", "thief"];
        let roles = (30_001..)
            .zip(names)
            .map(|(uid, name)| Role::new(name, uid, Row::Uid));
        Self {
            roles: roles.collect(),
            config: String::new(),
            failpoints: String::new(),
            policy: include_str!("../../spire-config/policy/default.cedar").to_owned(),
        }
    }
}

/// A running node; its processes end with it.
pub(crate) struct Node {
    folder: TempDir,
    roles: Vec<Role>,
    provider: Child,
    agent: Option<Child>,
    /// `HANDFAST_FAILPOINTS` of the next [`Node::start_agent`].
    pub(crate) failpoints: String,
}

impl Node {
    /// Starts provider and agent, and waits until the agent is ready.
    pub(crate) fn start(options: &Options) -> Self {
        let folder = tempfile::Builder::new().prefix("hf-").tempdir().unwrap();
        let path = folder.path();
        let set_mode = |path: &Path| {
            fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
        };
        fs::create_dir(path.join("bin")).unwrap();
        set_mode(path);
        set_mode(&path.join("bin"));
        // A copy of its own: a link more or less changes the file, and so whoever runs it.
        let program = path.join("bin").join(NOBODY);
        copy_program(Path::new(ACTOR), &program);
        for role in &options.roles {
            fs::hard_link(&program, path.join("bin").join(&role.name)).unwrap();
        }
        fs::write(path.join("entries.toml"), entries(path, &options.roles)).unwrap();
        fs::write(path.join("policy.cedar"), &options.policy).unwrap();
        fs::write(path.join("handfast.toml"), config(path, options)).unwrap();
        let provider = Command::new(AGENT)
            .args(["dev", "--trust-domain", "demo.test", "--folder"])
            .arg(path.join("spiffe"))
            .arg("--entries")
            .arg(path.join("entries.toml"))
            .stdin(Stdio::null())
            .stdout(log(path, "provider.log"))
            .stderr(log(path, "provider.log"))
            .spawn()
            .unwrap();
        let mut node = Self {
            folder,
            roles: options.roles.clone(),
            provider,
            agent: None,
            failpoints: options.failpoints.clone(),
        };
        until("the provider's sockets", || {
            node.path("spiffe/public/api.sock").exists()
                && node.path("spiffe/broker/broker.sock").exists()
        });
        node.start_agent();
        node
    }

    /// A path in the node's folder.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The workloads' socket.
    pub(crate) fn socket(&self) -> PathBuf {
        self.path("run/agent.sock")
    }

    /// The role of this name.
    pub(crate) fn role(&self, name: &str) -> Role {
        let role = self.roles.iter().find(|role| role.name == name);
        role.unwrap_or_else(|| panic!("no role `{name}`")).clone()
    }

    /// Starts the agent and waits until it is ready.
    pub(crate) fn start_agent(&mut self) {
        self.spawn_agent();
        until("the agent's readiness", || {
            self.assert_agent_runs();
            self.handfast(&["healthcheck", "--socket-path"], "run/agent.sock")
                .status
                .success()
        });
    }

    /// Starts the agent and does not wait.
    pub(crate) fn spawn_agent(&mut self) {
        assert!(self.agent.is_none(), "the agent runs");
        let path = self.folder.path();
        let mut command = Command::new(AGENT);
        command
            .args(["run", "--config"])
            .arg(path.join("handfast.toml"))
            .env("HANDFAST_FAILPOINTS", &self.failpoints)
            .stdin(Stdio::null())
            .stdout(log(path, "agent.log"))
            .stderr(log(path, "agent.log"));
        if !is_root() {
            // The provider has no capability to look at an agent that hides its memory.
            command.arg("--development");
        }
        self.agent = Some(command.spawn().unwrap());
    }

    fn assert_agent_runs(&mut self) {
        let agent = self.agent.as_mut().unwrap();
        if let Some(status) = agent.try_wait().unwrap() {
            panic!("the agent ended ({status}):\n{}", self.log());
        }
    }

    /// Whether the agent's process is still there.
    pub(crate) fn agent_is_running(&mut self) -> bool {
        let agent = self.agent.as_mut();
        agent.is_some_and(|agent| agent.try_wait().unwrap().is_none())
    }

    /// Process ID of the agent.
    pub(crate) fn agent_pid(&self) -> u32 {
        self.agent.as_ref().unwrap().id()
    }

    /// SIGKILL. Also reaps an agent that has already ended.
    pub(crate) fn kill_agent(&mut self) {
        let mut agent = self.agent.take().unwrap();
        agent.kill().unwrap();
        agent.wait().unwrap();
    }

    /// SIGTERM; returns the exit status.
    pub(crate) fn stop_agent(&mut self) -> Option<i32> {
        let mut agent = self.agent.take().unwrap();
        terminate(&agent);
        let mut status = None;
        until("the agent's end", || {
            status = agent.try_wait().unwrap();
            status.is_some()
        });
        status.and_then(|status| status.code())
    }

    /// Starts a process of this role.
    pub(crate) fn actor(&self, role: &Role) -> Actor {
        let mut command = Command::new(self.path("bin").join(&role.name));
        command.env("HANDFAST_SOCKET", self.socket());
        if is_root() {
            command.uid(role.real_uid()).gid(role.real_uid());
        }
        Actor::start(command, &role.name)
    }

    /// Starts a process of a program that has no registration entry.
    pub(crate) fn nobody(&self) -> Actor {
        self.actor(&Role::new(NOBODY, 30_999, Row::Absent))
    }

    /// Starts a process of the role of this name.
    pub(crate) fn actor_named(&self, name: &str) -> Actor {
        self.actor(&self.role(name))
    }

    /// Runs the operator's command line on the agent: `["task", "list", "--all"]`.
    pub(crate) fn operator(&self, verb: &[&str]) -> Output {
        let mut arguments = verb.to_vec();
        arguments.push("--operator-socket-path");
        self.handfast(&arguments, "private/operator.sock")
    }

    /// What the operator's command line answers, which must succeed.
    pub(crate) fn operator_json(&self, verb: &[&str]) -> Value {
        let output = self.operator(verb);
        let complaint = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{verb:?}: {complaint}");
        serde_json::from_slice(&output.stdout).unwrap()
    }

    /// The audit record behind a decision: `reason`, `explanation`, `facts` and so on. Waits until it is
    /// written.
    pub(crate) fn explain(&self, decision_id: &str) -> Value {
        let begin = Instant::now();
        loop {
            let answer = self.operator(&["explain", decision_id]);
            if answer.status.success() {
                return serde_json::from_slice(&answer.stdout).unwrap();
            }
            let complaint = String::from_utf8_lossy(&answer.stderr);
            assert!(
                begin.elapsed() < RECORD_PATIENCE,
                "{decision_id}: {complaint}"
            );
            std::thread::sleep(POLL_INTERVAL); // poll: until the record is durable
        }
    }

    /// Runs the command line as a process of this role's user, from the role's own program file.
    pub(crate) fn cli_as(&self, role: &Role, arguments: &[&str]) -> Output {
        let mut command = Command::new(self.path("bin").join(&role.name));
        command
            .args(["--output", "json"])
            .args(arguments)
            .env("HANDFAST_SOCKET", self.socket());
        if is_root() {
            command.uid(role.real_uid()).gid(role.real_uid());
        }
        command.output().unwrap()
    }

    fn handfast(&self, arguments: &[&str], last: &str) -> Output {
        Command::new(AGENT)
            .args(["--output", "json"])
            .args(arguments)
            .arg(self.path(last))
            .output()
            .unwrap()
    }

    /// What all agents of this node have logged so far.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.path("agent.log")).unwrap_or_default()
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        if std::thread::panicking() {
            println!("{}", self.log());
        }
        for child in self.agent.iter_mut().chain([&mut self.provider]) {
            drop(child.kill());
            drop(child.wait());
        }
    }
}

/// Waits for a condition; fails the test if it does not come true.
pub(crate) fn until(what: &str, mut is_true: impl FnMut() -> bool) {
    let begin = Instant::now();
    while !is_true() {
        assert!(begin.elapsed() < PATIENCE, "waited in vain for {what}");
        std::thread::sleep(POLL_INTERVAL); // poll: the condition above, until the deadline
    }
}

/// Whether roles run under uids of their own. If not, says so in one line, and fails where
/// `PRIVILEGED=required`.
pub(crate) fn distinct_uids(test: &str) -> bool {
    if is_root() {
        return true;
    }
    let why = format!("{test} did not run: it needs root, for a uid of each role's own");
    let required = std::env::var_os("PRIVILEGED").is_some_and(|value| value == "required");
    assert!(!required, "{why}");
    println!("{why}");
    false
}

fn is_root() -> bool {
    own_uid() == 0
}

fn own_uid() -> u32 {
    nix::unistd::geteuid().as_raw()
}

fn terminate(child: &Child) {
    let pid = rustix::process::Pid::from_child(child);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
}

fn log(folder: &Path, name: &str) -> Stdio {
    let mut options = fs::OpenOptions::new();
    let file = options.create(true).append(true).open(folder.join(name));
    file.unwrap().into()
}

/// Not every test binary wants all of this.
const _: () = {
    let _ = (Row::Absent, Row::Process, Role::twin, distinct_uids);
    let _ = (Row::Release, Node::deploy, program_of);
    let _ = (
        Node::agent_is_running,
        Node::agent_pid,
        Node::kill_agent,
        Node::stop_agent,
    );
    let _ = (Node::cli_as, Node::give_cli_to);
    let _ = (
        Node::actor_named,
        Node::explain,
        Node::operator_json,
        Node::log,
    );
};
