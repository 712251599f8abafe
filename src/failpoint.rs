//! Crash points for the tests, compiled to nothing without the feature `failpoints`.
//!
//! `HANDFAST_FAILPOINTS="name=abort;other=count:3:abort;third=pause:/path"`: abort the process at the
//! point, at its third passage, or wait there until the file exists.

#[cfg(all(feature = "failpoints", not(debug_assertions)))]
compile_error!("the feature `failpoints` is for tests and never part of a release build");

/// Passes a named point.
#[cfg(not(feature = "failpoints"))]
#[inline]
pub fn hit(_name: &str) {}

#[cfg(feature = "failpoints")]
pub use enabled::hit;

#[cfg(feature = "failpoints")]
mod enabled {
    use std::collections::HashMap;
    use std::path::PathBuf;
    use std::sync::{Mutex, OnceLock, PoisonError};
    use std::time::Duration;

    enum Action {
        Abort { after: u32 },
        Pause(PathBuf),
    }

    static POINTS: OnceLock<Mutex<HashMap<String, Action>>> = OnceLock::new();

    /// Passes a named point: aborts or waits there if the environment says so.
    pub fn hit(name: &str) {
        let points = POINTS.get_or_init(|| Mutex::new(parse()));
        let pause = {
            let mut points = points.lock().unwrap_or_else(PoisonError::into_inner);
            match points.get_mut(name) {
                Some(Action::Abort { after }) if *after <= 1 => std::process::abort(),
                Some(Action::Abort { after }) => {
                    *after = after.saturating_sub(1);
                    None
                }
                Some(Action::Pause(path)) => Some(path.clone()),
                None => None,
            }
        };
        if let Some(path) = pause {
            // poll: a file is the only signal that another process can give here.
            while !path.exists() {
                std::thread::sleep(Duration::from_millis(2));
            }
        }
    }

    fn parse() -> HashMap<String, Action> {
        let text = std::env::var("HANDFAST_FAILPOINTS").unwrap_or_default();
        text.split(';')
            .filter_map(|point| {
                let (name, action) = point.split_once('=')?;
                let action = match action.split_once(':') {
                    None if action == "abort" => Action::Abort { after: 1 },
                    Some(("pause", path)) => Action::Pause(PathBuf::from(path)),
                    Some(("count", rest)) => Action::Abort {
                        after: rest.split_once(':')?.0.parse().ok()?,
                    },
                    Some(_) | None => return None,
                };
                Some((name.to_owned(), action))
            })
            .collect()
    }
}
