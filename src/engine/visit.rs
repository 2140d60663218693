//! An engine that visits: it comes for what one event asks for, and leaves when that is at rest.
//!
//! Guarantees: it brings on the lanes that it is told of and no others, so that what somebody else works on, with
//! rights of their own, is left to them; what it leaves behind says who goes on.

use super::board::Board;
use super::{Engine, LEASE_MILLIS};
use crate::decide::Sighting;
use crate::model::{Chore, Event, Lane, RepoName, StageId, StageRecord, SurfaceKey, SurfaceKind, Wake};
use crate::port::{PortResult, StickyComment};
use crate::view;

impl Engine {
    /// Claims the first of these lanes that is due, brings it on, and gives it back. `false` when none is.
    pub async fn tick_among(&self, lanes: &[Lane]) -> PortResult<bool> {
        let now = self.ports.clock.now();
        let claimed = self.ports.store.claim_among(now, LEASE_MILLIS, lanes).await?;
        let Some(claimed) = claimed else { return Ok(false) };
        self.work(claimed).await?;
        Ok(true)
    }

    /// Sees that these duties come round, the next time within their periods, where nobody serves.
    pub async fn plan_chores(&self, chores: &[Chore]) -> PortResult<()> {
        let now = self.ports.clock.now();
        for chore in chores {
            self.ports.store.ring(&Lane::Chore(*chore), now.after(chore.period())).await?;
        }
        Ok(())
    }

    /// The stages as they would stand in the database had this event been handled, those that it changes.
    pub async fn foresee(&self, repo: &RepoName, event: &Event) -> PortResult<Vec<StageRecord>> {
        let project = self.routing(repo).await?;
        let stages = self.ports.store.stages(Some(repo)).await?;
        let mut board = Board::new(repo, stages, None, self.ports.clock.now());
        board.judge(event, &project, &Sighting::default());
        let changed = board.stages().iter().filter(|record| board.changed(&record.id.name).is_some());
        Ok(changed.cloned().collect())
    }

    /// Says in the stage's comment who goes on, as long as nobody else works on the stage. Answers whether it did.
    ///
    /// The next text of the stage takes its place: it is not noted as shown.
    pub async fn leave_word(&self, id: &StageId, word: &str) -> PortResult<bool> {
        let lane = Lane::Stage(id.clone());
        let now = self.ports.clock.now();
        self.ports.store.ring(&lane, now).await?;
        let Some(claimed) = self.ports.store.claim_among(now, LEASE_MILLIS, &[lane]).await? else { return Ok(false) };
        let said = self.say_word(id, word).await;
        self.ports.store.release(claimed.held, Wake::At(now), claimed.attempts).await?;
        said
    }

    async fn say_word(&self, id: &StageId, word: &str) -> PortResult<bool> {
        let now = self.ports.clock.now();
        if self.settings.comments == super::Comments::Left {
            return Ok(false);
        }
        let Some(mut shown) = super::stage_view(self.ports.store.as_ref(), id, now).await? else { return Ok(false) };
        let Some(pull) = shown.pull.filter(|_| !shown.phase.is_final()) else { return Ok(false) };
        shown.gaps.push(word.to_owned());
        let key = SurfaceKey { kind: SurfaceKind::Comment, key: String::new() };
        let history = self.ports.store.history(id, 1).await?;
        let before = history.surfaces.iter().find(|surface| surface.key == key);
        let (marker, body) = (view::marker(&id.name), view::comment(&shown));
        let external = before.and_then(|surface| surface.external.as_ref());
        let comment = StickyComment { repo: &id.repo, pull, id: external, marker: &marker, body: &body };
        self.ports.forge.publish_comment(&comment).await.map(|_| true)
    }
}
