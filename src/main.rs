//! The `handfast` program: see `handfast help`.

use std::process::ExitCode;

fn main() -> ExitCode {
    handfast::cli::main()
}
