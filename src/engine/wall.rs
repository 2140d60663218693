//! The wall between the repositories of one server: who is served at all, and whose a host is.
//!
//! Guarantees: for a repository that the operator does not serve nothing is fetched, built or started,
//! and no file of it is read; what it has already runs on, and goes when its pull request does. A host
//! is one stage's for as long as anything of that stage is there.

use super::Engine;
use super::board::Board;
use super::intake::{is_removal, nothing};
use crate::decide::command::{Known, read};
use crate::decide::wall;
use crate::model::{
    Action, ActorKind, CommandReceipt, CommentSource, Event, GoneReason, KnownRepo, Prefix, PullNumber,
    PullRequestAction, PullRequestState, ReceiptKey, ReceiptState, RepoName, StageId, StageRecord, StageSpec, Target,
    Wanted,
};
use crate::port::{Held, InboxRow, IntakeWrite, PortError, PortResult};
use crate::view::{Receipt, Told, receipt};

use super::ruling::Ruling;

impl Engine {
    /// The repository by its number; GitHub is asked about one that was never seen, or of which
    /// something else was heard than what is known.
    pub(super) async fn repository(&self, key: &RepoName) -> PortResult<KnownRepo> {
        let before = match self.ports.store.known(key).await? {
            Some(known) if known.rumour.is_none() => return Ok(known),
            before => before,
        };
        // What GitHub says of it is taken down on the way.
        match self.ports.forge.repository(key).await {
            // One that we are not let near any more is still known.
            Err(PortError::NotFound { .. } | PortError::Denied { .. }) if before.is_some() => {}
            answer => drop(answer?),
        }
        let known = self.ports.store.known(key).await?;
        known.ok_or_else(|| PortError::retry(format!("{key} was never seen")))
    }

    pub(super) async fn is_served(&self, key: &RepoName) -> PortResult<bool> {
        Ok(self.settings.wall.allow.covers(&self.repository(key).await?))
    }

    /// Refuses what would bring the code of a repository that is not served any nearer to running.
    pub(super) async fn serves(&self, key: &RepoName, action: &Action) -> PortResult<()> {
        let brings_on = match action {
            Action::Fetch
            | Action::Prepare
            | Action::Build { .. }
            | Action::Adopt { .. }
            | Action::Migrate { .. }
            | Action::Canary { .. }
            | Action::Start { .. }
            | Action::Shift { .. } => true,
            Action::Check { .. }
            | Action::Retire { .. }
            | Action::Tidy
            | Action::Remove { .. }
            | Action::Prove { .. } => false,
        };
        if !brings_on || self.is_served(key).await? {
            return Ok(());
        }
        Err(PortError::Denied { reason: wall::not_served(key) })
    }

    /// What becomes of a stage whose repository is not served: it goes when it would have gone, and
    /// runs on until then.
    pub(super) async fn rule_unserved(&self, record: &StageRecord) -> PortResult<Ruling> {
        let gone = |reason| Ok(Ruling::Want(Wanted::Gone(reason)));
        if self.is_over(record) {
            return gone(GoneReason::Expired);
        }
        let Target::PullRequest(number) = &record.target else { return Ok(Ruling::Keep) };
        // No policy is read here, on the way to which the number would be compared.
        self.ports.forge.repository(&record.id.repo).await?;
        match self.ports.forge.pull_request(&record.id.repo, *number).await?.state {
            PullRequestState::Closed => gone(GoneReason::Closed),
            PullRequestState::Merged => gone(GoneReason::Merged),
            PullRequestState::Open | PullRequestState::Draft => Ok(Ruling::Keep),
        }
    }

    /// Handles the events of a repository that is not served: its stages may go, and each pull request
    /// is told once.
    pub(super) async fn turn_away(
        &self,
        held: &mut Held,
        known: &KnownRepo,
        rows: &[InboxRow],
        stages: Vec<StageRecord>,
    ) -> PortResult<()> {
        let (repo, now) = (&known.key, self.ports.clock.now());
        tracing::debug!(%repo, "{}", wall::not_served(repo));
        let mut receipts: Vec<CommandReceipt> = Vec::new();
        for pull in rows.iter().filter_map(|row| asked_on(&row.event)) {
            if receipts.iter().all(|known| known.pull != pull) {
                receipts.push(told_off(repo, pull, now));
            }
        }
        let mut write = IntakeWrite::default();
        if !stages.is_empty() || rows.iter().any(|row| is_removal(&row.event)) {
            let seen = self.look(repo, rows, &stages).await?;
            let lock = self.ports.store.repo_lock(repo).await?;
            let mut board = Board::new(repo, stages, lock, now);
            let deploys = |row: &&InboxRow| matches!(row.event, Event::Requested { .. }) && !is_removal(&row.event);
            rows.iter().filter(|row| !deploys(row)).for_each(|row| board.take(row, &nothing(), &seen));
            write = board.write().1;
        }
        let write = IntakeWrite { done: rows.iter().map(|row| row.seq).collect(), receipts, ..write };
        self.ports.store.apply_intake(held, write).await?;
        self.bell.notify_waiters();
        Ok(())
    }

    /// What of a stage's addresses is not its repository's to have, in sentences.
    pub(super) async fn trespasses(&self, spec: &StageSpec) -> PortResult<Vec<String>> {
        let known = self.repository(&spec.stage.repo).await?;
        let zones = wall::zones_of(spec);
        let mut found: Vec<String> =
            zones.iter().filter_map(|name| wall::not_yours(&self.settings.wall, &known, name)).collect();
        found.sort();
        found.dedup();
        for name in wall::names_of(spec) {
            if let Some(owner) = self.ports.store.host_owner(&name).await?.filter(|owner| *owner != spec.stage) {
                found.push(taken(&spec.stage, &name, &owner));
            }
        }
        Ok(found)
    }

    /// Takes the stage's addresses before anything is made for them; the sentence that says why not.
    pub(super) async fn take_addresses(&self, spec: &StageSpec) -> PortResult<Option<String>> {
        // Who came before there was a wall has its hosts first.
        self.carry_over().await?;
        let taken_by = self.ports.store.take_hosts(&spec.stage, &wall::names_of(spec)).await?;
        Ok(taken_by.map(|(name, owner)| taken(&spec.stage, &name, &owner)))
    }

    /// Gives back the addresses that a stage no longer has.
    pub(super) async fn keep_addresses(&self, stage: &StageId, spec: Option<&StageSpec>) -> PortResult<()> {
        // What is given back is not taken down afterwards.
        self.carry_over().await?;
        let names = spec.map(wall::names_of).unwrap_or_default();
        self.ports.store.keep_hosts(stage, &names).await
    }
}

/// Says to the operator whose it is, and to everybody else no more than they need.
pub(super) fn taken(stage: &StageId, name: &str, owner: &StageId) -> String {
    if owner.repo != stage.repo {
        tracing::warn!(%stage, %owner, "{stage} asks for {name}, which is {owner}'s");
    }
    wall::taken(stage, name, owner)
}

/// The pull request on which somebody waits for an answer.
fn asked_on(event: &Event) -> Option<PullNumber> {
    use PullRequestAction::{Opened, ReadyForReview, Reopened, Synchronize};
    match event {
        Event::PullRequest { number, action: Opened | Reopened | ReadyForReview | Synchronize, .. } => Some(*number),
        Event::Comment(comment) if comment.author.kind == ActorKind::Person => {
            let lines = read(&comment.body, &Prefix::default(), &Known::default());
            (!lines.is_empty()).then_some(comment.number)
        }
        _ => None,
    }
}

/// The one answer to a pull request of a repository that is not served.
fn told_off(repo: &RepoName, pull: PullNumber, at: crate::model::Timestamp) -> CommandReceipt {
    let part = Receipt { command: format!("#{pull}"), told: Told::Refused(wall::not_served(repo)) };
    CommandReceipt {
        key: ReceiptKey { repo: repo.clone(), source: CommentSource::PullRequest, comment: pull.0 },
        pull,
        state: ReceiptState::Due,
        results: Vec::new(),
        reaction: None,
        body: Some(receipt(pull.0, &[part])),
        external: None,
        shown: None,
        bond: None,
        audit: None,
        at,
    }
}
