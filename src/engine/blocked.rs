//! A goal that cannot begin, because its target does not let us look at the stage.
//!
//! Guarantees: it is told where the stage is shown, with the way out, as any failed step is; nothing was
//! changed then, and what is live or gone and stays as it is is not told to have failed; what never began
//! keeps no place.

use super::Engine;
use crate::model::{Failure, FailureKind, Outcome, Seconds, StageRecord, StageStatus, Wake, Wanted};
use crate::port::{Held, PortError, PortResult};

/// What is refused is asked for again after this: somebody may have granted it.
pub(super) const BLOCKED: Seconds = Seconds(300);
/// What may pass, when it has not passed for so many tries.
const AWAY: Seconds = Seconds(60);
/// So many tries are nobody's business.
const PATIENCE: u32 = 5;

impl Engine {
    /// Tells why a goal cannot begin, and when it is tried again. An error that may pass soon is answered as
    /// it is.
    pub(super) async fn blocked(
        &self,
        held: &Held,
        record: &mut StageRecord,
        wanted: &Wanted,
        error: PortError,
        attempts: u32,
    ) -> PortResult<Wake> {
        let is_refused = matches!(error, PortError::Denied { .. } | PortError::NotFound { .. });
        let (failure, after) = told(error, wanted, attempts)?;
        let (now, id) = (self.ports.clock.now(), &record.id);
        if self.once.is_news(&id.to_string(), &failure.summary) {
            tracing::warn!(stage = %id, "{id} cannot be looked at: {}", failure.summary);
        }
        let is_asked = record.asked.as_ref().is_some_and(|asked| asked.generation == record.generation);
        let sha = match wanted {
            // What runs already as it should is not known to have failed: an event that changes no commit, such
            // as a new title, is nobody's wish.
            Wanted::Live(spec) if !is_asked && record.status == (StageStatus::Live { sha: spec.sha.clone() }) => {
                self.settle(held, record).await?;
                return Ok(Wake::At(now.after(after)));
            }
            // Nor is what is gone known to have come back: the sweep rings for that.
            Wanted::Gone(_) if !is_asked && matches!(record.status, StageStatus::Gone { .. }) => {
                self.settle(held, record).await?;
                return Ok(Wake::OnBell);
            }
            // Should something be there all the same, of a database that was lost, the sweep finds it.
            Wanted::Gone(_) if is_refused && self.is_unbegun(record).await? => {
                record.expires_at = None;
                self.set_status(held, record, StageStatus::Gone { removed: 0 }).await?;
                self.call_waiting(record).await?;
                return Ok(Wake::OnBell);
            }
            Wanted::Live(spec) => Some(spec.sha.clone()),
            Wanted::Gone(_) => None,
        };
        self.set_status(held, record, StageStatus::Blocked { sha, failure }).await?;
        Ok(Wake::At(now.after(after)))
    }

    /// Whether the stage could not so much as begin, ever or since it was gone.
    async fn is_unbegun(&self, record: &StageRecord) -> PortResult<bool> {
        if !matches!(record.status, StageStatus::Blocked { sha: Some(_), .. }) {
            return Ok(false);
        }
        let newest = self.ports.store.deploys(&record.id, 1).await?.into_iter().next();
        Ok(newest.is_none_or(|deploy| matches!(deploy.ended, Some((_, Outcome::Gone { .. })))))
    }
}

/// What the reader is told, and when it is tried again.
fn told(error: PortError, wanted: &Wanted, attempts: u32) -> PortResult<(Failure, Seconds)> {
    let again = match wanted {
        Wanted::Live(_) => "Greenroom tries again every five minutes, and at once when somebody pushes.",
        Wanted::Gone(_) => "Greenroom tries again every five minutes until nothing is left.",
    };
    let failure = match error {
        PortError::Denied { reason } => {
            Failure::new(FailureKind::Environment, reason, format!("Grant what is missing. {again}"))
        }
        PortError::NotFound { what } => {
            let summary = format!("{what} does not exist");
            Failure::new(FailureKind::Environment, summary, format!("Make it, or correct what names it. {again}"))
        }
        PortError::Failed(failure) => Failure { advice: format!("{} {again}", failure.advice), ..*failure },
        PortError::Retry { reason, .. } if attempts >= PATIENCE => {
            let summary = format!("no answer after {attempts} tries: {reason}");
            let advice = "It is on the other side. Greenroom goes on trying.";
            return Ok((Failure::new(FailureKind::GaveUp, summary, advice), AWAY));
        }
        // What it is stands in the log, once for each try; it may have in it what differs each time.
        PortError::Bug { .. } if attempts >= PATIENCE => {
            let summary = format!("Greenroom could not look at the stage in {attempts} tries, by a fault of its own");
            let advice = "Its server's log says more. Greenroom goes on trying.";
            return Ok((Failure::new(FailureKind::Bug, summary, advice), AWAY));
        }
        error @ (PortError::Retry { .. } | PortError::Stale | PortError::Bug { .. }) => return Err(error),
    };
    Ok((failure, BLOCKED))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::GoneReason;

    #[test]
    fn what_somebody_can_do_something_about_is_told_with_what() {
        let gone = Wanted::Gone(GoneReason::Closed);
        let denied = || PortError::Denied { reason: "ecr:DescribeRepositories was refused".into() };
        let (failure, after) = told(denied(), &gone, 0).expect("it is told");
        assert_eq!((failure.summary.as_str(), after), ("ecr:DescribeRepositories was refused", BLOCKED));
        assert!(failure.advice.starts_with("Grant what is missing.") && failure.advice.contains("five minutes"));
        let advice = "Lift the quota.";
        let quota = PortError::failed(FailureKind::Environment, "the quota is used up", advice);
        assert!(told(quota, &gone, 0).is_ok_and(|(failure, _)| failure.advice.starts_with(advice)));
        let missing = PortError::NotFound { what: "the cluster".into() };
        assert!(told(missing, &gone, 0).is_ok_and(|(failure, _)| failure.summary == "the cluster does not exist"));
    }

    #[test]
    fn what_passes_soon_is_nobodys_business_and_what_does_not_is() {
        let gone = Wanted::Gone(GoneReason::Closed);
        let away = || PortError::retry("AWS did not answer");
        assert!(matches!(told(away(), &gone, 4), Err(PortError::Retry { .. })));
        let (failure, after) = told(away(), &gone, 5).expect("it is told");
        assert!(failure.summary.contains("5 tries: AWS did not answer"), "{}", failure.summary);
        assert_eq!(after, AWAY);
        assert!(matches!(told(PortError::Stale, &gone, 99), Err(PortError::Stale)));
        let ours = |request: &str| PortError::Bug { context: format!("ValidationError ({request})"), source: None };
        assert!(matches!(told(ours("a1"), &gone, 4), Err(PortError::Bug { .. })));
        let (failure, after) = told(ours("a1"), &gone, 5).expect("it is told");
        assert_eq!((failure.kind, after), (FailureKind::Bug, AWAY));
        assert!(told(ours("b2"), &gone, 5).is_ok_and(|(again, _)| again == failure), "in the same words");
    }
}
