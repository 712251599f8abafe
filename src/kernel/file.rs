//! Small files that somebody else may have put there.

use rustix::fs::{Mode, OFlags};
use std::fs::File;
use std::io::{Error, ErrorKind, Read as _};
use std::path::Path;

/// The text of a regular file of at most so many bytes. Neither a pipe that nobody writes to nor a device without an
/// end holds the caller up.
///
/// # Errors
/// Also [`ErrorKind::InvalidInput`] for what is no regular file, [`ErrorKind::FileTooLarge`], and
/// [`ErrorKind::InvalidData`] for what is not UTF-8.
pub fn read_text(path: &Path, bytes_max: u64) -> Result<String, Error> {
    // Without it opening a pipe waits for a writer; reading a regular file is the same with and without.
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
    let file = File::from(rustix::fs::open(path, flags, Mode::empty())?);
    if !file.metadata()?.is_file() {
        return Err(Error::new(ErrorKind::InvalidInput, "not a regular file"));
    }
    let mut text = String::new();
    file.take(bytes_max.saturating_add(1))
        .read_to_string(&mut text)?;
    if u64::try_from(text.len()).is_ok_and(|length| length <= bytes_max) {
        return Ok(text);
    }
    let why = format!("longer than {bytes_max} bytes");
    Err(Error::new(ErrorKind::FileTooLarge, why))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_read_whole_or_not_at_all_and_nothing_else_is() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        std::fs::write(&file, "text").unwrap();
        assert_eq!(read_text(&file, 4).unwrap(), "text");
        assert_eq!(
            read_text(&file, 3).unwrap_err().kind(),
            ErrorKind::FileTooLarge
        );
        std::fs::write(&file, [0xff]).unwrap();
        assert_eq!(
            read_text(&file, 4).unwrap_err().kind(),
            ErrorKind::InvalidData
        );
        let pipe = folder.path().join("pipe");
        rustix::fs::mkfifoat(rustix::fs::CWD, &pipe, Mode::RUSR | Mode::WUSR).unwrap();
        for no_file in [&pipe, Path::new("/dev/zero"), folder.path()] {
            let refused = read_text(no_file, 4).unwrap_err();
            assert_eq!(
                refused.kind(),
                ErrorKind::InvalidInput,
                "{}",
                no_file.display()
            );
        }
    }
}
