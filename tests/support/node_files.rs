//! The files that a [`Node`](super::Node) starts from.

use super::{AGENT, Options, Role, Row, own_uid};
use std::fmt::Write as _;
use std::path::Path;

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
