//! Compiles `proto/` into Rust, without a `protoc` on the machine.

use std::error::Error;
use std::path::{Path, PathBuf};

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=proto");

    let own = proto_files(Path::new("proto/handfast/v1"))?;
    if !own.is_empty() {
        tonic_prost_build::configure()
            .skip_debug(SECRET_OWN_MESSAGES)
            .compile_fds(protox::compile(own, ["proto"])?)?;
    }

    // Servers only, for the development provider: clients of these services come from the `spiffe` crate.
    let spiffe = proto_files(Path::new("proto/spiffe"))?;
    tonic_prost_build::configure()
        .build_client(false)
        .skip_debug(SECRET_MESSAGES)
        .compile_fds(protox::compile(spiffe, ["proto"])?)?;
    Ok(())
}

/// Our messages that carry a token, a name, a principal or arguments: `src/proto.rs` has their `Debug`.
const SECRET_OWN_MESSAGES: [&str; 17] = [
    ".handfast.v1.Approval",
    ".handfast.v1.AskName",
    ".handfast.v1.CheckName",
    ".handfast.v1.CheckRequest",
    ".handfast.v1.CreateRequest",
    ".handfast.v1.CreateResponse",
    ".handfast.v1.DecideRequest",
    ".handfast.v1.IssueResponse",
    ".handfast.v1.IssueStepResponse",
    ".handfast.v1.OneOf",
    ".handfast.v1.OrderToken",
    ".handfast.v1.Permission",
    ".handfast.v1.Principal",
    ".handfast.v1.ReportRequest",
    ".handfast.v1.StartRequest",
    ".handfast.v1.StepFacts",
    ".handfast.v1.ToolCall",
];

/// Messages that carry a private key or a token get a redacting `Debug` by hand.
const SECRET_MESSAGES: [&str; 5] = [
    ".X509SVID",
    ".JWTSVID",
    ".ValidateJWTSVIDRequest",
    ".spiffe.broker.X509SVID",
    ".spiffe.broker.JWTSVID",
];

/// The `.proto` files directly in a folder, sorted; none where the folder is missing.
fn proto_files(folder: &Path) -> Result<Vec<PathBuf>, Box<dyn Error>> {
    if !folder.is_dir() {
        return Ok(Vec::new());
    }
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path
            .extension()
            .is_some_and(|extension| extension == "proto")
        {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}
