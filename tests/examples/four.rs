//! Owner, server, worker and tool make one task together, on a node of their own.

use super::programs::{HANDFAST, Process, example};
use handfast::client::{Agent, AgentConfig};
use std::fmt::Write as _;
use std::io::{BufRead, BufReader};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{ChildStdout, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};
use tempfile::TempDir;

const PATIENCE: Duration = Duration::from_secs(30);
const POLL_INTERVAL: Duration = Duration::from_millis(10);

/// Each example and the SPIFFE ID it has here.
const ROLES: [(&str, &str); 4] = [
    ("owner", "assistant"),
    ("server", "reports"),
    ("tool", "warehouse"),
    ("worker", "worker"),
];

/// A node whose registration entries are for the examples.
struct Node {
    folder: TempDir,
    _provider: Process,
    _agent: Process,
}

impl Node {
    fn start() -> Self {
        Self::with("", "")
    }

    /// With these policies beside the shipped ones, and these settings.
    fn with(policies: &str, settings: &str) -> Self {
        let folder = tempfile::Builder::new().prefix("hf-").tempdir().unwrap();
        let path = folder.path();
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
        let (entries, config) = files(path);
        std::fs::write(path.join("entries.toml"), entries).unwrap();
        std::fs::write(path.join("handfast.toml"), config + settings).unwrap();
        let policy = include_str!("../../spire-config/policy/default.cedar");
        let policy = format!("{policy}\n{policies}\n");
        std::fs::write(path.join("policy.cedar"), policy).unwrap();
        let provider = Command::new(HANDFAST)
            .args(["dev", "--trust-domain", "demo.test", "--folder"])
            .arg(path.join("spiffe"))
            .arg("--entries")
            .arg(path.join("entries.toml"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let agent = Command::new(HANDFAST)
            .args(["run", "--development", "--config"])
            .arg(path.join("handfast.toml"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let node = Self {
            folder,
            _provider: Process(provider),
            _agent: Process(agent),
        };
        node.wait();
        node
    }

    fn wait(&self) {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let config = AgentConfig::new(self.folder.path().join("run/agent.sock"));
        until("the agent is ready", || {
            runtime.block_on(async {
                match Agent::connect(config.clone()).await {
                    Ok(agent) => agent.is_ready().await.unwrap_or_default(),
                    Err(_early) => false,
                }
            })
        });
    }

    /// What the operator's command line answers.
    fn operator(&self, verb: &[&str]) -> serde_json::Value {
        let output = Command::new(HANDFAST)
            .args(verb)
            .args(["--output", "json", "--operator-socket-path"])
            .arg(self.folder.path().join("private/operator.sock"))
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
        serde_json::from_slice(&output.stdout).unwrap()
    }

    fn example(&self, name: &str, arguments: [&str; 2]) -> Command {
        let path = self.folder.path();
        let workload_api = path.join("spiffe/public/api.sock");
        let mut command = Command::new(example(name));
        command
            .args(arguments)
            .env("HANDFAST_SOCKET", path.join("run/agent.sock"))
            .env(
                "SPIFFE_ENDPOINT_SOCKET",
                format!("unix://{}", workload_api.display()),
            )
            .stdin(Stdio::null())
            .stdout(Stdio::piped());
        command
    }
}

fn files(folder: &Path) -> (String, String) {
    let uid = rustix::process::geteuid().as_raw();
    let shown = folder.display();
    let mut entries = format!(
        "[[entry]]\nspiffe_id = \"spiffe://demo.test/handfast/agent\"\n\
         selectors = [\"unix:uid:{uid}\", \"unix:path:{HANDFAST}\"]\nbroker = true\n"
    );
    let mut config = format!(
        r#"[agent]
spiffe_id = "spiffe://demo.test/handfast/agent"
socket_path = "{shown}/run/agent.sock"
operator_socket_path = "{shown}/private/operator.sock"
data_dir = "{shown}/data"
key_file = "{shown}/key/names.key"
[spiffe]
workload_api = "unix://{shown}/spiffe/public/api.sock"
broker_socket = "{shown}/spiffe/broker/broker.sock"
[policy]
path = "{shown}/policy.cedar"
"#
    );
    for (name, id) in ROLES {
        let program = example(name);
        let (id, program) = (format!("spiffe://demo.test/{id}"), program.display());
        writeln!(
            entries,
            "[[entry]]\nspiffe_id = \"{id}\"\n\
             selectors = [\"unix:uid:{uid}\", \"unix:path:{program}\"]"
        )
        .unwrap();
        writeln!(config, "[[workload]]\nspiffe_id = \"{id}\"\nuid = {uid}").unwrap();
    }
    (entries, config)
}

/// Asks again and again, up to a deadline.
fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let began = Instant::now();
    while !holds() {
        assert!(began.elapsed() < PATIENCE, "waited in vain until {what}");
        std::thread::sleep(POLL_INTERVAL); // poll: the condition above
    }
}

/// An address on loopback that is this process's own. A port that was free a moment ago may be taken by
/// somebody's outgoing connection, `listening`'s own included.
fn own_address(port: u16) -> SocketAddr {
    let [_, high, middle, low] = std::process::id().to_be_bytes();
    let host = Ipv4Addr::new(127, 128 | high, middle, low);
    SocketAddr::from((host, port))
}

fn listening(address: SocketAddr) {
    until("somebody listens", || TcpStream::connect(address).is_ok());
}

/// The lines of a process, each waited for.
fn lines(output: ChildStdout) -> mpsc::Receiver<String> {
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        for line in BufReader::new(output).lines() {
            if sender.send(line.unwrap()).is_err() {
                break;
            }
        }
    });
    receiver
}

/// Tool, server and worker of the examples, and what they print.
struct Cast {
    warehouse: Process,
    _reports: Process,
    _worker: Process,
    effects: mpsc::Receiver<String>,
    steps: mpsc::Receiver<String>,
    at_server: String,
}

const SERVER: &str = "spiffe://demo.test/reports";

fn cast(node: &Node, [at_server, at_tool]: [SocketAddr; 2]) -> Cast {
    let tool = "spiffe://demo.test/warehouse";
    let (tool_at, server_at) = (at_tool.to_string(), at_server.to_string());
    let mut warehouse = Process(node.example("tool", [&tool_at, tool]).spawn().unwrap());
    let effects = lines(warehouse.0.stdout.take().unwrap());
    let reports = node.example("server", [&server_at, SERVER]).spawn();
    let mut reports = Process(reports.unwrap());
    let queue = Stdio::from(reports.0.stdout.take().unwrap());
    let mut worker = node.example("worker", [&tool_at, tool]);
    let mut worker = Process(worker.stdin(queue).spawn().unwrap());
    let steps = lines(worker.0.stdout.take().unwrap());
    listening(at_tool);
    listening(at_server);
    Cast {
        warehouse,
        _reports: reports,
        _worker: worker,
        effects,
        steps,
        at_server: server_at,
    }
}

/// What the owner's example prints.
fn told_by_owner(node: &Node, cast: &Cast) -> String {
    let owner = node.example("owner", [&cast.at_server, SERVER]).output();
    let owner = owner.unwrap();
    let told = String::from_utf8_lossy(&owner.stdout).into_owned();
    let complaint = String::from_utf8_lossy(&owner.stderr);
    assert!(owner.status.success(), "{told}{complaint}");
    told
}

#[test]
fn owner_server_worker_and_tool_make_one_task() {
    let node = Node::start();
    let cast = cast(&node, [8443, 8444].map(own_address));
    let told = told_by_owner(&node, &cast);
    // The worker may be faster than the question.
    let states = ["the task is Working\n", "the task is Completed\n"];
    assert!(states.contains(&told.as_ref()), "{told}");
    let step = cast
        .steps
        .recv_timeout(PATIENCE)
        .expect("the worker's step");
    assert_eq!(step, "leg 1: the tool says now: Done");
    let ended = cast.steps.recv_timeout(PATIENCE).expect("the leg's end");
    assert_eq!(ended, "leg 1: Completed");
    let effect = cast.effects.recv_timeout(PATIENCE).expect("an effect");
    assert_eq!(effect, "exported for spiffe://demo.test/assistant");
    // One effect, and no other: the tool's output ends with it.
    drop(cast.warehouse);
    assert!(cast.effects.recv_timeout(PATIENCE).is_err());
}

#[test]
fn while_a_person_is_asked_the_worker_keeps_its_leg_and_ends_nothing() {
    let node = Node::with(
        "forbid (principal, action == Action::\"step\", resource) unless { context.approved };",
        // Less than the worker waits before it asks again: without its hold the leg would be lost.
        "[tasks]\nlease_idle = \"300ms\"\n",
    );
    let cast = cast(&node, [8445, 8446].map(own_address));
    told_by_owner(&node, &cast);
    // Asked more than once, as one that waits does: it is the same request.
    let waits = || cast.steps.recv_timeout(PATIENCE).expect("that it waits");
    let asked = waits();
    assert!(asked.ends_with(" waits for a person"), "{asked}");
    assert_eq!(waits(), asked);
    let tasks = node.operator(&["task", "list"]);
    let task = &tasks[0];
    assert_eq!(task["state"], "input_required", "{tasks}");
    let id = task["task_id"].as_str().unwrap();
    node.operator(&["revoke", "task", id, "--why", "test"]);
    let mut told = std::iter::from_fn(|| cast.steps.recv_timeout(PATIENCE).ok());
    let last = told.find(|line| *line != asked).expect("word of the end");
    assert!(last.starts_with("leg 1: told to stop: "), "{last}");
    drop(cast.warehouse);
    assert!(cast.effects.recv_timeout(PATIENCE).is_err());
}
