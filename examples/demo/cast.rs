//! The processes of the story. All of them end with the director.

use crate::Error;
use crate::harness::SETTINGS;
use crate::stage::{Stage, WORKLOAD_API};
use crate::wire::{Ask, Said};
use serde::Serialize;
use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::Duration;
use tokio::sync::mpsc;

const ANSWER_WAIT: Duration = Duration::from_secs(15);

/// A process that is killed when it is dropped.
pub(crate) struct Process {
    child: Child,
    log: PathBuf,
}

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
        self.child.id()
    }

    /// SIGKILL, and waits until it is gone.
    pub(crate) fn kill(&mut self) -> Result<(), Error> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// Says why, if it ended by itself.
    pub(crate) fn check(&mut self) -> Result<(), Error> {
        let Some(status) = self.child.try_wait()? else {
            return Ok(());
        };
        let log = std::fs::read_to_string(&self.log).unwrap_or_default();
        let last = log.lines().last().unwrap_or("it logged nothing");
        let name = self.log.file_stem().unwrap_or_default().display();
        Err(format!("{name} ended ({status}): {last}").into())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended by itself; there is nobody left to tell.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Starts the `handfast` program with its output in a log.
pub(crate) fn handfast(stage: &Stage, arguments: &[&str], log: &str) -> Result<Process, Error> {
    let (path, log) = log_file(stage, log)?;
    let child = Command::new(&stage.handfast)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .spawn()?;
    Ok(Process { child, log: path })
}

/// Runs a verb of the operator's and returns what it printed.
pub(crate) async fn operator(stage: &Stage, verb: &[&str]) -> Result<String, Error> {
    let mut command = Command::new(&stage.handfast);
    command
        .args(verb)
        .arg("--operator-socket-path")
        .arg(stage.path("private/operator.sock"));
    let output = tokio::task::spawn_blocking(move || command.output()).await??;
    let (said, complaint) = (output.stdout, String::from_utf8_lossy(&output.stderr));
    if !output.status.success() {
        return Err(format!("{verb:?} ended with {}: {complaint}", output.status).into());
    }
    Ok(String::from_utf8(said)?)
}

fn log_file(stage: &Stage, name: &str) -> Result<(PathBuf, File), Error> {
    let path = stage.path("log").join(format!("{name}.log"));
    let file = File::options().create(true).append(true).open(&path)?;
    Ok((path, file))
}

impl Player {
    /// Starts a role of a workload as a process of its own, under the workload's program and account.
    pub(crate) async fn start(
        stage: &Stage,
        workload: &'static str,
        (name, role): (&'static str, &str),
        settings: &impl Serialize,
    ) -> Result<Self, Error> {
        let (log, stderr) = log_file(stage, name)?;
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
            .stderr(stderr);
        if let Some(account) = stage.account(workload) {
            command.uid(account).gid(account);
        }
        let mut child = command.spawn().map_err(|error| {
            let folder = stage.path("bin");
            let folder = folder.display();
            format!(
                "cannot start {name} ({error}): may programs run in `{folder}`? else set TMPDIR"
            )
        })?;
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
            process: Process { child, log },
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
            .map_err(|_late| format!("{} does not answer", self.name))?;
        if let Some(line) = line {
            return Ok(serde_json::from_str(&line)?);
        }
        // Its output is closed, so it is about to end.
        self.process.child.wait()?;
        self.process.check()?;
        Err(format!("{} ended", self.name).into())
    }
}
