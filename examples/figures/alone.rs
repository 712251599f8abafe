//! What can be measured without an agent: the rules alone, and the disk alone.

use crate::Error;
use crate::figure::{Figure, Size, count, quantile, rounded};
use handfast::domain::barred::Takeovers;
use handfast::domain::decide::step::{self, AskStep};
use handfast::domain::denial::Reason;
use handfast::domain::evidence::{Assurance, Evidence, ProcessKey, Required};
use handfast::domain::grant::{ArgumentConstraint, Grant, Permission, ToolCall};
use handfast::domain::id::{Digest, Epoch, Fence, Jti, LegNumber, SpiffeId, StepNumber, TaskId};
use handfast::domain::limits::Limits;
use handfast::domain::lineage::{Lineage, Now};
use handfast::domain::policy::{Permit, PolicyGeneration};
use handfast::domain::role::{AsPerformer, Held, Owner, Role};
use handfast::domain::task::{Leg, Task, TaskState};
use handfast::domain::time::Time;
use std::hint::black_box;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::Instant;

const NOW: Time = Time(1_000_000);
const LATER: Time = Time(4_600_000);
const EPOCH: Epoch = Epoch(1);
const PROCESS: ProcessKey = ProcessKey {
    boot_id: [1; 16],
    pidfd_inode: 103,
    pid: 103,
    start_ticks: 7,
};

/// Decisions between two looks at the clock.
const BATCH: usize = 1_000;

/// The decision of a step: role, authority, state and what to write; no policy, ledger or signature.
pub(crate) fn decide_us(size: &Size) -> Result<Figure, Error> {
    let worker = id("worker")?;
    let lineage = Lineage {
        id: Some(TaskId([5; 16])),
        task: Some(task(&worker)?),
        ..Lineage::default()
    };
    let evidence = Evidence {
        spiffe_ids: vec![worker],
        assurance: Assurance::Process,
        process: Some(PROCESS),
        uid: Some(30),
        cgroup: Some("/system.slice/worker.service".to_owned()),
        executable: None,
        releases: Vec::new(),
        traced: false,
        attested_at: NOW,
    };
    let ask = AskStep {
        leg: LegNumber(1),
        number: StepNumber(1),
        call: call("warehouse", "export")?.into(),
        idempotency_key: Digest([4; 32]),
        request: Digest([6; 32]),
        skip_unknown: None,
        jti: Jti([7; 16]),
    };
    let limits = Limits::default();
    let now = Now {
        time: NOW,
        epoch: EPOCH,
        limits: &limits,
    };
    let permit = Permit::granted(PolicyGeneration::default(), Vec::new());
    let decide = || {
        let lineage = black_box(&lineage);
        let held = Held::<AsPerformer>::check(lineage.known(&now)?, &evidence)?;
        step::issue(lineage, &held, &ask, &permit, &now)
    };
    let mut samples = Vec::with_capacity(size.batches);
    for _ in 0..size.batches {
        let started = Instant::now();
        for _ in 0..BATCH {
            black_box(decide()).map_err(|reason: Reason| reason.name())?;
        }
        samples.push(started.elapsed().as_secs_f64() * 1e6 / count(BATCH));
    }
    Ok(Figure {
        name: "decide_us",
        value: rounded(quantile(&samples, 500)),
        unit: "us",
        n: size.batches.saturating_mul(BATCH),
        how: format!(
            "pure decision of a first step in this process (role, grant, state, rows to write); without \
             policy, ledger and signature; median over batches of {BATCH}"
        ),
    })
}

/// What one durable write costs beside the ledger.
pub(crate) fn fdatasync_p50_ms(folder: &Path, size: &Size) -> Result<Figure, Error> {
    let path = folder.join("fdatasync");
    let file = std::fs::File::create_new(&path)?;
    let page = [0x5a_u8; 4096];
    file.write_all_at(&page, 0)?;
    file.sync_all()?;
    let mut samples = Vec::with_capacity(size.calls);
    for _ in 0..size.calls {
        let started = Instant::now();
        file.write_all_at(&page, 0)?;
        file.sync_data()?;
        samples.push(started.elapsed());
    }
    drop(file);
    std::fs::remove_file(path)?;
    let how = "pwrite of 4 KiB over itself and fdatasync, one at a time, in the ledger's folder (under TMPDIR)";
    Ok(Figure::p50_ms("fdatasync_p50_ms", &samples, how))
}

fn task(worker: &SpiffeId) -> Result<Task, Error> {
    let permission = Permission {
        audience: id("warehouse")?,
        tool: "export".to_owned(),
        arguments: ArgumentConstraint::Any,
    };
    Ok(Task {
        id: TaskId([5; 16]),
        txn: TaskId([5; 16]),
        parent: None,
        spawned_by: None,
        subject: None,
        created_at: NOW,
        owner: Owner {
            workload: Some(role(&id("assistant")?, 10)),
            principal: Some(Digest([9; 32])),
        },
        server: role(&id("reports")?, 20),
        performers: vec![role(worker, 30)],
        delegations: Vec::new(),
        takeovers: Takeovers::default(),
        call: call("reports", "build")?,
        asked: Grant {
            permissions: vec![permission],
            ..Grant::default()
        },
        own: Grant::default(),
        state: TaskState::Working,
        inputs: Vec::new(),
        deadline: LATER,
        claim_by: LATER,
        claimed_at: Some(NOW),
        owner_seen_at: NOW,
        ended_at: None,
        name: Digest([3; 32]),
        fence: Fence(2),
        legs: LegNumber(1),
        leg: Some(Leg {
            number: LegNumber(1),
            performer: worker.clone(),
            delegation: None,
            holder: PROCESS,
            uid: Some(30),
            certificate: Digest([8; 32]),
            certificate_ends: LATER,
            fence: Fence(2),
            epoch: EPOCH,
            started_at: NOW,
        }),
        last_step: StepNumber(0),
        pending: None,
        open_steps: Vec::new(),
        skipped_steps: Vec::new(),
        spawned: 0,
        owner_tokens: 0,
        owner_tokens_from: NOW,
    })
}

fn role(spiffe_id: &SpiffeId, uid: u32) -> Role {
    Role {
        spiffe_id: spiffe_id.clone(),
        required: Required {
            uid: Some(uid),
            ..Required::default()
        },
    }
}

fn call(audience: &str, tool: &str) -> Result<ToolCall, Error> {
    Ok(ToolCall {
        audience: id(audience)?,
        tool: tool.to_owned(),
        arguments: Digest([1; 32]),
        definition: None,
    })
}

fn id(path: &str) -> Result<SpiffeId, Error> {
    Ok(SpiffeId::new(format!("spiffe://figures.test/{path}"))?)
}
