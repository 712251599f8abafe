//! Aborted just before and just after a commit: with the feature `failpoints` only.

use crate::kill::{acknowledged, check, spawn};
use crate::support::File;
use handfast::domain::id::Epoch;

#[tokio::test]
async fn an_abort_around_a_commit_loses_nothing_acknowledged() {
    for point in ["ledger.before_commit", "ledger.after_commit"] {
        let file = File::new();
        let child = spawn(&file.path(), 0, &format!("{point}=count:5:abort"));
        let acknowledged = acknowledged(child, usize::MAX);
        assert!(!acknowledged.is_empty());
        check(&file, &acknowledged, Epoch(2)).await;
    }
}
