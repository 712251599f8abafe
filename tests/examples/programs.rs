//! Where the programs are, and processes that end with their test.

use std::path::{Path, PathBuf};
use std::process::Child;

/// The agent.
pub(crate) const HANDFAST: &str = env!("CARGO_BIN_EXE_handfast");

/// An example, which cargo builds for a whole test run but not for a single suite.
pub(crate) fn example(name: &str) -> PathBuf {
    let program = Path::new(HANDFAST).with_file_name("examples").join(name);
    assert!(
        program.exists(),
        "{} is not built: run `cargo build --examples` first",
        program.display()
    );
    program
}

/// A process that is killed when it is dropped.
pub(crate) struct Process(pub(crate) Child);

impl Drop for Process {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}
