//! A node with real SPIRE and the real agent on it: the agent under its own user with `CAP_SYS_PTRACE` alone,
//! every workload under another. Needs root.

use crate::support::{Entry, Options, Programs, SpireNode, programs};
use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::OnceLock;

/// The agent's user and group.
pub(crate) const AGENT: u32 = 61_000;
/// The workloads, by the path of their SPIFFE ID. The number is the group that their registration entry
/// selects, and the user that their `[[workload]]` row demands: whoever is in the group gets the SVID.
pub(crate) const ROLES: [(&str, u32); 5] = [
    ("owner", 61_001),
    ("server", 61_002),
    ("worker", 61_003),
    ("tool", 61_004),
    ("approver", 61_005),
];
/// A user that no row demands.
pub(crate) const STRANGER: u32 = 61_009;

/// User and group of a role.
pub(crate) fn number(role: &str) -> u32 {
    let found = ROLES.iter().find(|(name, _)| *name == role);
    found.expect("a role").1
}

/// How the agent runs.
#[derive(Clone, Debug)]
pub(crate) struct Setup {
    pub(crate) spire: Options,
    /// `spiffe.attestation`.
    pub(crate) attestation: &'static str,
    /// Capabilities of the agent.
    pub(crate) capabilities: &'static str,
    /// Roles whose `[[workload]]` row demands one process.
    pub(crate) pinned: &'static [&'static str],
    /// Lines of `[tasks]`, `[spiffe]` and so on, as `table.key = value`.
    pub(crate) settings: &'static [&'static str],
    /// Tables besides; `{folder}` stands for the agent's folder.
    pub(crate) tables: String,
    /// Policies besides those that are shipped.
    pub(crate) policy: &'static str,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            spire: Options::default(),
            attestation: "broker",
            capabilities: "+sys_ptrace",
            pinned: &[],
            settings: &[],
            tables: String::new(),
            policy: "",
        }
    }
}

/// The agent on its node.
#[derive(Debug)]
pub(crate) struct World {
    // Declared before SPIRE, whose folder the agent's files are in.
    agent: Option<Process>,
    pub(crate) spire: SpireNode,
    setup: Setup,
    entries: Vec<(String, String)>,
}

/// A process that is killed when this value ends.
#[derive(Debug)]
pub(crate) struct Process(pub(crate) Child);

impl Drop for Process {
    fn drop(&mut self) {
        // Both fail only where the process is gone already.
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// SPIRE's programs where this suite can run, or `None` after one line that says why it does not.
///
/// # Panics
/// With `SPIRE=required` or `PRIVILEGED=required`, where something is missing.
pub(crate) fn ready() -> Option<Programs> {
    static ROOT: OnceLock<bool> = OnceLock::new();
    let root = *ROOT.get_or_init(|| {
        let root = rustix::process::geteuid().is_root();
        let required = std::env::var("PRIVILEGED").is_ok_and(|value| value == "required");
        assert!(
            root || !required,
            "PRIVILEGED=required, but the tests do not run as root"
        );
        if !root {
            let line = "NOT RUN  the agent beside real SPIRE: own users need root\n";
            drop(std::io::stderr().write_all(line.as_bytes()));
        }
        root
    });
    root.then(programs).flatten()
}

impl World {
    /// SPIRE with an entry for the agent and for each role, and the agent, ready.
    pub(crate) fn start(programs: &Programs, setup: Setup) -> Self {
        let spire = SpireNode::start(programs, &setup.spire);
        let mut world = Self {
            agent: None,
            spire,
            setup,
            entries: Vec::new(),
        };
        world.lay_out();
        let user = format!("unix:uid:{AGENT}");
        world.register("handfast/agent", &user);
        for (role, group) in ROLES {
            world.register(role, &format!("unix:gid:{group}"));
        }
        world.spire.admit_group(AGENT);
        world.start_agent();
        world.wait_until_ready();
        world
    }

    /// Makes an entry.
    pub(crate) fn register(&mut self, path: &str, selector: &str) {
        let path = format!("/{path}");
        let entry = Entry {
            path: &path,
            selectors: &[selector],
        };
        let id = self.spire.entry_create(entry);
        self.entries.push((path, id));
    }

    /// Deletes the entry of a path.
    pub(crate) fn withdraw(&self, path: &str) {
        let path = format!("/{path}");
        let entry = self.entries.iter().rfind(|(of, _)| *of == path);
        self.spire.entry_delete(&entry.expect("an entry").1);
    }

    /// A program where every user can run it: `handfast` or `actor`.
    pub(crate) fn program(&self, name: &str) -> PathBuf {
        self.spire.folder().join("bin").join(name)
    }

    /// A folder of the agent's.
    pub(crate) fn folder(&self) -> PathBuf {
        self.spire.folder().join("handfast")
    }

    /// The workloads' socket.
    pub(crate) fn socket(&self) -> PathBuf {
        self.folder().join("public/agent.sock")
    }

    /// The agent's configuration file.
    pub(crate) fn config(&self) -> PathBuf {
        self.folder().join("handfast.toml")
    }

    /// Starts the agent under its own user, with the configured capabilities and no others.
    pub(crate) fn start_agent(&mut self) {
        let log = fs::File::options()
            .create(true)
            .append(true)
            .open(self.folder().join("agent.log"))
            .expect("agent.log");
        let mut command = self.as_agent(self.setup.capabilities);
        command
            .args(["run", "--config"])
            .arg(self.config())
            .stdin(Stdio::null());
        command.stdout(log.try_clone().expect("log")).stderr(log);
        self.agent = Some(Process(command.spawn().expect("the agent starts")));
    }

    /// Kills the agent: SIGKILL.
    pub(crate) fn kill_agent(&mut self) {
        self.agent = None;
    }

    /// What the agent has logged since it was first started.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.folder().join("agent.log")).unwrap_or_default()
    }

    /// Starts SPIRE's agent again; its sockets are new.
    pub(crate) fn restart_spire_agent(&mut self) {
        self.spire.start_agent();
        self.spire.admit_group(AGENT);
    }

    /// `handfast …` under the agent's user with these capabilities and no others.
    pub(crate) fn as_agent(&self, capabilities: &str) -> Command {
        let mut command = Command::new("setpriv");
        command
            .args(["--reuid", &AGENT.to_string(), "--regid", &AGENT.to_string()])
            .args(["--clear-groups", "--no-new-privs"]);
        if capabilities.is_empty() {
            command.args(["--bounding-set", "-all"]);
        } else {
            command.args(["--inh-caps", capabilities, "--ambient-caps", capabilities]);
            command.args(["--bounding-set", &format!("-all,{capabilities}")]);
        }
        command.arg("--").arg(self.program("handfast"));
        command
    }

    /// `handfast …` under another user.
    pub(crate) fn cli(&self, user: u32, arguments: &[&str]) -> Output {
        self.command(&self.program("handfast"), (user, user))
            .args(arguments)
            .output()
            .expect("handfast")
    }

    /// A program under a user and group that knows where the agent is.
    pub(crate) fn command(&self, program: &Path, (user, group): (u32, u32)) -> Command {
        let mut command = Command::new(program);
        command
            .env("HANDFAST_SOCKET", self.socket())
            .current_dir("/")
            .uid(user)
            .gid(group);
        command
    }

    /// What the Workload API gives a process of a role's group: SVID and private key.
    pub(crate) fn svid(&self, role: &str, user: u32) -> serde_json::Value {
        let program = self.spire.programs().agent();
        let socket = self.spire.workload_api();
        let output = self
            .command(program, (user, number(role)))
            .args(["api", "fetch", "x509", "-output", "json", "-socketPath"])
            .arg(socket.trim_start_matches("unix://"))
            .output()
            .expect("spire-agent");
        let answer = serde_json::from_slice(&output.stdout);
        let answer: serde_json::Value =
            answer.unwrap_or_else(|error| panic!("{error}: {output:?}"));
        let svid = answer["svids"][0].clone();
        let id = format!("spiffe://{}/{role}", self.setup.spire.trust_domain);
        assert_eq!(svid["spiffe_id"], id, "{answer}");
        svid
    }

    /// Whether the agent says that it is ready.
    pub(crate) fn is_ready(&self) -> bool {
        self.cli(STRANGER, &["healthcheck"]).status.success()
    }

    /// Polls until the agent is ready.
    pub(crate) fn wait_until_ready(&self) {
        self.wait_for("readiness", || self.is_ready().then_some(()));
    }

    /// Polls until `found` gives a value.
    ///
    /// # Panics
    /// After a minute; the message has the logs.
    pub(crate) fn wait_for<T>(&self, what: &str, found: impl FnMut() -> Option<T>) -> T {
        let log = LogOnPanic(self.folder().join("agent.log"));
        let value = self.spire.wait_for(what, found);
        std::mem::forget(log);
        value
    }

    fn lay_out(&self) {
        let folder = self.spire.folder();
        fs::create_dir(folder.join("bin")).expect("folder");
        fs::create_dir(folder.join("handfast")).expect("folder");
        for part in ["bin", "handfast"] {
            let mode = fs::Permissions::from_mode(0o755);
            fs::set_permissions(folder.join(part), mode).expect("mode");
        }
        chown(folder.join("handfast"), Some(AGENT), Some(AGENT)).expect("chown");
        for (name, built) in [
            ("handfast", env!("CARGO_BIN_EXE_handfast")),
            ("actor", env!("CARGO_BIN_EXE_handfast-test-actor")),
        ] {
            let to = self.program(name);
            if fs::hard_link(built, &to).is_err() {
                fs::copy(built, &to).expect("program");
            }
        }
        let policy =
            Path::new(env!("CARGO_MANIFEST_DIR")).join("spire-config/policy/default.cedar");
        let policy = fs::read_to_string(policy).expect("policy") + self.setup.policy;
        fs::write(self.folder().join("policy.cedar"), policy).expect("policy");
        fs::write(self.config(), self.agent_config()).expect("handfast.toml");
    }

    fn agent_config(&self) -> String {
        let spire = self.setup.spire.trust_domain.as_str();
        let attestation = match self.setup.attestation {
            "broker" => format!(
                "spiffe.broker_socket = '{}'\n\
                 spiffe.broker_agent_id = 'spiffe://{spire}/spire/agent/*'",
                self.spire.broker_socket().display()
            ),
            _ => format!(
                "spiffe.admin_socket = '{}'",
                self.spire.admin_socket().display()
            ),
        };
        let mut config = format!(
            "agent.spiffe_id = 'spiffe://{spire}/handfast/agent'\n\
             agent.socket_path = '{socket}'\nagent.socket_mode = '0666'\n\
             agent.operator_socket_path = '{folder}/private/operator.sock'\n\
             agent.data_dir = '{folder}/data'\nagent.key_file = '{folder}/key/names.key'\n\
             policy.path = '{folder}/policy.cedar'\n{settings}\n\
             spiffe.workload_api = '{workload_api}'\nspiffe.attestation = '{how}'\n{attestation}\n",
            socket = self.socket().display(),
            folder = self.folder().display(),
            settings = self.setup.settings.join("\n"),
            workload_api = self.spire.workload_api(),
            how = self.setup.attestation,
        );
        for (role, user) in ROLES {
            let pinned = self.setup.pinned.contains(&role);
            writeln!(
                config,
                "[[workload]]\nspiffe_id = 'spiffe://{spire}/{role}'\nuid = {user}\n\
                 process = {pinned}"
            )
            .expect("a string");
        }
        let folder = self.folder().display().to_string();
        config + &self.setup.tables.replace("{folder}", &folder)
    }
}

/// Prints the end of a log while a panic unwinds.
struct LogOnPanic(PathBuf);

impl Drop for LogOnPanic {
    fn drop(&mut self) {
        let log = fs::read_to_string(&self.0).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        let last = lines.len().saturating_sub(30);
        let end = format!("--- agent.log\n{}\n", lines[last..].join("\n"));
        drop(std::io::stderr().write_all(end.as_bytes()));
    }
}
