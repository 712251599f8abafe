//! Sets the stage, starts everybody, plays the story, and says whether all went as expected.

use crate::cast::{Player, Process, handfast};
use crate::oauth::Issuer;
use crate::operator::Operator;
use crate::roles::{
    ArchiveSettings, AssistantSettings, Queue, ReportsSettings, ThiefSettings, WorkerSettings,
};
use crate::stage::{Stage, TRUST_DOMAIN, WORKLOAD_API};
use crate::table::{Table, line};
use crate::{Error, explained, story};
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::net::UnixStream;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::Instant;

/// Sockets that tell a peer's process (`SO_PEERPIDFD`) came with this kernel.
const KERNEL: (u32, u32) = (6, 5);
const PROVIDER_WAIT: Duration = Duration::from_secs(10);
const POLL: Duration = Duration::from_millis(5);

/// Everybody on stage.
pub(crate) struct Scene<'a> {
    pub(crate) stage: &'a Stage,
    pub(crate) operator: Operator,
    pub(crate) agent: Process,
    pub(crate) assistant: Player,
    pub(crate) reports: Player,
    pub(crate) warehouse: Player,
    pub(crate) worker_1: Player,
    pub(crate) worker_2: Player,
    pub(crate) relief: Player,
    pub(crate) approver: Player,
    _archive: Player,
    pub(crate) twin: Player,
    pub(crate) thief: Player,
    pub(crate) issuer: Issuer,
    _provider: Process,
}

/// Plays the whole story; whether all went as expected.
pub(crate) async fn play() -> Result<bool, Error> {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let release = release.trim();
    if !kernel_suffices(release) {
        let (major, minor) = KERNEL;
        return Err(format!("needs Linux {major}.{minor} or later, this is {release}").into());
    }
    let stage = Stage::build()?;
    let mut table = Table::new();
    let played = tokio::select! {
        played = set_and_play(&stage, &mut table) => played,
        interrupted = interrupted() => Err(interrupted.err().unwrap_or("interrupted".into())),
    };
    if let Err(error) = played {
        table.unexpected(&explained(error.as_ref()))?;
        table.sum(story::ROWS)?;
        let logs = stage.keep().join("log");
        line(&format!("what everybody logged: {}", logs.display()))?;
        return Ok(false);
    }
    table.sum(story::ROWS)?;
    Ok(true)
}

/// Waits to be told to stop, so that the processes of the story are stopped with us.
async fn interrupted() -> Result<(), Error> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    Ok(())
}

async fn set_and_play(stage: &Stage, table: &mut Table) -> Result<(), Error> {
    let mut scene = Scene::set(stage).await?;
    scene.introduce()?;
    story::play(&mut scene, table).await
}

/// Starts the agent; it is ready when the operator says so.
pub(crate) fn start_agent(stage: &Stage) -> Result<Process, Error> {
    let config = stage.path("handfast.toml").display().to_string();
    handfast(
        stage,
        &["run", "--config", &config, "--development"],
        "agent",
    )
}

impl<'a> Scene<'a> {
    async fn set(stage: &'a Stage) -> Result<Self, Error> {
        let provider = start_provider(stage).await?;
        let issuer = Issuer::generate()?;
        std::fs::write(stage.path("jwks.json"), issuer.key_set()?)?;
        let mut agent = start_agent(stage)?;
        let operator = Operator::wait(&mut agent, &stage.path("private/operator.sock")).await?;
        let warehouse = Player::start(stage, "warehouse", ("warehouse", "warehouse"), &()).await?;
        let queue = ArchiveSettings {
            queue: stage.path("queue"),
        };
        let archive = Player::start(stage, "archive", ("archive", "archive"), &queue).await?;
        let reports = server(stage, &issuer, true).await?;
        let worker = WorkerSettings {
            queue: stage.path("queue"),
            warehouse: warehouse.spiffe_id.clone(),
            warehouse_port: warehouse.port,
            archive: archive.spiffe_id.clone(),
            archive_port: archive.port,
        };
        Ok(Self {
            assistant: client(stage, &issuer, &reports, &warehouse).await?,
            thief: thief(stage, &issuer, &reports).await?,
            twin: Player::start(stage, "reports", ("twin", "twin"), &()).await?,
            worker_1: Player::start(stage, "worker", ("worker-1", "worker"), &worker).await?,
            worker_2: Player::start(stage, "worker", ("worker-2", "worker"), &worker).await?,
            relief: Player::start(stage, "relief", ("relief", "worker"), &worker).await?,
            approver: Player::start(stage, "approver", ("approver", "approver"), &()).await?,
            _archive: archive,
            stage,
            operator,
            agent,
            reports,
            warehouse,
            issuer,
            _provider: provider,
        })
    }

    /// The server's queue, and where its backup lies.
    pub(crate) fn queue(&self) -> (Queue, Queue) {
        let (queue, backup) = (self.stage.path("queue"), self.stage.path("backup"));
        (Queue::at(&queue), Queue::at(&backup))
    }

    fn introduce(&self) -> Result<(), Error> {
        let accounts = if self.stage.accounts {
            "each workload has an account of its own"
        } else {
            "every process has your account; processes are pinned"
        };
        line(&format!("every role is a process of its own, {accounts}\n"))?;
        let agent = "spiffe://demo.test/handfast/agent".to_owned();
        for [left, right] in [
            [
                introduced("client", &self.assistant, "for user-1"),
                introduced("worker-1", &self.worker_1, "named"),
            ],
            [
                introduced("server", &self.reports, "rmcp 3.11"),
                introduced("worker-2", &self.worker_2, "same account, same SVID"),
            ],
            [
                introduced("tool", &self.warehouse, "counts effects"),
                introduced("twin", &self.twin, "the server's account and SVID"),
            ],
            [
                introduced("relief", &self.relief, "named by nobody"),
                introduced("approver", &self.approver, "asks people"),
            ],
            [
                introduced("thief", &self.thief, "user-3"),
                cast_line("agent", &agent, self.agent.pid(), ""),
            ],
        ] {
            line(format!("  {left}  {right}").trim_end())?;
        }
        line("")
    }
}

fn introduced(name: &str, player: &Player, note: &str) -> String {
    cast_line(name, &player.spiffe_id, player.pid(), note)
}

fn cast_line(name: &str, id: &str, pid: u32, note: &str) -> String {
    format!("{name:<8} {id:<33} pid {pid:<7} {note:<15}")
}

async fn start_provider(stage: &Stage) -> Result<Process, Error> {
    let folder = stage.path("spire").display().to_string();
    let entries = stage.path("entries.toml").display().to_string();
    let arguments = [
        "dev",
        "--trust-domain",
        TRUST_DOMAIN,
        "--folder",
        &folder,
        "--entries",
        &entries,
    ];
    let mut provider = handfast(stage, &arguments, "provider")?;
    let deadline = Instant::now().checked_add(PROVIDER_WAIT);
    while UnixStream::connect(stage.path(WORKLOAD_API)).await.is_err() {
        provider.check()?;
        if deadline.is_none_or(|deadline| Instant::now() >= deadline) {
            return Err("the development SPIFFE provider does not come up".into());
        }
        tokio::time::sleep(POLL).await;
    }
    Ok(provider)
}

/// Starts the MCP server, asking the agent or not.
pub(crate) async fn server(stage: &Stage, issuer: &Issuer, guarded: bool) -> Result<Player, Error> {
    let settings = ReportsSettings {
        guarded,
        queue: stage.path("queue"),
        issuer_key: issuer.public_key(),
    };
    let name = if guarded { "reports" } else { "reports-plain" };
    Player::start(stage, "reports", (name, "reports"), &settings).await
}

/// Starts the MCP client of a server.
pub(crate) async fn client(
    stage: &Stage,
    issuer: &Issuer,
    server: &Player,
    warehouse: &Player,
) -> Result<Player, Error> {
    let mut users = BTreeMap::new();
    for user in ["user-1", "user-2"] {
        users.insert(user.to_owned(), issuer.token(user)?);
    }
    let settings = AssistantSettings {
        server: server.spiffe_id.clone(),
        port: server.port,
        warehouse: warehouse.spiffe_id.clone(),
        worker: "spiffe://demo.test/worker".to_owned(),
        archive: "spiffe://demo.test/archive".to_owned(),
        users,
    };
    Player::start(stage, "assistant", ("client", "assistant"), &settings).await
}

/// Starts a thief, who is a user of the server like others.
pub(crate) async fn thief(
    stage: &Stage,
    issuer: &Issuer,
    server: &Player,
) -> Result<Player, Error> {
    let settings = ThiefSettings {
        server: server.spiffe_id.clone(),
        port: server.port,
        access_token: issuer.token("user-3")?,
    };
    Player::start(stage, "thief", ("thief", "thief"), &settings).await
}

fn kernel_suffices(release: &str) -> bool {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit());
    let mut number = || numbers.next().and_then(|digits| digits.parse().ok());
    match (number(), number()) {
        (Some(major), Some(minor)) => (major, minor) >= KERNEL,
        _ => false,
    }
}
