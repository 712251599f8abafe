//! `[[workload]]` and `[[audience]]`.

use super::{parse, refusal};
use crate::domain::id::Digest;

/// A workload row with the given further lines.
fn row(lines: &str) -> String {
    format!("[[workload]]\nspiffe_id = \"spiffe://example.org/worker\"\n{lines}")
}

#[test]
fn a59_a_role_by_executable_alone_is_refused_at_load() {
    let digest = format!("executable_s256 = \"{}\"\n", "ab".repeat(32));
    for lines in [
        row(""),
        row(&digest),
        row(&format!("{digest}process = false\n")),
    ] {
        assert!(
            refusal(&lines).starts_with("`workload[0]` for `spiffe://example.org/worker` demands"),
            "{}",
            refusal(&lines)
        );
    }
    for bound in [
        "uid = 0\n",
        "cgroup = \"/system.slice/w.service\"\n",
        "process = true\n",
    ] {
        assert!(parse(&row(&format!("{digest}{bound}"))).is_ok(), "{bound}");
    }
}

/// A release with one executable.
fn release(name: &str, digest: &str) -> String {
    format!("[[release]]\nname = \"{name}\"\nexecutables_s256 = [\"{digest}\"]\n")
}

#[test]
fn a59_a_role_by_release_alone_is_refused_at_load() {
    let release = release("worker", &"ab".repeat(32));
    let alone = format!("{}{release}", row("release = \"worker\"\n"));
    assert!(
        refusal(&alone).starts_with("`workload[0]` for"),
        "{}",
        refusal(&alone)
    );
    let bounded = format!("{}{release}", row("uid = 1\nrelease = \"worker\"\n"));
    let config = parse(&bounded).unwrap();
    assert!(config.workloads[0].needs_executable());
    assert_eq!(config.releases().of(Some(Digest([0xab; 32]))), ["worker"]);
    assert!(config.releases().of(Some(Digest([0xac; 32]))).is_empty());
    assert!(config.releases().of(None).is_empty());
}

#[test]
fn release_rows_are_checked() {
    let (digest, worker) = ("ab".repeat(32), "uid = 1\nrelease = \"worker\"\n");
    let both = format!("{worker}executable_s256 = \"{digest}\"\n");
    for (rows, at) in [
        (row(worker), "`workload[0].release` is"),
        (
            format!("{}{}", row(worker), release("other", &digest)),
            "`workload[0].release` is",
        ),
        (
            format!("{}{}", row(&both), release("worker", &digest)),
            "`workload[0].release` is",
        ),
        (
            release("worker", &digest).repeat(2),
            "`release[1].name` repeats",
        ),
        (release("worker", "ab"), "`release[0].executables_s256` is"),
        (
            release("worker", &digest).replace(&format!("\"{digest}\""), ""),
            "`release[0].executables_s256`",
        ),
        (release("", &digest), "`release[0].name`"),
    ] {
        let message = refusal(&rows);
        assert!(message.starts_with(at), "{message}");
    }
}

#[test]
fn workload_rows_are_checked() {
    for lines in [
        "cgroup = \"/\"\n",
        "cgroup = \"/*\"\n",
        "cgroup = \"system.slice/w\"\n",
        "cgroup = \"/system.slice//w\"\n",
        "cgroup = \"/system.slice/\"\n",
        "cgroup = \"/system.slice/*/w\"\n",
        "cgroup = \"/system.slice/w*\"\n",
        "cgroup = \"/system.slice/../w\"\n",
        "uid = -1\n",
        "uid = 4294967296\n",
        "uid = 1\nexecutable_s256 = \"abc\"\n",
    ] {
        let message = refusal(&row(lines));
        assert!(message.starts_with("`workload[0]."), "{message}");
    }
    assert!(parse(&row("cgroup = \"/kubepods.slice/*\"\n")).is_ok());
    let twice = format!("{}{}", row("uid = 1\n"), row("uid = 2\n"));
    assert!(
        refusal(&twice).starts_with("`workload[1].spiffe_id` repeats"),
        "{}",
        refusal(&twice)
    );
    let audience =
        "[[audience]]\nspiffe_id = \"spiffe://example.org/s\"\nurl = \"https://s.test/mcp\"\n";
    assert!(parse(audience).is_ok());
    assert!(refusal(&audience.repeat(2)).starts_with("`audience[1].url` repeats"));
    for url in [
        "http://s.test",
        "https://",
        "https://u@s.test",
        "https://s.test/#x",
    ] {
        let lines = audience.replace("https://s.test/mcp", url);
        assert!(refusal(&lines).starts_with("`audience[0].url` is"), "{url}");
    }
}

/// An approver with the given further rows.
fn approver(rows: &str) -> String {
    format!("[[approver]]\nspiffe_id = \"spiffe://example.org/worker\"\n{rows}")
}

#[test]
fn an_approver_has_a_row_with_a_user_or_a_cgroup() {
    let pinned = row("process = true\n");
    for rows in [approver(""), approver(&pinned)] {
        let refused = refusal(&rows);
        assert!(refused.contains("`approver[0].spiffe_id`"), "{refused}");
        assert!(refused.contains("names a uid or a cgroup"), "{refused}");
    }
    for bound in ["uid = 7\n", "cgroup = \"/system.slice/a.service\"\n"] {
        assert!(parse(&approver(&row(bound))).is_ok(), "{bound}");
    }
    let twice = approver(&format!("{}{}", approver(""), row("uid = 7\n")));
    assert!(refusal(&twice).contains("approver[1].spiffe_id"));
}

#[test]
fn person_issuers_are_checked() {
    let row = |issuer: &str, audience: &str, path: &str| {
        format!(
            "[[person_issuer]]\nissuer = \"{issuer}\"\naudience = \"{audience}\"\njwks_path = \"{path}\"\n"
        )
    };
    let good = row("https://login.test", "approvals", "/etc/keys.json");
    assert!(parse(&good).is_ok());
    for (bad, key) in [
        (
            row("http://login.test", "approvals", "/etc/keys.json"),
            "issuer",
        ),
        (row("https://login.test", "", "/etc/keys.json"), "audience"),
        (
            row("https://login.test", "approvals", "keys.json"),
            "jwks_path",
        ),
        (format!("{good}{good}"), "issuer"),
        (
            "[[person_issuer]]\nissuer = \"https://a\"\naudience = \"b\"\n".to_owned(),
            "jwks_path",
        ),
    ] {
        let refused = refusal(&bad);
        assert!(refused.contains(&format!("].{key}")), "{refused}");
    }
}
