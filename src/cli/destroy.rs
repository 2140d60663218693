//! `greenroom destroy`: remove a stage with everything of it.

use anyhow::Context as _;
use clap::Args;

use super::follow::{FollowArgs, ask};
use super::stage::StageArgs;
use super::{ExitStatus, Printer};
use crate::model::{GoneReason, StageRecord, Target};

/// Remove a stage, and follow it until nothing is left.
#[derive(Debug, Args)]
#[command(after_help = "\
The request goes through the database to the server that runs on it.
A pull request's stage comes back with the next push to it.

Examples:
  greenroom destroy pr-42 --repo acme/shop
  greenroom destroy staging --repo acme/shop --yes")]
pub(super) struct Destroy {
    #[command(flatten)]
    stage: StageArgs,
    /// Remove a permanent stage too, and one that the database does not know but the target does.
    #[arg(long)]
    yes: bool,
    #[command(flatten)]
    follow: FollowArgs,
}

impl Destroy {
    pub(super) async fn run(self, printer: &mut Printer) -> anyhow::Result<ExitStatus> {
        let Self { stage, yes, follow } = self;
        let store = follow.open().await?;
        let stage = stage.id(store.as_ref()).await?;
        let record = store.stage(&stage).await.context("cannot read the stage")?;
        if record.is_none() && !yes {
            let message = format!("there is no stage {stage}: `greenroom status --repo {}` lists them", stage.repo);
            return Err(ExitStatus::Usage.error(message));
        }
        if record.as_ref().is_some_and(is_permanent) && !yes {
            return Err(
                ExitStatus::Usage.error(format!("{stage} does not go by itself: --yes removes it all the same"))
            );
        }
        let target = Target::Gone(GoneReason::Requested);
        ask(&store, &stage, target, &follow, printer).await?.finish(printer, &stage)
    }
}

/// Whether it belongs to no pull request and never expires: nothing but a wish ends it.
fn is_permanent(record: &StageRecord) -> bool {
    record.pull().is_none() && record.expires_at.is_none()
}
