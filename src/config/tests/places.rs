//! Paths, and the folders they lead through.

use super::{MINIMAL, parse, refusal};
use crate::config::{Config, ConfigError};
use std::os::unix::fs::PermissionsExt;

#[test]
fn paths_are_absolute_and_sockets_fit() {
    let long = format!("/run/{}", "x".repeat(103));
    for (lines, message) in [
        (
            "socket_path = \"agent.sock\"\n".to_owned(),
            "`agent.socket_path` is `agent.sock`",
        ),
        (
            "data_dir = \"/var/../etc\"\n".to_owned(),
            "`agent.data_dir` is `/var/../etc`",
        ),
        (
            format!("socket_path = \"{long}\"\n"),
            "`agent.socket_path` is",
        ),
        (
            "socket_mode = \"660\"\n".to_owned(),
            "`agent.socket_mode` is `660`",
        ),
        (
            "socket_mode = \"0777\"\n".to_owned(),
            "`agent.socket_mode` is `0777`",
        ),
        (
            "socket_mode = \"0066\"\n".to_owned(),
            "`agent.socket_mode` is `0066`",
        ),
        (
            "operator_socket_path = \"/run/handfast/public/op.sock\"\n".to_owned(),
            "`agent.operator_socket_path` and `agent.socket_path`",
        ),
        (
            "key_file = \"/var/lib/handfast/names.key\"\n".to_owned(),
            "`agent.key_file` and `agent.data_dir`",
        ),
        (
            "[spiffe]\nworkload_api = \"tcp://127.0.0.1:1\"\n".to_owned(),
            "`spiffe.workload_api` is",
        ),
    ] {
        assert!(refusal(&lines).starts_with(message), "{}", refusal(&lines));
    }
    let fits = format!("/run/{}", "x".repeat(102));
    assert!(
        parse(&format!(
            "socket_path = \"{fits}\"\nsocket_mode = \"0666\"\n"
        ))
        .is_ok()
    );
}

#[test]
fn a58_a_folder_that_everybody_can_write_is_refused() {
    let dir = tempfile::tempdir().expect("a folder");
    let file = dir.path().join("handfast.toml");
    let open = dir.path().join("open");
    std::fs::create_dir(&open).expect("a folder");
    let write = |socket_dir: &std::path::Path| {
        let line = format!("socket_path = \"{}/agent.sock\"\n", socket_dir.display());
        std::fs::write(&file, format!("{MINIMAL}{line}")).expect("written");
        Config::load(&file)
    };
    let set_mode = |mode| {
        std::fs::set_permissions(&open, std::fs::Permissions::from_mode(mode)).expect("mode");
    };
    set_mode(0o755);
    assert!(write(&open).is_ok());
    for mode in [0o757, 0o1777] {
        set_mode(mode);
        match write(&open) {
            Err(ConfigError::Exposed { key, folder }) => {
                assert_eq!(key, "agent.socket_path");
                assert_eq!(folder, open);
            }
            other => panic!("{mode:o}: {other:?}"),
        }
    }
    let inner = open.join("inner");
    std::fs::create_dir(&inner).expect("a folder");
    assert!(write(&inner).is_ok(), "below a sticky folder");
    set_mode(0o777);
    assert!(matches!(write(&inner), Err(ConfigError::Exposed { .. })));
}

#[test]
fn a_missing_file_is_named() {
    let error = Config::load(std::path::Path::new("/nonexistent/handfast.toml"))
        .expect_err("there is none");
    assert_eq!(
        error.to_string(),
        "cannot read configuration file `/nonexistent/handfast.toml`"
    );
}
