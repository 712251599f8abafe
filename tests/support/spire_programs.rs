//! Where the SPIRE programs are, or why there are none.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// The version the suites were written against.
const VERSION: &str = "1.15.3";

/// The two programs.
#[derive(Clone, Debug)]
pub(crate) struct Programs {
    server: PathBuf,
    agent: PathBuf,
}

impl Programs {
    fn in_folder(folder: &Path) -> Result<Self, String> {
        let programs = Self {
            server: folder.join("spire-server"),
            agent: folder.join("spire-agent"),
        };
        for program in [&programs.server, &programs.agent] {
            let output = Command::new(program)
                .arg("--version")
                .output()
                .map_err(|error| format!("{}: {error}", program.display()))?;
            let said = [output.stdout, output.stderr].concat();
            if String::from_utf8_lossy(&said).trim() != VERSION {
                return Err(format!("{} is not {VERSION}", program.display()));
            }
        }
        Ok(programs)
    }

    /// The `spire-server` program.
    pub(crate) fn server(&self) -> &Path {
        &self.server
    }

    /// The `spire-agent` program.
    pub(crate) fn agent(&self) -> &Path {
        &self.agent
    }
}

/// Finds SPIRE: in `SPIRE_BIN`, else in `.spire/bin`, else (with `SPIRE=required`) by building it.
///
/// `Err` is one line that says why there is none.
fn find_programs() -> Result<Programs, String> {
    if let Some(folder) = std::env::var_os("SPIRE_BIN").filter(|value| !value.is_empty()) {
        return Programs::in_folder(Path::new(&folder));
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let built = Programs::in_folder(&root.join(".spire/bin"));
    if built.is_ok() || !required() {
        return built.map_err(|_reason| {
            format!("no SPIRE {VERSION}: run `make spire`, or set SPIRE_BIN to its folder")
        });
    }
    let output = Command::new(root.join("spire-config/build-spire.sh"))
        .output()
        .map_err(|error| format!("spire-config/build-spire.sh: {error}"))?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).trim().to_owned());
    }
    Programs::in_folder(&root.join(".spire/bin"))
}

/// SPIRE's programs, or `None` after one line (for all tests of the binary) that says why the suite does
/// not run.
///
/// # Panics
/// With `SPIRE=required`, where there is no SPIRE.
pub(crate) fn programs() -> Option<Programs> {
    static FOUND: OnceLock<Option<Programs>> = OnceLock::new();
    let found = FOUND.get_or_init(|| match find_programs() {
        Ok(programs) => Some(programs),
        Err(reason) => {
            assert!(!required(), "SPIRE=required, but {reason}");
            // Past the capture of the test harness, so that it is seen without `--nocapture`.
            let line = format!("NOT RUN  the tests against real SPIRE: {reason}\n");
            drop(std::io::stderr().write_all(line.as_bytes()));
            None
        }
    });
    found.clone()
}

fn required() -> bool {
    std::env::var("SPIRE").is_ok_and(|value| value == "required")
}
