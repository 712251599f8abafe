//! The processes of the story. All of them end with the director.

use crate::harness::SETTINGS;
use crate::stage::{Stage, WORKLOAD_API};
use crate::wire::{Ask, Said};
use crate::{Error, explained};
use serde::Serialize;
use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::Duration;
use tokio::sync::mpsc;

const ANSWER_WAIT: Duration = Duration::from_secs(15);

/// A process that is killed when it is dropped.
pub(crate) struct Process(Child);

/// A role's process.
pub(crate) struct Player {
    name: &'static str,
    process: Process,
    asks: ChildStdin,
    said: mpsc::UnboundedReceiver<String>,
    /// What it said when it came up.
    pub(crate) port: u16,
    pub(crate) spiffe_id: String,
}

impl Process {
    pub(crate) fn pid(&self) -> u32 {
        self.0.id()
    }

    /// SIGKILL, and waits until it is gone.
    pub(crate) fn kill(&mut self) -> Result<(), Error> {
        self.0.kill()?;
        self.0.wait()?;
        Ok(())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended by itself; there is nobody left to tell.
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// Starts the `handfast` program with its output in a log.
pub(crate) fn handfast(stage: &Stage, arguments: &[&str], log: &str) -> Result<Process, Error> {
    let log = log_file(stage, log)?;
    let child = Command::new(&stage.handfast)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .spawn()?;
    Ok(Process(child))
}

fn log_file(stage: &Stage, name: &str) -> Result<File, Error> {
    let path = stage.path("log").join(format!("{name}.log"));
    Ok(File::options().create(true).append(true).open(path)?)
}

impl Player {
    /// Starts a role of a workload as a process of its own, under the workload's program and account.
    pub(crate) async fn start(
        stage: &Stage,
        workload: &'static str,
        (name, role): (&'static str, &str),
        settings: &impl Serialize,
    ) -> Result<Self, Error> {
        let mut command = Command::new(stage.program(workload));
        command
            .args(["role", role])
            .env_clear()
            .env(SETTINGS, serde_json::to_string(settings)?)
            .env("HANDFAST_SOCKET", stage.path("public/agent.sock"))
            .env(
                "SPIFFE_ENDPOINT_SOCKET",
                format!("unix://{}", stage.path(WORKLOAD_API).display()),
            )
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(log_file(stage, name)?);
        if let Some(account) = stage.account(workload) {
            command.uid(account).gid(account);
        }
        let mut child = command
            .spawn()
            .map_err(|error| format!("cannot start {name}: {}", explained(&error)))?;
        let asks = child.stdin.take().ok_or("no standard input")?;
        let answers = child.stdout.take().ok_or("no standard output")?;
        let (sender, said) = mpsc::unbounded_channel();
        std::thread::spawn(move || {
            for line in BufReader::new(answers).lines() {
                let Ok(line) = line else { break };
                if sender.send(line).is_err() {
                    break;
                }
            }
        });
        let mut player = Self {
            name,
            process: Process(child),
            asks,
            said,
            port: 0,
            spiffe_id: String::new(),
        };
        match player.hear().await? {
            Said::Up { port, spiffe_id } => {
                player.port = port.unwrap_or_default();
                player.spiffe_id = spiffe_id;
                Ok(player)
            }
            other => Err(format!("{name} came up with {other:?}").into()),
        }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// Asks, and waits for the answer.
    pub(crate) async fn ask(&mut self, ask: Ask) -> Result<Said, Error> {
        let mut line = serde_json::to_string(&ask)?;
        line.push('\n');
        self.asks
            .write_all(line.as_bytes())
            .map_err(|error| format!("{} is gone: {error}", self.name))?;
        match self.hear().await? {
            Said::Failed(why) => Err(format!("{}: {why}", self.name).into()),
            said => Ok(said),
        }
    }

    async fn hear(&mut self) -> Result<Said, Error> {
        let line = tokio::time::timeout(ANSWER_WAIT, self.said.recv())
            .await
            .map_err(|_late| format!("{} does not answer", self.name))?
            .ok_or_else(|| format!("{} ended: see its log", self.name))?;
        Ok(serde_json::from_str(&line)?)
    }
}
