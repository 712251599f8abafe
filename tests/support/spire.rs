//! A real SPIRE server and agent on loopback, for one test.
//!
//! Included by `#[path]` into the test binaries that want it. Everything is blocking: call it through
//! `spawn_blocking`, or before the runtime starts. Where no SPIRE can be had, [`programs()`] says why; with
//! `SPIRE=required` in the environment that is a failure.

#[path = "spire_conf.rs"]
mod conf;
#[path = "spire_programs.rs"]
mod programs;

pub(crate) use programs::{Programs, programs};

use conf::{agent_conf, server_conf};
use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

/// How long a server or agent may take to become healthy, and an entry to reach the agent.
const PATIENCE: Duration = Duration::from_secs(60);
const POLL_INTERVAL: Duration = Duration::from_millis(50);

/// What a test may want different.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    /// Trust domain of the server.
    pub(crate) trust_domain: String,
    /// Life of X.509-SVIDs; they rotate at about half of it.
    pub(crate) x509_svid_ttl: Duration,
    /// Path of the SPIFFE ID that may use the Broker and the Delegated Identity API.
    pub(crate) broker_path: String,
    /// `workload_size_limit` of the `unix` attestor: -1 never hashes.
    pub(crate) workload_size_limit: i64,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            trust_domain: "example.org".to_owned(),
            x509_svid_ttl: Duration::from_secs(3600),
            broker_path: "/handfast/agent".to_owned(),
            workload_size_limit: -1,
        }
    }
}

/// A registration entry to make.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Entry<'a> {
    /// Path of the SPIFFE ID, beginning with `/`.
    pub(crate) path: &'a str,
    /// Selectors, all of which must hold, such as `unix:uid:1001`.
    pub(crate) selectors: &'a [&'a str],
}

/// A running SPIRE server and, unless stopped, its agent. Both end with this value.
#[derive(Debug)]
pub(crate) struct SpireNode {
    // Declared before the folder: the programs must be gone before their files are.
    agent: Option<Running>,
    server: Running,
    folder: tempfile::TempDir,
    programs: Programs,
    trust_domain: String,
    join_token: String,
}

impl SpireNode {
    /// Starts a server, an agent that joined it, and waits until both are healthy.
    ///
    /// # Panics
    /// When either does not become healthy; the message has the end of its log.
    pub(crate) fn start(programs: &Programs, options: &Options) -> Self {
        // Other users' processes must reach the sockets, and a socket's path is at most 107 bytes.
        let folder = tempfile::Builder::new()
            .prefix("hf")
            .tempdir()
            .expect("temporary folder");
        open_folder(folder.path());
        for part in [
            "server",
            "agent",
            "agent/data",
            "agent/public",
            "agent/private",
            "agent/broker",
        ] {
            fs::create_dir(folder.path().join(part)).expect("folder");
            open_folder(&folder.path().join(part));
        }
        let port = free_port();
        let config = folder.path().join("server.conf");
        fs::write(&config, server_conf(folder.path(), port, options)).expect("server.conf");
        let server = Running::start(
            programs.server(),
            &config,
            &folder.path().join("server.log"),
        );
        let mut node = Self {
            agent: None,
            server,
            folder,
            programs: programs.clone(),
            trust_domain: options.trust_domain.clone(),
            join_token: String::new(),
        };
        node.wait_until_healthy();
        node.write_agent_conf(port, options);
        node.start_agent();
        node
    }

    /// Starts the agent. After [`SpireNode::stop_agent`] it proves itself by the SVID it kept on disk.
    ///
    /// # Panics
    /// When it does not become healthy.
    pub(crate) fn start_agent(&mut self) {
        assert!(self.agent.is_none(), "the agent runs already");
        let config = self.folder.path().join("agent.conf");
        let log = self.folder.path().join("agent.log");
        self.agent = Some(Running::start(self.programs.agent(), &config, &log));
        self.wait_until_healthy();
    }

    /// Kills the agent and waits until it is gone. Its sockets' files stay behind, as after a crash.
    pub(crate) fn stop_agent(&mut self) {
        self.agent = None;
    }

    /// Stops the agent's process in mid-air (SIGSTOP), or lets it go on.
    pub(crate) fn hang_agent(&self, hang: bool) {
        use rustix::process::{Pid, Signal, kill_process};
        let agent = &self.agent.as_ref().expect("an agent").0;
        let signal = if hang { Signal::STOP } else { Signal::CONT };
        kill_process(Pid::from_child(agent), signal).expect("a signal");
    }

    /// Makes an entry under this node and returns its ID. It reaches the agent within about 3 s:
    /// see [`SpireNode::wait_for`].
    pub(crate) fn entry_create(&self, entry: Entry<'_>) -> String {
        let id = format!("spiffe://{}{}", self.trust_domain, entry.path);
        let parent = self.parent_id();
        let mut arguments = vec!["entry", "create", "-parentID", &parent, "-spiffeID", &id];
        for selector in entry.selectors {
            arguments.extend(["-selector", selector]);
        }
        let answer = self.server_json(&arguments);
        answer["results"][0]["entry"]["id"]
            .as_str()
            .unwrap_or_else(|| panic!("no entry ID in {answer}"))
            .to_owned()
    }

    /// Deletes an entry: what SPIRE calls withdrawal.
    pub(crate) fn entry_delete(&self, entry_id: &str) {
        self.server_cli(&["entry", "delete", "-entryID", entry_id]);
    }

    /// The ID of the parent of this node's entries.
    pub(crate) fn parent_id(&self) -> String {
        format!("spiffe://{}/node1", self.trust_domain)
    }

    /// The SPIFFE ID that the agent shows on the Broker socket.
    pub(crate) fn agent_id(&self) -> String {
        format!(
            "spiffe://{}/spire/agent/join_token/{}",
            self.trust_domain, self.join_token
        )
    }

    /// The programs it runs.
    pub(crate) fn programs(&self) -> &Programs {
        &self.programs
    }

    /// Folder of everything; readable by all, removed at the end.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The Workload API's endpoint, `unix:///…`.
    pub(crate) fn workload_api(&self) -> String {
        format!("unix://{}", self.workload_socket().display())
    }

    /// The Broker API's socket. SPIRE makes it with mode 0770 at each start of the agent.
    pub(crate) fn broker_socket(&self) -> PathBuf {
        self.folder.path().join("agent/broker/broker.sock")
    }

    /// The Delegated Identity API's socket.
    pub(crate) fn admin_socket(&self) -> PathBuf {
        self.folder.path().join("agent/private/admin.sock")
    }

    /// The server's own socket, for `spire-server` commands.
    pub(crate) fn server_socket(&self) -> PathBuf {
        self.folder.path().join("server/api.sock")
    }

    /// Lets a user's group use the Broker and admin sockets. Needs root; again after each start of the agent.
    pub(crate) fn admit_group(&self, gid: u32) {
        for socket in [self.broker_socket(), self.admin_socket()] {
            std::os::unix::fs::chown(&socket, None, Some(gid)).expect("chown");
        }
    }

    /// Runs a `spire-server` command against this server and returns what it wrote.
    ///
    /// # Panics
    /// When it fails.
    pub(crate) fn server_cli(&self, arguments: &[&str]) -> String {
        let output = self
            .server_command(arguments)
            .output()
            .expect("spire-server");
        let said = text(&output);
        assert!(
            output.status.success(),
            "spire-server {arguments:?}: {said}"
        );
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// Polls until `found` gives a value: an entry has arrived, a withdrawal was noticed.
    ///
    /// # Panics
    /// After a minute, naming `what`.
    pub(crate) fn wait_for<T>(&self, what: &str, mut found: impl FnMut() -> Option<T>) -> T {
        let started = Instant::now();
        loop {
            if let Some(value) = found() {
                return value;
            }
            assert!(
                started.elapsed() < PATIENCE,
                "waited for {what}\n{}",
                self.logs()
            );
            std::thread::sleep(POLL_INTERVAL); // poll:
        }
    }

    /// The last lines of both logs, for failure messages.
    pub(crate) fn logs(&self) -> String {
        let tail = |name| {
            let log = fs::read_to_string(self.folder.path().join(name)).unwrap_or_default();
            let lines: Vec<&str> = log.lines().collect();
            let last = lines.len().saturating_sub(15);
            format!("--- {name}\n{}\n", lines[last..].join("\n"))
        };
        tail("server.log") + &tail("agent.log")
    }

    fn workload_socket(&self) -> PathBuf {
        self.folder.path().join("agent/public/api.sock")
    }

    fn server_command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(self.programs.server());
        // SPIRE's commands take their options after the words, in any order.
        command
            .args(arguments)
            .arg("-socketPath")
            .arg(self.server_socket());
        command
    }

    fn server_json(&self, arguments: &[&str]) -> serde_json::Value {
        let said = self.server_cli(&[arguments, &["-output", "json"]].concat());
        serde_json::from_str(&said).unwrap_or_else(|error| panic!("{error}: {said}"))
    }

    fn wait_until_healthy(&mut self) {
        let started = Instant::now();
        loop {
            let mut check = if self.agent.is_some() {
                let mut command = Command::new(self.programs.agent());
                command.args(["healthcheck", "-socketPath"]);
                command.arg(self.workload_socket());
                command
            } else {
                self.server_command(&["healthcheck"])
            };
            if check.output().is_ok_and(|output| output.status.success()) {
                return;
            }
            let program = self.agent.as_mut().unwrap_or(&mut self.server);
            let ended = program.0.try_wait().expect("wait");
            assert!(ended.is_none(), "SPIRE ended: {ended:?}\n{}", self.logs());
            assert!(
                started.elapsed() < PATIENCE,
                "SPIRE is not healthy\n{}",
                self.logs()
            );
            std::thread::sleep(POLL_INTERVAL); // poll:
        }
    }

    fn write_agent_conf(&mut self, port: u16, options: &Options) {
        let folder = self.folder.path();
        fs::write(
            folder.join("boot.pem"),
            self.server_cli(&["bundle", "show"]),
        )
        .expect("boot.pem");
        let parent = self.parent_id();
        let token = self.server_json(&["token", "generate", "-spiffeID", &parent]);
        self.join_token = token["value"].as_str().expect("a token").to_owned();
        let conf = agent_conf(folder, port, &self.join_token, options);
        fs::write(folder.join("agent.conf"), conf).expect("agent.conf");
    }
}

/// A program that is killed when this value ends.
#[derive(Debug)]
struct Running(Child);

impl Running {
    fn start(program: &Path, config: &Path, log: &Path) -> Self {
        let log = fs::File::options()
            .create(true)
            .append(true)
            .open(log)
            .expect("log");
        let child = Command::new(program)
            .args(["run", "-config"])
            .arg(config)
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("log"))
            .stderr(log)
            .spawn()
            .expect("SPIRE starts");
        Self(child)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Both fail only where the program is gone already.
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// A port that was free a moment ago.
fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback");
    listener.local_addr().expect("address").port()
}

fn open_folder(folder: &Path) {
    fs::set_permissions(folder, fs::Permissions::from_mode(0o755)).expect("mode");
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&[output.stdout.as_slice(), &output.stderr].concat()).into_owned()
}
