//! The server's queue: a folder with one file per message. Whoever can read it learns names, and no more.

use crate::Error;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// A folder of messages.
pub(crate) struct Queue(PathBuf);

/// A message and where it lies.
#[derive(Clone)]
pub(crate) struct Message {
    pub(crate) work_reference: String,
    path: PathBuf,
}

impl Queue {
    pub(crate) fn at(folder: &Path) -> Self {
        Self(folder.to_owned())
    }

    /// Appends a message.
    pub(crate) fn push(&self, work_reference: &str) -> Result<(), Error> {
        let number = self.files()?.len();
        let path = self.0.join(format!("{number:06}"));
        let unfinished = self.0.join(format!(".{number:06}"));
        std::fs::write(&unfinished, work_reference)?;
        // The worker runs as another user.
        std::fs::set_permissions(&unfinished, std::fs::Permissions::from_mode(0o644))?;
        std::fs::rename(unfinished, path)?;
        Ok(())
    }

    /// The oldest message. It stays until it is acknowledged, so two workers may get the same one.
    pub(crate) fn oldest(&self) -> Result<Message, Error> {
        let path = self
            .files()?
            .into_iter()
            .next()
            .ok_or("the queue is empty")?;
        Ok(Message {
            work_reference: std::fs::read_to_string(&path)?,
            path,
        })
    }

    /// Copies all messages to another folder, as a backup does; or back.
    pub(crate) fn copy_to(&self, other: &Self) -> Result<(), Error> {
        for file in self.files()? {
            let name = file.file_name().ok_or("a message without a name")?;
            std::fs::copy(&file, other.0.join(name))?;
        }
        Ok(())
    }

    fn files(&self) -> Result<Vec<PathBuf>, Error> {
        let mut files = Vec::new();
        for entry in std::fs::read_dir(&self.0)? {
            let entry = entry?;
            if !entry.file_name().to_string_lossy().starts_with('.') {
                files.push(entry.path());
            }
        }
        files.sort();
        Ok(files)
    }
}

impl Message {
    /// Removes the message from the queue.
    pub(crate) fn acknowledge(&self) -> Result<(), Error> {
        Ok(std::fs::remove_file(&self.path)?)
    }
}
