//! Whether somebody else could put another file in the place of one of ours (A58).
//!
//! Names nothing of the project. A folder that does not exist yet is judged when the agent makes
//! it.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

const WRITE_FOR_ALL: u32 = 0o002;
const STICKY: u32 = 0o1000;

/// The first folder on the way to `file` in which any user could replace what we rely on.
///
/// The folder of the file itself may not be writable for all, not even with the sticky bit: before
/// the file is made, anybody could make it. Further up the sticky bit keeps others from moving our
/// folder away.
pub(super) fn exposed(file: &Path) -> Option<PathBuf> {
    let file = std::path::absolute(file).ok()?;
    let parent = file.parent()?;
    if mode_of(parent).is_some_and(|mode| mode & WRITE_FOR_ALL != 0) {
        return Some(parent.to_owned());
    }
    parent
        .ancestors()
        .skip(1)
        .find(|folder| {
            mode_of(folder).is_some_and(|mode| mode & WRITE_FOR_ALL != 0 && mode & STICKY == 0)
        })
        .map(Path::to_owned)
}

/// Permission bits, following symbolic links; `None` where there is nothing to see.
fn mode_of(folder: &Path) -> Option<u32> {
    let metadata = std::fs::metadata(folder).ok()?;
    Some(metadata.permissions().mode())
}
