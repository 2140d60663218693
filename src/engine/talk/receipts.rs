//! Answers: shown as they are owed, and brought to their end when what they are bound to has one.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use sha2::{Digest, Sha256};

use super::super::{CALL_LIMIT, Engine, report};
use super::goals::{brief, sibling};
use super::reaction;
use super::said::appended;
use crate::model::{
    CommandOutcome, CommandReceipt, Generation, Outcome, PullNumber, ReceiptBond, ReceiptState, RepoName, StageRecord,
    StageStatus, Target, Timestamp, Verb, Wake, Wanted, Withholding,
};
use crate::port::{Held, PortError, PortResult, StickyComment};
use crate::view::{self, Receipt, Told, receipt_marker};

/// Answers that one activation shows.
const AT_ONCE: u32 = 50;
/// Commands that wait for their end, in one repository.
const BOUND: u32 = 1_000;
/// New answers on one pull request in a minute; more wait, so that nobody makes us flood it.
const A_MINUTE: usize = 5;
const MINUTE_MILLIS: i64 = 60_000;

/// When we last spoke where. Only a brake: what a restart forgets does no harm.
#[derive(Default)]
pub(in crate::engine) struct Spoken(Mutex<HashMap<(RepoName, PullNumber), Vec<Timestamp>>>);

impl Spoken {
    /// When a new answer may be written there: now, and then it counts, or later.
    fn may_speak(&self, repo: &RepoName, pull: PullNumber, now: Timestamp) -> Result<(), Timestamp> {
        let mut spoken = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        spoken.retain(|_, times| times.last().is_some_and(|last| now.since(*last) < MINUTE_MILLIS));
        let times = spoken.entry((repo.clone(), pull)).or_default();
        times.retain(|at| now.since(*at) < MINUTE_MILLIS);
        if times.len() < A_MINUTE {
            times.push(now);
            return Ok(());
        }
        Err(times[0].after_millis(MINUTE_MILLIS))
    }
}

impl Engine {
    /// Ends what can be ended, and shows what is owed. Answers when to come back.
    pub(in crate::engine) async fn answer(&self, held: &mut Held, repo: &RepoName) -> PortResult<Wake> {
        self.end_receipts(held, repo).await?;
        let mut wake = Wake::OnBell;
        for receipt in self.ports.store.receipts_due(held, AT_ONCE).await? {
            self.keep_lease(held).await?;
            let before = receipt.clone();
            let (receipt, again) = self.shown(receipt).await?;
            if let Some(at) = again {
                wake = wake.or(Wake::At(at));
            }
            if receipt != before {
                self.ports.store.save_receipts(held, vec![receipt]).await?;
            }
        }
        Ok(wake)
    }

    /// Receipts that are bound to what has ended by now, shown or not.
    async fn end_receipts(&self, held: &mut Held, repo: &RepoName) -> PortResult<()> {
        let bound = self.ports.store.receipts_bound(held, BOUND).await?;
        if !bound.iter().any(is_open) {
            return Ok(());
        }
        let stages = self.ports.store.stages(Some(repo)).await?;
        let mut ended = Vec::new();
        for mut receipt in bound.into_iter().filter(is_open) {
            let Some(bond) = receipt.bond.clone() else { continue };
            let Some(record) = stages.iter().find(|record| record.id.name == bond.stage) else { continue };
            if record.settled >= bond.generation {
                let (outcome, told) = self.end_of(record, &bond, &receipt).await?;
                settle_with(&mut receipt, outcome, told);
                ended.push(receipt);
            }
        }
        if ended.is_empty() {
            return Ok(());
        }
        self.ports.store.save_receipts(held, ended).await
    }

    /// How a command ended, and what there is to say of it beyond the stage's own comment.
    async fn end_of(
        &self,
        record: &StageRecord,
        bond: &ReceiptBond,
        receipt: &CommandReceipt,
    ) -> PortResult<(CommandOutcome, Option<Told>)> {
        let deploys = self.ports.store.deploys(&record.id, AT_ONCE).await?;
        let own = deploys.iter().find(|deploy| deploy.plan.generation == bond.generation);
        let ended = own.and_then(|deploy| deploy.ended).map(|(_, outcome)| outcome);
        let is_newest = bond.generation == record.settled;
        let outcome = match (ended, &record.status) {
            (Some(Outcome::Live | Outcome::Gone { .. }), _) => CommandOutcome::Done,
            (Some(Outcome::Failed), _) => CommandOutcome::Failed,
            (_, StageStatus::Live { .. } | StageStatus::Gone { .. }) if is_newest => CommandOutcome::Done,
            (_, StageStatus::Withheld { .. }) if is_newest => CommandOutcome::Refused,
            _ => CommandOutcome::Failed,
        };
        let verb = receipt.results.iter().rev().find_map(|result| result.verb).unwrap_or(Verb::Status);
        let view = if is_newest {
            report::stage_view(self.ports.store.as_ref(), &record.id, self.ports.clock.now()).await?
        } else {
            None
        };
        let is_live = matches!(record.status, StageStatus::Live { .. });
        let mut words = match &view {
            // The address is shown as a link beside it.
            Some(view) if is_live => view::check(view).title,
            Some(view) => view::line(view),
            None => format!("a newer goal took the place of this one on {}", record.id.name),
        };
        if let StageStatus::Withheld { why: Withholding::Refused { evidence, way_out }, .. } = &record.status
            && is_newest
        {
            words = format!("{evidence}. {way_out}");
        }
        let mut outcome = outcome;
        if outcome == CommandOutcome::Done {
            match verb {
                Verb::Promote => match self.proof(record, bond.generation).await? {
                    Ok(proof) => words = format!("{words}. {proof}"),
                    Err(differs) => {
                        outcome = CommandOutcome::Failed;
                        words = format!("{words}, but {differs}");
                    }
                },
                Verb::Cancel => words = format!("{words}. {}", undone(own.map(|deploy| &deploy.plan))),
                _ => {}
            }
        }
        let is_said_already = record.pull() == Some(receipt.pull) && receipt.body.is_none();
        let told = match outcome {
            CommandOutcome::Done if is_said_already => None,
            CommandOutcome::Failed if is_said_already && is_newest => None,
            CommandOutcome::Done => {
                let url = view.filter(|_| is_live).and_then(|view| view.url);
                Some(Told::Live { text: words, url })
            }
            CommandOutcome::Refused => Some(Told::Refused(words)),
            _ => Some(Told::Failed(words)),
        };
        Ok((outcome, told))
    }

    /// That what runs here is the very same as what it was promoted from, or what differs.
    async fn proof(&self, record: &StageRecord, generation: Generation) -> PortResult<Result<String, String>> {
        let Target::Release { stage: from, generation: source } = &record.target else {
            return Ok(Err("its goal is another one by now".into()));
        };
        let own = self.release(&record.id, &record.id.name, generation).await?;
        let source = self.release(&sibling(&record.id, from), from, *source).await?;
        let (Some((release, spec)), Some((original, old))) = (own, source) else {
            // Nothing had to be done: it runs already, which its own plan has compared.
            return Ok(Ok("It ran that already.".into()));
        };
        for (name, artifact) in &release.artifacts {
            if original.artifacts.get(name) != Some(artifact) {
                return Ok(Err(format!("{name} is another one than on {from}")));
            }
        }
        if spec.file != old.file {
            return Ok(Err(format!("its configuration is another one than that of {from}")));
        }
        let same: Vec<String> = release
            .artifacts
            .iter()
            .map(|(name, artifact)| format!("{name} {} = {}", brief(&artifact.digest), brief(&artifact.digest)))
            .collect();
        let file: String = spec.file.chars().take(12).collect();
        Ok(Ok(format!("The same as on {from}: {}; configuration {file} = {file}.", same.join(", "))))
    }

    /// Shows one receipt, and answers it as it stands then.
    async fn shown(&self, mut receipt: CommandReceipt) -> PortResult<(CommandReceipt, Option<Timestamp>)> {
        let now = self.ports.clock.now();
        let hash = shown_hash(&receipt);
        if receipt.shown.as_ref() != Some(&hash) {
            receipt.audit = self.ports.store.audit_head(&receipt.key.repo).await?;
            match self.publish_receipt(&mut receipt, now).await {
                Ok(None) => receipt.shown = Some(hash),
                Ok(Some(at)) => return Ok((receipt, Some(at))),
                Err(PortError::Stale) => return Err(PortError::Stale),
                Err(PortError::Denied { reason } | PortError::NotFound { what: reason }) => {
                    self.metrics.surfaces_refused.inc();
                    tracing::warn!(repo = %receipt.key.repo, pull = %receipt.pull, "GitHub does not take an answer: {reason}");
                    receipt.shown = Some(hash);
                }
                Err(error) => {
                    let after = match &error {
                        PortError::Retry { after_millis: Some(after), .. } => *after,
                        _ => 5_000,
                    };
                    tracing::warn!(repo = %receipt.key.repo, "an answer is put off: {error}");
                    return Ok((receipt, Some(now.after_millis(after))));
                }
            }
        }
        receipt.state = if is_open(&receipt) { ReceiptState::Waiting } else { ReceiptState::Settled };
        Ok((receipt, None))
    }

    /// Reaction, then words. `Some`: not before that time.
    async fn publish_receipt(&self, receipt: &mut CommandReceipt, now: Timestamp) -> PortResult<Option<Timestamp>> {
        let key = &receipt.key;
        let late = |_| PortError::retry("GitHub did not answer in time");
        if let Some(reaction) = receipt.reaction {
            let call = self.ports.forge.react(&key.repo, key.source, key.comment, reaction);
            match tokio::time::timeout(CALL_LIMIT, call).await.map_err(late)? {
                // A comment that was deleted meanwhile takes no reaction; the words are still owed.
                Ok(()) | Err(PortError::Denied { .. } | PortError::NotFound { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        let Some(body) = &receipt.body else { return Ok(None) };
        let body = receipt.audit.as_ref().map_or_else(|| body.clone(), |end| view::receipt_noting(body, end));
        if receipt.external.is_none()
            && let Err(at) = self.spoken.may_speak(&key.repo, receipt.pull, now)
        {
            return Ok(Some(at));
        }
        let marker = receipt_marker(key.comment);
        let (repo, pull, id) = (&key.repo, receipt.pull, receipt.external.as_ref());
        let comment = StickyComment { repo, pull, id, marker: &marker, body: &body };
        let call = self.ports.forge.publish_comment(&comment);
        let external = tokio::time::timeout(CALL_LIMIT, call).await.map_err(late)??;
        receipt.external = Some(external);
        Ok(None)
    }
}

/// Whether one of its commands has no end yet.
pub(in crate::engine) fn is_open(receipt: &CommandReceipt) -> bool {
    receipt.results.iter().any(|result| matches!(result.outcome, CommandOutcome::Accepted | CommandOutcome::Queued))
}

/// What of a stage a cancelled deploy had touched, and is led back.
fn undone(plan: Option<&crate::model::Plan>) -> String {
    let Some(plan) = plan.filter(|plan| !plan.steps.is_empty()) else {
        return "Nothing had been changed yet.".into();
    };
    let steps: Vec<&str> = plan.steps.iter().map(|step| step.key.0.as_str()).collect();
    match &plan.wanted {
        Wanted::Live(_) => format!("Led back by {}.", steps.join(", ")),
        Wanted::Gone(_) => format!("Removed again by {}.", steps.join(", ")),
    }
}

/// The open commands of a receipt have this end.
pub(super) fn settle_with(receipt: &mut CommandReceipt, outcome: CommandOutcome, told: Option<Told>) {
    let mut last = None;
    for result in &mut receipt.results {
        if matches!(result.outcome, CommandOutcome::Accepted | CommandOutcome::Queued) {
            result.outcome = outcome;
            last = Some(result.said.clone());
        }
    }
    if let (Some(command), Some(told)) = (last, told) {
        let part = Receipt { command, told };
        receipt.body = Some(appended(receipt.body.as_deref(), &receipt.key, &part));
    }
    receipt.reaction = Some(reaction(&receipt.results));
    receipt.state = ReceiptState::Due;
}

fn shown_hash(receipt: &CommandReceipt) -> String {
    let shown = format!("{:?}\n{}", receipt.reaction, receipt.body.as_deref().unwrap_or_default());
    hex::encode(Sha256::digest(shown))
}
