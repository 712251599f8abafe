//! Reading `/proc` files through a held directory, and parsing the few lines that count.

use super::KernelError;
use rustix::fs::{Mode, OFlags};
use std::fs::File;
use std::io::Read;
use std::os::fd::{BorrowedFd, OwnedFd};

/// No `/proc` file read here is longer; a cgroup path has at most 4 KiB (`PATH_MAX`) per hierarchy.
const PROC_FILE_BYTES_MAX: u64 = 64 * 1024;

/// Opens `/proc/<pid>` as a handle that stays with that process.
pub(super) fn open_directory(pid: i32) -> Result<OwnedFd, KernelError> {
    rustix::fs::open(
        format!("/proc/{pid}"),
        OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC,
        Mode::empty(),
    )
    .map_err(|e| KernelError::of_process("open /proc/<pid>", e.into()))
}

/// Reads one file of a held `/proc/<pid>` directory.
pub(super) fn read(directory: BorrowedFd<'_>, name: &'static str) -> Result<String, KernelError> {
    let fd = rustix::fs::openat(
        directory,
        name,
        OFlags::RDONLY | OFlags::CLOEXEC,
        Mode::empty(),
    )
    .map_err(|e| KernelError::of_process(name, e.into()))?;
    let mut bytes = Vec::with_capacity(2048);
    File::from(fd)
        .take(PROC_FILE_BYTES_MAX)
        .read_to_end(&mut bytes)
        .map_err(|e| KernelError::of_process(name, e))?;
    // A cgroup may be named in any bytes: a lossy name equals no name that can be configured.
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// Field 22 of `stat`, in clock ticks since boot.
pub(super) fn start_ticks(stat: &str) -> Result<u64, KernelError> {
    stat_field(stat, 22)
}

/// Field 28 of `stat`: where the stack began; 0 where we may not look.
pub(super) fn stack_start(stat: &str) -> Result<u64, KernelError> {
    stat_field(stat, 28)
}

fn stat_field(stat: &str, number: usize) -> Result<u64, KernelError> {
    // The name in field 2 may hold spaces and parentheses: count from the last `)`, before field 3.
    stat.rsplit_once(')')
        .zip(number.checked_sub(3))
        .and_then(|((_, rest), place)| rest.split_ascii_whitespace().nth(place))
        .and_then(|field| field.parse().ok())
        .ok_or(KernelError::Malformed("stat"))
}

/// The value of a `Name:\tvalue` line.
pub(super) fn line<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    text.lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
        .map(str::trim)
}

/// The second of the four IDs (real, effective, saved, file system) of a `Uid:` or `Gid:` line.
pub(super) fn effective_id(status: &str, name: &str) -> Result<u32, KernelError> {
    line(status, name)
        .and_then(|ids| ids.split_ascii_whitespace().nth(1))
        .and_then(|id| id.parse().ok())
        .ok_or(KernelError::Malformed("status"))
}

/// The whole path of the `0::` line, else of `name=systemd`; absent for `/`.
pub(super) fn cgroup_path(cgroup: &str) -> Option<String> {
    // hierarchy-ID:controllers:path, and the path may itself hold colons.
    let find = |wanted: &str| {
        cgroup.lines().find_map(|line| {
            let mut fields = line.splitn(3, ':');
            let (id, controllers, path) = (fields.next()?, fields.next()?, fields.next()?);
            let unified = wanted.is_empty() && id == "0" && controllers.is_empty();
            let named = !wanted.is_empty() && controllers == wanted;
            (unified || named).then_some(path)
        })
    };
    find("")
        .or_else(|| find("name=systemd"))
        .filter(|path| !matches!(*path, "" | "/"))
        .map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_in_stat_may_hold_anything() {
        let stat = "7 (a) b (c)) S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 4711 20 21 22 23 24 4712 26";
        assert_eq!(start_ticks(stat).unwrap(), 4711);
        assert_eq!(stack_start(stat).unwrap(), 4712);
        assert!(start_ticks("7 (a").is_err());
        assert!(start_ticks("7 (a) S 1 2").is_err());
    }

    #[test]
    fn the_effective_id_is_taken() {
        let status = "Name:\tx\nUid:\t1\t2\t3\t4\nGid:\t5\t6\t7\t8\nTracerPid:\t0\n";
        assert_eq!(effective_id(status, "Uid").unwrap(), 2);
        assert_eq!(effective_id(status, "Gid").unwrap(), 6);
        assert_eq!(line(status, "TracerPid"), Some("0"));
        assert!(effective_id(status, "Tid").is_err());
    }

    #[test]
    fn the_whole_cgroup_path_counts() {
        let both = "1:name=systemd:/v1\n0::/system.slice/a:b.service\n";
        assert_eq!(
            cgroup_path(both).as_deref(),
            Some("/system.slice/a:b.service")
        );
        assert_eq!(
            cgroup_path("3:cpu:/x\n1:name=systemd:/v1\n").as_deref(),
            Some("/v1")
        );
        assert_eq!(cgroup_path("0::/\n"), None);
        assert_eq!(cgroup_path("3:cpu:/x\n"), None);
        assert_eq!(cgroup_path(""), None);
        assert_eq!(cgroup_path("10::/x\n"), None);
    }
}
