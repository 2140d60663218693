//! Foundations by hand, followed to their end.

use super::AwsArgs;
use crate::model::{FoundationReport, Place, ResourceChange, StageId};

#[cfg(feature = "aws")]
pub(super) use with_aws::follow;
#[cfg(feature = "aws")]
pub use with_aws::{deploy, destroy, plan, report};
#[cfg(not(feature = "aws"))]
pub use without_aws::{deploy, destroy, plan, report};

/// Which foundation: the one of the stages that live at this place.
#[derive(Debug, Clone)]
pub struct Ground {
    /// Counts only for a permanent stage, which has a foundation of its own.
    pub stage: StageId,
    pub place: Place,
}

/// Told what is going on, once for each change.
pub type Note<'a> = &'a mut (dyn FnMut(&str) + Send);

#[cfg(feature = "aws")]
mod with_aws {
    use std::time::Duration;

    use anyhow::Context as _;

    use super::{AwsArgs, FoundationReport, Ground, Note, ResourceChange};
    use crate::app::aws::cloud_by_hand;
    use crate::port::{PortError, PortResult, Progress, Site};

    /// What AWS may refuse in a row before it is given up; with the waits between, some minutes.
    const PATIENCE: u32 = 30;
    const LONGEST_WAIT: Duration = Duration::from_secs(10);

    /// The foundation, there or not.
    pub async fn report(args: &AwsArgs, ground: &Ground) -> anyhow::Result<FoundationReport> {
        Ok(cloud_by_hand(args).await.report_foundation(ground.site()).await?)
    }

    /// The foundation, and what [`deploy`] would change.
    pub async fn plan(args: &AwsArgs, ground: &Ground) -> anyhow::Result<(FoundationReport, Vec<ResourceChange>)> {
        let cloud = cloud_by_hand(args).await;
        let report = cloud.report_foundation(ground.site()).await?;
        let changes = cloud.plan_foundation(ground.site()).await.with_context(|| {
            let FoundationReport { account, region, stack, .. } = &report;
            format!("cannot plan the foundation {stack} in account {account}, {region}")
        })?;
        Ok((report, changes))
    }

    /// Makes the foundation or brings it to these settings; answers its stack's name.
    pub async fn deploy(args: &AwsArgs, ground: &Ground, note: Note<'_>) -> anyhow::Result<String> {
        let cloud = cloud_by_hand(args).await;
        Ok(follow(note, || cloud.deploy_foundation(ground.site())).await?)
    }

    /// Takes it away.
    pub async fn destroy(args: &AwsArgs, ground: &Ground, note: Note<'_>) -> anyhow::Result<()> {
        let cloud = cloud_by_hand(args).await;
        Ok(follow(note, || cloud.destroy_foundation(ground.site())).await?)
    }

    impl Ground {
        fn site(&self) -> Site<'_> {
            Site { stage: &self.stage, place: &self.place }
        }
    }

    pub(in crate::app) async fn follow<T, F>(note: Note<'_>, mut ask: impl FnMut() -> F) -> PortResult<T>
    where
        F: Future<Output = PortResult<Progress<T>>>,
    {
        let (mut last, mut refused) = (String::new(), 0);
        loop {
            let (again, text) = match ask().await {
                Ok(Progress::Done(done)) => return Ok(done),
                Ok(Progress::Pending { again_millis, note }) => {
                    refused = 0;
                    (u64::try_from(again_millis).unwrap_or(0), note)
                }
                Err(PortError::Retry { reason, after_millis }) if refused < PATIENCE => {
                    refused += 1;
                    (after_millis.and_then(|millis| u64::try_from(millis).ok()).unwrap_or(2_000), reason)
                }
                Err(error) => return Err(error),
            };
            if text != last {
                note(&text);
                last = text;
            }
            tokio::time::sleep(Duration::from_millis(again).min(LONGEST_WAIT)).await;
        }
    }
}

#[cfg(not(feature = "aws"))]
mod without_aws {
    use super::{AwsArgs, FoundationReport, Ground, Note, ResourceChange};

    const WHY: &str = "this build of Greenroom leaves AWS out";

    pub async fn report(_: &AwsArgs, _: &Ground) -> anyhow::Result<FoundationReport> {
        anyhow::bail!(WHY)
    }

    pub async fn plan(_: &AwsArgs, _: &Ground) -> anyhow::Result<(FoundationReport, Vec<ResourceChange>)> {
        anyhow::bail!(WHY)
    }

    pub async fn deploy(_: &AwsArgs, _: &Ground, _: Note<'_>) -> anyhow::Result<String> {
        anyhow::bail!(WHY)
    }

    pub async fn destroy(_: &AwsArgs, _: &Ground, _: Note<'_>) -> anyhow::Result<()> {
        anyhow::bail!(WHY)
    }
}
