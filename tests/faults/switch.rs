//! Crash points that a test turns on when it is ready: files that the agent looks for.

use crate::job::Job;
use crate::node::{Options, until};
use std::fs;
use std::path::PathBuf;
use tempfile::TempDir;

/// One crash point or pause.
pub(crate) struct Switch {
    folder: TempDir,
    spec: String,
}

impl Switch {
    /// Aborts the agent at `point`, once [`Switch::arm`] was called.
    pub(crate) fn abort(point: &str) -> Self {
        Self::new(point, "abort")
    }

    /// Lets the agent wait at `point` from [`Switch::hold_back`] until [`Switch::release`].
    pub(crate) fn pause(point: &str) -> Self {
        let switch = Self::new(point, "pause");
        switch.release();
        switch
    }

    fn new(point: &str, action: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("switch");
        let spec = format!("{point}={action}:{}", file.display());
        Self { folder, spec }
    }

    /// A job whose agent has this point.
    pub(crate) fn job(&self, config: &str) -> Job {
        Job::with(&Options {
            failpoints: self.spec.clone(),
            config: config.to_owned(),
            ..Options::default()
        })
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join("switch")
    }

    fn reached(&self) -> PathBuf {
        self.folder.path().join("switch.reached")
    }

    /// The next hit aborts.
    pub(crate) fn arm(&self) {
        fs::write(self.file(), b"").unwrap();
    }

    /// No hit aborts any more.
    pub(crate) fn disarm(&self) {
        fs::remove_file(self.file()).unwrap();
    }

    /// The next hit waits.
    pub(crate) fn hold_back(&self) {
        fs::remove_file(self.reached()).ok();
        fs::remove_file(self.file()).unwrap();
    }

    /// Waits until somebody waits.
    pub(crate) fn somebody_waits(&self) {
        until("the pause", || self.reached().exists());
    }

    /// Lets everybody go on.
    pub(crate) fn release(&self) {
        fs::write(self.file(), b"").unwrap();
    }
}
