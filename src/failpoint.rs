//! Crash points for the tests. Names no other room.
//!
//! Compiled to nothing without the feature `failpoints`, and refused in a build without debug
//! assertions. With it, the environment variable `HANDFAST_FAILPOINTS` says what happens where,
//! several points parted by `;`:
//!
//! * `name=abort`, or `name=count:3:abort` from the third hit on,
//! * `name=abort:/a/file`: abort once that file exists,
//! * `name=pause:/a/file`: go on once that file exists. A thread that waits has made
//!   `/a/file.reached` before.
//!
//! A name may be narrowed to one operation of the API, as `decide.judged_not_applied/Legs.Issue`.

#[cfg(all(feature = "failpoints", not(debug_assertions)))]
compile_error!("the feature `failpoints` is for builds with debug assertions only");

/// Does what the environment says for this point; nothing where it says nothing.
#[cfg(not(feature = "failpoints"))]
#[inline(always)]
pub fn hit(_name: &str) {}

/// As [`hit`], for a point that every operation passes.
#[cfg(not(feature = "failpoints"))]
#[inline(always)]
pub fn hit_in(_name: &str, _operation: &str) {}

#[cfg(feature = "failpoints")]
pub use armed::{hit, hit_in};

#[cfg(feature = "failpoints")]
mod armed {
    use std::path::{Path, PathBuf};
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::time::Duration;
    use tokio::runtime::{Handle, RuntimeFlavor};

    const VARIABLE: &str = "HANDFAST_FAILPOINTS";
    const POLL: Duration = Duration::from_millis(5);

    struct Point {
        name: String,
        at: u64,
        hits: AtomicU64,
        action: Action,
    }

    enum Action {
        Abort,
        AbortOnce(PathBuf),
        Pause(PathBuf),
    }

    fn points() -> &'static [Point] {
        static POINTS: OnceLock<Vec<Point>> = OnceLock::new();
        POINTS.get_or_init(|| {
            let text = std::env::var(VARIABLE).unwrap_or_default();
            text.split(';').filter_map(parse).collect()
        })
    }

    /// Parses one `name=action`; `None` for what is malformed.
    fn parse(text: &str) -> Option<Point> {
        let (name, action) = text.trim().split_once('=')?;
        let (at, action) = match action.strip_prefix("count:") {
            Some(counted) => {
                let (at, action) = counted.split_once(':')?;
                (Some(at.parse().ok()?), action)
            }
            None => (None, action),
        };
        let action = match action.split_once(':') {
            Some(("abort", path)) => Action::AbortOnce(PathBuf::from(path)),
            Some(("pause", path)) => Action::Pause(PathBuf::from(path)),
            None if action == "abort" => Action::Abort,
            Some(_) | None => return None,
        };
        Some(Point {
            name: name.to_owned(),
            at: at.unwrap_or(1),
            hits: AtomicU64::new(0),
            action,
        })
    }

    /// Does what the environment says for this point; nothing where it says nothing.
    pub fn hit(name: &str) {
        for point in points().iter().filter(|point| point.name == name) {
            let hits = point.hits.fetch_add(1, Ordering::SeqCst).saturating_add(1);
            if hits >= point.at {
                point.action.carry_out();
            }
        }
    }

    /// As [`hit`], for a point that every operation passes.
    pub fn hit_in(name: &str, operation: &str) {
        if !points().is_empty() {
            hit(name);
            hit(&format!("{name}/{operation}"));
        }
    }

    impl Action {
        fn carry_out(&self) {
            match self {
                Self::Abort => std::process::abort(),
                Self::AbortOnce(file) if file.exists() => std::process::abort(),
                Self::AbortOnce(_) => {}
                Self::Pause(until) => match Handle::try_current().map(|at| at.runtime_flavor()) {
                    // The other tasks of this worker thread must go on meanwhile.
                    Ok(RuntimeFlavor::MultiThread) => tokio::task::block_in_place(|| wait(until)),
                    Ok(_) | Err(_) => wait(until),
                },
            }
        }
    }

    fn wait(until: &Path) {
        if until.exists() {
            return;
        }
        let mut reached = until.as_os_str().to_owned();
        reached.push(".reached");
        if std::fs::write(&reached, b"").is_err() {
            // Nobody would know that this thread waits.
            std::process::abort();
        }
        while !until.exists() {
            std::thread::sleep(POLL);
        }
    }
}
