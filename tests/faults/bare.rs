//! An agent alone: a configuration in a folder of its own, the process, and what it said. No SPIFFE
//! provider and no workloads.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// The longest that anything in these tests may take.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// The shipped policy.
pub(crate) const POLICY: &str = include_str!("../../spire-config/policy/default.cedar");

/// Waits until `found` finds something.
pub(crate) fn until<T>(what: &str, mut found: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = found() {
            return found;
        }
        assert!(Instant::now() < deadline, "waited in vain: {what}");
        std::thread::sleep(Duration::from_millis(10)); // poll: `found`
    }
}

/// A folder with all that an agent needs, except for SPIRE.
pub(crate) struct Bare {
    folder: TempDir,
}

impl Bare {
    pub(crate) fn new() -> Self {
        let bare = Self {
            folder: tempfile::tempdir().unwrap(),
        };
        for name in ["public", "private", "data", "key"] {
            fs::create_dir(bare.path(name)).unwrap();
        }
        fs::write(bare.path("policy.cedar"), POLICY).unwrap();
        bare.write("");
        bare
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.path("public/agent.sock")
    }

    /// A good configuration.
    pub(crate) fn good(&self) -> String {
        let folder = self.folder.path().display();
        format!(
            r#"
[agent]
spiffe_id = "spiffe://faults.test/handfast/agent"
socket_path = "{folder}/public/agent.sock"
operator_socket_path = "{folder}/private/operator.sock"
data_dir = "{folder}/data"
key_file = "{folder}/key/names.key"

[spiffe]
workload_api = "unix://{folder}/spiffe/public/api.sock"
broker_socket = "{folder}/spiffe/broker/broker.sock"
broker_agent_id = "spiffe://faults.test/spire/agent/*"
initial_sync_timeout = "1s"

[policy]
path = "{folder}/policy.cedar"
poll_interval = "50ms"
"#
        )
    }

    /// Writes the good configuration and `more` behind it.
    pub(crate) fn write(&self, more: &str) {
        self.write_config(&format!("{}\n{more}", self.good()));
    }

    pub(crate) fn write_config(&self, text: &str) {
        fs::write(self.path("handfast.toml"), text).unwrap();
    }

    fn command(&self, flags: &[&str]) -> Command {
        let mut command = handfast();
        command
            .arg("run")
            .arg("--config")
            .arg(self.path("handfast.toml"));
        command.args(flags);
        command
    }

    /// Runs an agent that is expected not to start; what it said.
    pub(crate) fn refused(&self) -> String {
        let output = finish(self.command(&[]));
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{said}");
        said
    }

    /// Starts an agent that is expected to listen.
    pub(crate) fn start(&self, flags: &[&str]) -> Running {
        let running = Running::spawn(self.command(flags));
        running.says("listening");
        running
    }

    /// Every file of the ledger's and the key's folder with its bytes: what a refused start may not change.
    pub(crate) fn state(&self) -> Vec<(PathBuf, Vec<u8>)> {
        let mut files = Vec::new();
        for folder in ["data", "key"] {
            for entry in fs::read_dir(self.path(folder)).unwrap() {
                let path = entry.unwrap().path();
                files.push((path.clone(), fs::read(&path).unwrap()));
            }
        }
        files.sort();
        files
    }
}

/// The program.
pub(crate) fn handfast() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_handfast"));
    command
        .env_remove("HANDFAST_FAILPOINTS")
        .stdin(Stdio::null());
    command
}

/// Runs to the end, within [`PATIENCE`].
pub(crate) fn finish(mut command: Command) -> Output {
    let mut child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let ended = Instant::now() + PATIENCE;
    while child.try_wait().unwrap().is_none() {
        if Instant::now() > ended {
            child.kill().unwrap();
            let output = child.wait_with_output().unwrap();
            panic!("did not end: {}", String::from_utf8_lossy(&output.stderr));
        }
        std::thread::sleep(Duration::from_millis(5)); // poll: the exit
    }
    child.wait_with_output().unwrap()
}

/// `handfast healthcheck` against a socket.
pub(crate) fn is_ready(socket: &Path) -> bool {
    let mut command = handfast();
    command.arg("healthcheck").arg("--socket-path").arg(socket);
    finish(command).status.success()
}

/// A process whose standard error is kept. Killed when dropped.
pub(crate) struct Running {
    child: Child,
    log: Arc<Mutex<String>>,
}

impl Running {
    pub(crate) fn spawn(mut command: Command) -> Self {
        let mut child = command
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let log = Arc::new(Mutex::new(String::new()));
        let lines = BufReader::new(child.stderr.take().unwrap());
        let kept = Arc::clone(&log);
        std::thread::spawn(move || {
            for line in lines.lines().map_while(Result::ok) {
                let mut kept = kept.lock().unwrap();
                kept.push_str(&line);
                kept.push('\n');
            }
        });
        Self { child, log }
    }

    pub(crate) fn pid(&self) -> i32 {
        i32::try_from(self.child.id()).unwrap()
    }

    pub(crate) fn log(&self) -> String {
        self.log.lock().unwrap().clone()
    }

    /// Waits until the log has this text.
    pub(crate) fn says(&self, text: &str) {
        let deadline = Instant::now() + PATIENCE;
        while !self.log().contains(text) {
            assert!(Instant::now() < deadline, "no `{text}` in:\n{}", self.log());
            std::thread::sleep(Duration::from_millis(10)); // poll: the log
        }
    }

    pub(crate) fn terminate(&self) {
        let pid = rustix::process::Pid::from_raw(self.pid()).unwrap();
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    }

    /// Waits for the exit, within [`PATIENCE`].
    pub(crate) fn ended(&mut self) -> ExitStatus {
        let child = &mut self.child;
        until("the exit", || child.try_wait().unwrap())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}
