//! The stage: a temporary folder with programs, accounts, entries, configuration and policy.

use crate::Error;
use crate::oauth::{APPROVALS, ISSUER};
use crate::roles::PURGE;
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// Everybody with an identity of the trust domain, and so with a program and an account of its own.
pub(crate) const WORKLOADS: [&str; 8] = [
    "approver",
    "archive",
    "assistant",
    "relief",
    "reports",
    "thief",
    "warehouse",
    "worker",
];

/// The trust domain of the story.
pub(crate) const TRUST_DOMAIN: &str = "demo.test";

/// Where on stage the development provider serves the Workload API.
pub(crate) const WORKLOAD_API: &str = "spire/public/api.sock";

/// The first of the user IDs that are used where the demo runs as root.
const FIRST_UID: u32 = 61_101;

/// Capabilities that playing under several accounts needs: `CAP_SETGID`, `CAP_SETUID`, and
/// `CAP_SYS_PTRACE`, without which the agent cannot look at programs of other accounts.
const CAPABILITIES: [u32; 3] = [6, 7, 19];

/// The stage.
pub(crate) struct Stage {
    folder: TempDir,
    /// The `handfast` program.
    pub(crate) handfast: PathBuf,
    /// Whether each workload has an account of its own.
    pub(crate) accounts: bool,
}

impl Stage {
    /// Builds the stage. Needs the `handfast` program.
    pub(crate) fn build() -> Result<Self, Error> {
        let folder = tempfile::Builder::new()
            .prefix("handfast-demo.")
            .tempdir()?;
        let stage = Self {
            folder,
            handfast: handfast()?,
            accounts: many_accounts()?,
        };
        std::fs::set_permissions(stage.folder.path(), Permissions::from_mode(0o755))?;
        for (name, mode) in [
            ("bin", 0o755),
            ("public", 0o755),
            ("spire", 0o755),
            ("private", 0o700),
            ("data", 0o700),
            ("key", 0o700),
            ("log", 0o700),
            ("backup", 0o700),
            // The queue is everybody's: what is in it grants nothing.
            ("queue", if stage.accounts { 0o777 } else { 0o700 }),
        ] {
            let path = stage.path(name);
            std::fs::create_dir(&path)?;
            std::fs::set_permissions(path, Permissions::from_mode(mode))?;
        }
        stage.copy_programs()?;
        std::fs::write(stage.path("entries.toml"), stage.entries())?;
        std::fs::write(stage.path("policy.cedar"), policy())?;
        std::fs::write(stage.path("handfast.toml"), stage.config())?;
        Ok(stage)
    }

    /// A place on the stage.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Leaves the folder for whoever wants to see what went wrong.
    pub(crate) fn keep(self) -> PathBuf {
        self.folder.keep()
    }

    /// The program of a workload.
    pub(crate) fn program(&self, workload: &str) -> PathBuf {
        self.path("bin").join(workload)
    }

    /// The account of a workload; `None` for our own.
    pub(crate) fn account(&self, workload: &str) -> Option<u32> {
        let place = WORKLOADS.iter().position(|name| *name == workload)?;
        let uid = FIRST_UID.checked_add(u32::try_from(place).ok()?)?;
        self.accounts.then_some(uid)
    }

    fn uid(&self, workload: &str) -> u32 {
        self.account(workload)
            .unwrap_or_else(|| rustix::process::geteuid().as_raw())
    }

    /// The development provider tells workloads apart by account and program, so each needs its own.
    fn copy_programs(&self) -> Result<(), Error> {
        let [first, others @ ..] = WORKLOADS;
        std::fs::copy(std::env::current_exe()?, self.program(first))?;
        std::fs::set_permissions(self.program(first), Permissions::from_mode(0o755))?;
        for other in others {
            std::fs::hard_link(self.program(first), self.program(other))?;
        }
        Ok(())
    }

    fn entries(&self) -> String {
        let mut text = entry(
            "handfast/agent",
            rustix::process::geteuid().as_raw(),
            &self.handfast,
        );
        text.push_str("broker = true\n");
        for name in WORKLOADS {
            text.push_str(&entry(name, self.uid(name), &self.program(name)));
        }
        text
    }

    fn config(&self) -> String {
        let path = |name: &str| self.path(name).display().to_string();
        let mut text = format!(
            r#"[agent]
spiffe_id = "spiffe://demo.test/handfast/agent"
socket_path = "{public}/agent.sock"
socket_mode = "0666"
operator_socket_path = "{private}/operator.sock"
data_dir = "{data}"
key_file = "{key}/names.key"

[spiffe]
workload_api = "unix://{workload_api}"
broker_socket = "{broker}"

[policy]
path = "{policy}"
"#,
            public = path("public"),
            private = path("private"),
            data = path("data"),
            key = path("key"),
            workload_api = path(WORKLOAD_API),
            broker = path("spire/broker/broker.sock"),
            policy = path("policy.cedar"),
        );
        // The client and the server are the one process that took the role. A worker is whoever has the
        // account; which process holds the leg is for the agent to see.
        for (name, process) in [
            ("approver", false),
            ("archive", false),
            ("assistant", true),
            ("relief", false),
            ("reports", true),
            ("warehouse", false),
            ("worker", false),
        ] {
            let uid = self.uid(name);
            text.push_str(&row(name, uid, process));
        }
        // Through whom people decide, and whose people.
        text.push_str("\n[[approver]]\nspiffe_id = \"spiffe://demo.test/approver\"\n");
        let people = format!(
            "\n[[person_issuer]]\nissuer = \"{ISSUER}\"\naudience = \"{APPROVALS}\"\n\
             jwks_path = \"{}\"\n",
            path("jwks.json")
        );
        text + &people
    }
}

fn row(name: &str, uid: u32, process: bool) -> String {
    format!(
        "\n[[workload]]\nspiffe_id = \"spiffe://demo.test/{name}\"\nuid = {uid}\n\
         process = {process}\n"
    )
}

fn entry(name: &str, uid: u32, program: &Path) -> String {
    format!(
        "\n[[entry]]\nspiffe_id = \"spiffe://demo.test/{name}\"\n\
         selectors = [\"unix:uid:{uid}\", \"unix:path:{}\"]\n",
        program.display()
    )
}

/// The shipped policy, who may vouch for the users of the demo's OAuth issuer, and what needs a person's consent.
fn policy() -> String {
    let shipped = include_str!("../../spire-config/policy/default.cedar");
    format!(
        r#"{shipped}
@id("reports-users")
permit (
  principal == Workload::"spiffe://demo.test/reports",
  action == Action::"vouch",
  resource
)
when {{ principal == resource.audience && context.issuer == "{ISSUER}" }};

@id("purge-wants-consent")
forbid (principal, action in [Action::"step", Action::"retry"], resource)
when {{ resource.name == "{PURGE}" }} unless {{ context.approved }};
"#
    )
}

/// The program: where `HANDFAST_BIN` says, else beside the folder of this one.
fn handfast() -> Result<PathBuf, Error> {
    let path = match std::env::var_os("HANDFAST_BIN") {
        Some(path) => PathBuf::from(path),
        None => std::env::current_exe()?
            .parent()
            .and_then(Path::parent)
            .ok_or("this program lies in no folder")?
            .join("handfast"),
    };
    path.canonicalize().map_err(|error| {
        format!(
            "cannot find the agent's program `{}` ({error}): run `cargo build`, or set HANDFAST_BIN",
            path.display()
        )
        .into()
    })
}

/// Whether processes can be started under other accounts and looked at there.
fn many_accounts() -> Result<bool, Error> {
    if !rustix::process::geteuid().is_root() {
        return Ok(false);
    }
    let status = std::fs::read_to_string("/proc/self/status")?;
    let effective = status
        .lines()
        .find_map(|line| line.strip_prefix("CapEff:"))
        .and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok())
        .unwrap_or_default();
    let has = |bit: &u32| {
        effective
            .checked_shr(*bit)
            .is_some_and(|mask| mask & 1 == 1)
    };
    Ok(CAPABILITIES.iter().all(has))
}
