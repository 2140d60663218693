//! A repository that is deleted: nobody is left who would close its pull requests.
//!
//! Guarantees: what a delivery says is believed only where GitHub itself does not know the number any more;
//! stages that come and go then go, and what is permanent stays until somebody says otherwise.

use super::Engine;
use super::board::Board;
use super::intake::nothing;
use crate::decide::Sighting;
use crate::model::{Event, GoneReason, RepoName, StageKind, StageRecord, StageStatus, Target};
use crate::port::{Held, InboxRow, IntakeWrite, PortError, PortResult};

impl Engine {
    /// Whether events say that the repository was deleted, and GitHub does not know it.
    pub(super) async fn is_deleted(&self, repo: &RepoName, rows: &[InboxRow]) -> PortResult<bool> {
        if !rows.iter().any(|row| matches!(row.event, Event::RepositoryDeleted { .. })) {
            return Ok(false);
        }
        // Its name is another's by now, and no other was heard of.
        let known = self.ports.store.known(repo).await?;
        if known.is_some_and(|known| known.name.is_none() && known.rumour.is_none()) {
            return Ok(true);
        }
        match self.ports.forge.repository(repo).await {
            Ok(_) => Ok(false),
            Err(PortError::NotFound { .. } | PortError::Denied { .. }) => Ok(true),
            Err(error) => Err(error),
        }
    }

    /// Has the stages go that come and go. Whatever else was heard has nobody who waits for an answer.
    pub(super) async fn let_all_go(
        &self,
        held: &Held,
        repo: &RepoName,
        rows: &[InboxRow],
        stages: Vec<StageRecord>,
    ) -> PortResult<()> {
        tracing::info!(%repo, "{repo} was deleted: its stages go, but for permanent ones");
        let names: Vec<_> = stages.iter().filter(|record| is_fleeting(record)).map(|it| it.id.name.clone()).collect();
        let mut board = Board::new(repo, stages, None, self.ports.clock.now());
        if let Some(row) = rows.iter().find(|row| matches!(row.event, Event::RepositoryDeleted { .. })) {
            for stage in names {
                let target = Target::Gone(GoneReason::RepositoryDeleted);
                let event = Event::Requested { repo: repo.clone(), stage, target };
                board.take(&InboxRow { event, ..row.clone() }, &nothing(), &Sighting::default());
            }
        }
        let (_, write) = board.write();
        let write = IntakeWrite { done: rows.iter().map(|row| row.seq).collect(), ..write };
        self.ports.store.apply_intake(held, write).await?;
        self.bell.notify_waiters();
        Ok(())
    }
}

fn is_fleeting(record: &StageRecord) -> bool {
    let comes_and_goes = match &record.place {
        Some(place) => place.kind == StageKind::Ephemeral,
        None => record.pull().is_some(),
    };
    comes_and_goes && !matches!(record.status, StageStatus::Gone { .. })
}
