//! `Enforcement.Report`: what became of an effect.

use super::enforcement::demanded;
use super::ports::{Freshness, Peer};
use super::{Continuation, Failure};
use crate::domain::decide::report::{self, Outcome};
use crate::domain::denial::Reason;
use crate::domain::evidence::Assurance;
use crate::domain::id::{Fence, Jti, StepNumber, TaskId};
use crate::domain::lineage::{Load, Locator};
use crate::domain::role::{AsAudience, Held};
use crate::domain::step::StepState;

const REPORT: &str = "Enforcement.Report";

/// A tool reports what became of an effect.
#[derive(Clone, Copy, Debug)]
pub struct ReportAsk {
    /// The task.
    pub task: TaskId,
    /// The step.
    pub step: StepNumber,
    /// The fence of the token.
    pub fence: Fence,
    /// The `jti` of the token.
    pub jti: Jti,
    /// What became of it.
    pub outcome: Outcome,
}

impl Continuation {
    /// Records what became of an effect.
    ///
    /// # Errors
    /// See [`Failure`].
    pub async fn report(
        &self,
        peer: &Peer,
        ask: ReportAsk,
    ) -> Result<(StepState, String), Failure> {
        let caller = self.attest(peer, Freshness::Recent).await?;
        let load = Load {
            step: Some(ask.step),
            record: Some(ask.fence),
            ..Load::of(Locator::Task(ask.task))
        };
        let settings = std::sync::Arc::clone(&self.settings);
        let judge = self.judge(REPORT, caller.evidence(), move |scene| {
            scene.fact("fence", &ask.fence.0);
            scene.fact("outcome", &format!("{:?}", ask.outcome).to_lowercase());
            let record = scene.lineage.record.as_ref().ok_or(Reason::Unknown)?;
            let row = settings.row(&record.audience, scene.evidence);
            let task = scene.lineage.task.as_ref();
            let step = scene.lineage.written_step(ask.step);
            let demanded = task.map_or(Assurance::Svid, |task| demanded(task, step));
            let audience = Held::<AsAudience>::check(
                &record.audience,
                row.as_ref(),
                demanded,
                scene.evidence,
            )?;
            report::report(scene.lineage, &audience, ask.jti, ask.outcome, &scene.now)
        });
        self.answer(load, judge).await
    }
}
