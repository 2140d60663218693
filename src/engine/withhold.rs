//! What holds a goal back at the moment when it would begin: a lock, or a gate that was open when
//! somebody asked and is shut now.

use super::Engine;
use crate::decide::{hold, is_release_of};
use crate::model::{Asked, Release, StageRecord, StageStatus, Verb, Wake, Wanted, Withholding};
use crate::port::PortResult;

impl Engine {
    /// Why the goal must not begin now, and when to look again. `None`: it may. `newest`: the stage's
    /// newest release.
    pub(super) async fn withheld(
        &self,
        record: &StageRecord,
        wanted: &Wanted,
        newest: Option<&Release>,
    ) -> PortResult<Option<(Withholding, Wake)>> {
        // Locks and second looks are about what changes: what runs already is healed all the same.
        if let (Wanted::Live(spec), Some(release)) = (wanted, newest)
            && is_release_of(release, spec)
        {
            return Ok(None);
        }
        let now = self.ports.clock.now();
        let everything = self.ports.store.repo_lock(&record.id.repo).await?;
        if let Some(lock) = hold(record, everything.as_ref(), now) {
            let wake = lock.until.map_or(Wake::OnBell, Wake::At);
            return Ok(Some((Withholding::Locked(lock.clone()), wake)));
        }
        let Some(asked) = second_look(record) else { return Ok(None) };
        match &record.status {
            _ if record.is_busy() => {}
            // What was refused is not tried again by itself.
            StageStatus::Withheld { why: why @ Withholding::Refused { .. }, .. } => {
                return Ok(Some((why.clone(), Wake::OnBell)));
            }
            // The lock is gone, or the target lets us look by now, and it has not begun yet.
            StageStatus::Withheld { why: Withholding::Locked(_), .. } | StageStatus::Blocked { .. } => {}
            _ => return Ok(None),
        }
        let project = self.routing(&record.id.repo).await?;
        let refused = self.judge_again(&project, record, everything.as_ref(), asked, 0).await?;
        Ok(refused.map(|(evidence, way_out)| (Withholding::Refused { evidence, way_out }, Wake::OnBell)))
    }
}

/// The wish that made this goal, where it is one to be judged again.
fn second_look(record: &StageRecord) -> Option<&Asked> {
    let asked = record.asked.as_ref()?;
    // An approval is about one commit, and whether that is still the head is asked elsewhere; what
    // is cancelled must end.
    let is_judged = !matches!(asked.verb, Verb::Approve | Verb::Cancel);
    (is_judged && asked.generation == record.generation).then_some(asked)
}
