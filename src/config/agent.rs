//! `[agent]`: who this agent is and where its sockets and files lie.
//!
//! Names `domain` only. The ledger and the key file must not share a folder: whoever copies one
//! should not get the other with it.

use super::refusal::ConfigError;
use super::table::Table;
use crate::domain::id::{SpiffeId, TrustDomain};
use std::path::PathBuf;

/// `[agent]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AgentConfig {
    /// The SPIFFE ID of every agent of the fleet: the `iss` of its tokens.
    pub spiffe_id: SpiffeId,
    /// The socket that workloads, workers and MCP servers use.
    pub socket_path: PathBuf,
    /// Permission bits of `socket_path`.
    pub socket_mode: u32,
    /// Group of `socket_path`; the agent's own group if absent.
    pub socket_group: Option<String>,
    /// The operator's socket, made with mode 0600.
    pub operator_socket_path: PathBuf,
    /// Folder of the ledger, mode 0700.
    pub data_dir: PathBuf,
    /// File with the key of all name digests, mode 0600; made at the first start.
    pub key_file: PathBuf,
}

impl AgentConfig {
    /// The trust domain of the agent and of every workload that is not federated.
    #[must_use]
    pub fn trust_domain(&self) -> &TrustDomain {
        self.spiffe_id.trust_domain()
    }

    /// The file of the embedded ledger.
    #[must_use]
    pub fn ledger_path(&self) -> PathBuf {
        self.data_dir.join("ledger.redb")
    }

    pub(super) fn read(mut table: Table<'_>) -> Result<Self, ConfigError> {
        let config = Self {
            spiffe_id: table.spiffe_id("spiffe_id")?,
            socket_path: table.socket_path("socket_path", "/run/handfast/public/agent.sock")?,
            socket_mode: mode(&mut table)?,
            socket_group: table.text("socket_group")?,
            operator_socket_path: table.socket_path(
                "operator_socket_path",
                "/run/handfast/private/operator.sock",
            )?,
            data_dir: table.path("data_dir", "/var/lib/handfast")?,
            key_file: table.path("key_file", "/var/lib/handfast-key/names.key")?,
        };
        config.refuse_shared_folders(&table)?;
        table.finish()?;
        Ok(config)
    }

    fn refuse_shared_folders(&self, table: &Table<'_>) -> Result<(), ConfigError> {
        if self.operator_socket_path.parent() == self.socket_path.parent() {
            return Err(ConfigError::Conflict {
                key: table.key("operator_socket_path"),
                other: table.key("socket_path"),
                reason: "workloads can reach the folder of their socket, put the operator's elsewhere",
            });
        }
        if self.key_file.starts_with(&self.data_dir) {
            return Err(ConfigError::Conflict {
                key: table.key("key_file"),
                other: table.key("data_dir"),
                reason: "a copy of the ledger must not bring its key along, put the key elsewhere",
            });
        }
        Ok(())
    }
}

/// Reads `socket_mode`, four octal digits as `chmod` takes them.
fn mode(table: &mut Table<'_>) -> Result<u32, ConfigError> {
    const DEFAULT: &str = "0660";
    let text = table.text_or("socket_mode", DEFAULT)?;
    let bits = u32::from_str_radix(&text, 8).ok();
    let four_digits = text.len() == 4 && text.bytes().all(|b| b.is_ascii_digit());
    match bits {
        Some(bits) if four_digits && bits & 0o600 == 0o600 && bits & !0o666 == 0 => Ok(bits),
        _ => Err(table.refuse(
            "socket_mode",
            &text,
            "four octal digits between \"0600\" and \"0666\" that let the owner read and write",
        )),
    }
}
