//! What a step would do, made by the engine's own planner and not carried out.

use std::sync::Arc;

use anyhow::Context as _;

use super::Went;
use crate::app::action::{StepSettings, step_planner};
use crate::cli::{ExitStatus, plan};
use crate::decide::Deed;
use crate::model::{GoneReason, RepoName, StageId, StageRecord, StageStatus, Target};
use crate::port::{Forge, Store};
use crate::view::StepEnding;

/// The plans of every stage that the deed would change.
pub(super) async fn shown(
    settings: &StepSettings,
    store: &Arc<dyn Store>,
    forge: &Arc<dyn Forge>,
    key: &RepoName,
    deed: &Deed,
) -> anyhow::Result<Went> {
    let engine = step_planner(settings, store, forge, key).await?;
    let id = |name| StageId { repo: key.clone(), name };
    let records: Vec<StageRecord> = match deed {
        Deed::Deliver(event) => engine.foresee(key, &(**event).clone().of_repo(key)).await,
        Deed::Ask { stage, target } => {
            engine.request(&id(stage.clone()), target.clone()).await.map(|record| record.into_iter().collect())
        }
        Deed::Clear(subject) => {
            let all = store.stages(Some(key)).await.context("cannot read the stages")?;
            let there =
                |record: &StageRecord| record.subject == *subject && !matches!(record.status, StageStatus::Gone { .. });
            let gone = Target::Gone(GoneReason::Requested);
            Ok(all.into_iter().filter(there).map(|record| StageRecord { target: gone.clone(), ..record }).collect())
        }
        _ => Ok(Vec::new()),
    }
    .context("cannot read what that means")?;
    if records.is_empty() {
        return Ok(Went::noticed(
            "nothing would change: no rule under `stages` on the default branch wants a stage for it",
        ));
    }
    let (mut texts, mut worst) = (Vec::new(), ExitStatus::Ok);
    for record in &records {
        let (text, status) = plan::rendered(&engine, record).await?;
        texts.push(text);
        worst = worst.max(status);
    }
    let ending = match worst {
        ExitStatus::Ok => StepEnding::Done,
        ExitStatus::Usage => StepEnding::Refused,
        _ => StepEnding::Failed,
    };
    Ok(Went { shown: texts, ..Went::told(ending, worst, "nothing was done: this is what would be") })
}
