//! `greenroom deploy`: bring a stage to a pull request, a branch or a commit.

use clap::Args;

use super::follow::{FollowArgs, ask};
use super::stage::{StageArgs, TargetArgs};
use super::{ExitStatus, Printer};

/// Deploy a stage, and follow it to its end.
#[derive(Debug, Args)]
#[command(
    mut_group("TargetArgs", |group| group.required(true)),
    after_help = "\
The request goes through the database to the server that runs on it.
Ctrl-C stops following; the deploy goes on.

Examples:
  greenroom deploy pr-42 --repo acme/shop --pr 42
  greenroom deploy staging --repo acme/shop --branch main --no-wait
  url=$(greenroom deploy prod --repo acme/shop --sha 0123456789abcdef0123456789abcdef01234567)"
)]
pub(super) struct Deploy {
    #[command(flatten)]
    stage: StageArgs,
    #[command(flatten)]
    target: TargetArgs,
    #[command(flatten)]
    follow: FollowArgs,
}

impl Deploy {
    pub(super) async fn run(self, printer: &mut Printer) -> anyhow::Result<ExitStatus> {
        let Self { stage, target, follow } = self;
        let target = target.target().ok_or_else(|| ExitStatus::Usage.error("say what to deploy: --pr 42"))?;
        let store = follow.open().await?;
        let stage = stage.id(store.as_ref()).await?;
        ask(&store, &stage, target, &follow, printer).await?.finish(printer, &stage)
    }
}
