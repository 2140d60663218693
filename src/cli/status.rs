//! `greenroom status`: every stage in one row, from the database.

use anyhow::Context as _;
use clap::Args;

use super::stage::only_of;
use super::{ExitStatus, Printer};
use crate::app::{self, StoreSettings, SystemClock};
use crate::engine::stage_view;
use crate::model::RepoName;
use crate::port::Clock as _;
use crate::view::{StagePhase, StatusRow, status_rows, status_table};

/// List the stages.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  greenroom status
  greenroom status --repo acme/shop --all
  greenroom --json status | jq -r '.[] | select(.state == \"failed\") | .stage'")]
pub(super) struct Status {
    /// Only those of this repository.
    #[arg(long, value_name = "OWNER/NAME")]
    repo: Option<RepoName>,
    /// Those that are gone too.
    #[arg(long)]
    all: bool,
    #[command(flatten)]
    store: StoreSettings,
}

impl Status {
    pub(super) async fn run(self, printer: &mut Printer) -> anyhow::Result<ExitStatus> {
        let store = app::open_existing_store(&self.store).await?;
        let now = SystemClock.now();
        let repo = only_of(store.as_ref(), self.repo.as_ref()).await?;
        let mut views = Vec::new();
        for record in store.stages(repo.as_ref()).await.context("cannot read the stages")? {
            views.extend(stage_view(store.as_ref(), &record.id, now).await.context("cannot read a stage")?);
        }
        views.retain(|view| self.all || view.phase != StagePhase::Destroyed);
        let counts = store.counts(now).await.context("cannot read the inbox")?;
        if counts.inbox_poison > 0 {
            let note = "webhooks could not be understood or handled; the server's log says why";
            printer.note(&format!("{} {note}", counts.inbox_poison))?;
        }
        printer.result(&status_rows(&views), |rows| self.human(rows, now))?;
        Ok(ExitStatus::Ok)
    }

    fn human(&self, rows: &[StatusRow], now: crate::model::Timestamp) -> String {
        if !rows.is_empty() {
            return status_table(rows, now);
        }
        let of = self.repo.as_ref().map(|repo| format!(" of {repo}")).unwrap_or_default();
        format!("no stage{of}: the first pull request makes one, or `greenroom deploy`")
    }
}
