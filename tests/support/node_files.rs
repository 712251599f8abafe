//! The files that a [`Node`](super::Node) starts from.

use super::{ACTOR, AGENT, Node, Options, Role, Row, own_uid};
use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::Command;

pub(super) fn entries(folder: &Path, roles: &[Role]) -> String {
    let mut text = format!(
        "[[entry]]\nspiffe_id = \"spiffe://demo.test/handfast/agent\"\n\
         selectors = [\"unix:path:{AGENT}\", \"unix:uid:{}\"]\nbroker = true\n",
        own_uid()
    );
    for role in roles {
        let (id, program) = (role.spiffe_id(), folder.join("bin").join(&role.name));
        let program = program.display();
        writeln!(
            text,
            "[[entry]]\nspiffe_id = \"{id}\"\nselectors = [\"unix:path:{program}\"]"
        )
        .unwrap();
    }
    text
}

pub(super) fn config(folder: &Path, options: &Options) -> String {
    let folder = folder.display();
    let mut text = format!(
        r#"
[agent]
spiffe_id = "spiffe://demo.test/handfast/agent"
socket_path = "{folder}/run/agent.sock"
socket_mode = "0666"
operator_socket_path = "{folder}/private/operator.sock"
data_dir = "{folder}/data"
key_file = "{folder}/key/names.key"
[spiffe]
workload_api = "unix://{folder}/spiffe/public/api.sock"
broker_socket = "{folder}/spiffe/broker/broker.sock"
broker_agent_id = "spiffe://demo.test/spire/agent/dev"
[policy]
path = "{folder}/policy.cedar"
"#
    );
    for role in &options.roles {
        let demand = match role.row {
            Row::Absent => continue,
            Row::Process => "process = true".to_owned(),
            Row::Release => format!("uid = {}\nrelease = \"{}\"", role.real_uid(), role.name),
            Row::Uid => format!("uid = {}", role.real_uid()),
        };
        writeln!(
            text,
            "[[workload]]\nspiffe_id = \"{}\"\n{demand}",
            role.spiffe_id()
        )
        .unwrap();
    }
    if !options.config.contains("[timeouts]") {
        // Denials are written when folding ends, and tests ask for their reasons.
        text.push_str("[timeouts]\nfold = \"50ms\"\n");
    }
    text.push_str(&options.config.replace("{folder}", &folder.to_string()));
    text
}

impl Node {
    /// Puts the command line in the place of a role's program, so that whoever runs it has the role's SPIFFE ID.
    pub(crate) fn give_cli_to(&self, name: &str) {
        let program = self.path("bin").join(name);
        fs::remove_file(&program).unwrap();
        copy_program(Path::new(AGENT), &program);
    }

    /// Puts another build in the place of a role's program: the same, but for these bytes at its end.
    pub(crate) fn deploy(&self, name: &str, build: &str) {
        let program = self.path("bin").join(name);
        fs::remove_file(&program).unwrap();
        let made = self.path("build");
        fs::write(&made, program_of(build)).unwrap();
        copy_program(&made, &program);
    }
}

/// Copies a program that is about to be run, by another process: where this one had the copy open for writing, a child
/// that another thread forks just then would have it open too, and until that child runs its own program nobody could
/// run this one (`ETXTBSY`).
pub(super) fn copy_program(from: &Path, to: &Path) {
    let mut install = Command::new("install");
    let copied = install.args(["-m", "755"]).arg(from).arg(to).status();
    assert!(copied.unwrap().success(), "{}", to.display());
}

/// What [`Node::deploy`] makes of a build.
pub(crate) fn program_of(build: &str) -> Vec<u8> {
    let mut program = fs::read(ACTOR).unwrap();
    program.extend_from_slice(build.as_bytes());
    program
}
