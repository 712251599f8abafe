//! The `handfast` program: see `handfast help`.

use clap::Parser;
use std::process::ExitCode;

fn main() -> ExitCode {
    handfast::cli::Cli::parse().run()
}
