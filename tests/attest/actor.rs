//! Drives `actor.py`: another process that calls the agent, honestly or not.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

/// The other process.
pub(crate) struct Actor {
    pub(crate) child: Child,
    commands: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

impl Actor {
    pub(crate) fn start() -> Self {
        Self::of(Command::new("python3"))
    }

    /// Starts through a command that ends in an interpreter.
    pub(crate) fn of(mut command: Command) -> Self {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/attest/actor.py");
        let mut child = command
            .arg(script)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("python3 is needed for the attacking processes");
        Self {
            commands: child.stdin.take(),
            answers: BufReader::new(child.stdout.take().unwrap()),
            child,
        }
    }

    /// An actor with an open connection.
    pub(crate) fn connected(socket: &Path) -> Self {
        let mut actor = Self::start();
        let answer = actor.ask(&format!("connect {}", socket.display()));
        assert_eq!(answer, "ok");
        actor
    }

    pub(crate) fn pid(&self) -> i32 {
        i32::try_from(self.child.id()).unwrap()
    }

    pub(crate) fn tell(&mut self, command: &str) {
        let commands = self.commands.as_mut().unwrap();
        writeln!(commands, "{command}").unwrap();
    }

    /// The next answer, while the agent goes on serving.
    pub(crate) fn answer(&mut self) -> String {
        tokio::task::block_in_place(|| {
            let mut line = String::new();
            self.answers.read_line(&mut line).unwrap();
            line.trim().to_owned()
        })
    }

    pub(crate) fn ask(&mut self, command: &str) -> String {
        self.tell(command);
        self.answer()
    }

    /// Waits for the first process to end, and reaps it.
    pub(crate) fn reap(&mut self) {
        tokio::task::block_in_place(|| self.child.wait().unwrap());
    }

    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.reap();
    }
}

impl Drop for Actor {
    fn drop(&mut self) {
        // An actor that became another program may not end by itself.
        drop(self.commands.take());
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
