//! Crash points for the tests. Names no other room.
//!
//! Compiled to nothing without the feature `failpoints`, and refused in a build without debug
//! assertions. With it, the environment variable `HANDFAST_FAILPOINTS` says what happens where:
//! `name=abort`, `name=count:3:abort` (at the third hit), `name=pause:/a/file` (until that file
//! exists), several of them parted by `;`.

#[cfg(all(feature = "failpoints", not(debug_assertions)))]
compile_error!("the feature `failpoints` is for builds with debug assertions only");

/// Does what the environment says for this point; nothing where it says nothing.
#[cfg(not(feature = "failpoints"))]
#[inline(always)]
pub fn hit(_name: &str) {}

#[cfg(feature = "failpoints")]
pub use armed::hit;

#[cfg(feature = "failpoints")]
mod armed {
    use std::path::PathBuf;
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::time::Duration;

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
            if hits < point.at {
                continue;
            }
            match &point.action {
                Action::Abort => std::process::abort(),
                Action::Pause(until) => {
                    while !until.exists() {
                        std::thread::sleep(POLL);
                    }
                }
            }
        }
    }
}
