//! The repository lane: drains the inbox in order and turns events into goals.
//!
//! One drain is one transaction: either every event in it is handled and every goal is set and
//! every stage's lane is rung, or nothing happened and the drain is done again.

use std::collections::{BTreeSet, HashMap};
use std::panic::AssertUnwindSafe;
use std::sync::{Mutex, PoisonError};

use futures_util::FutureExt as _;

use super::board::Board;
use super::{Engine, chain, said};
use crate::decide::Sighting;
use crate::model::{
    AppName, AwsRoles, BuiltBy, CommandReceipt, CommandRules, DraftPolicy, Event, ForkPolicy, Generation, Limits,
    Project, PullNumber, PullRequest, RepoName, StageId, StagePattern, StagePolicy, StageRecord, StageRule,
    StageStatus, Target, Trigger, Wake,
};
use crate::port::{Held, InboxRow, IntakeWrite, PortError, PortResult};

/// Events handled in one transaction.
const DRAIN: u32 = 200;
/// After this many faults of ours in a row the first event is set aside, so that it blocks nobody.
const PATIENCE: u32 = 8;
/// After so many failed drains whatever the cause: an hour of tries a minute apart. An outage of
/// GitHub loses no event, some of which nothing else would tell again.
const PATIENCE_WITH_OTHERS: u32 = 60;

/// How often in a row the drain of a repository ended by a fault of ours. What one process
/// remembers: a restart makes the patience longer, never shorter.
#[derive(Default)]
pub(super) struct Stumbles(Mutex<HashMap<RepoName, u32>>);

impl Stumbles {
    /// Counts the fault, and answers how many of ours there were in a row.
    fn count(&self, repo: &RepoName, error: &PortError) -> u32 {
        let mut faults = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // What may pass is the fault of others, and while they have faults they may say strange things.
        if matches!(error, PortError::Retry { .. }) {
            faults.remove(repo);
            return 0;
        }
        let count = faults.entry(repo.clone()).or_default();
        *count += 1;
        *count
    }

    fn forget(&self, repo: &RepoName) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(repo);
    }
}

impl Engine {
    /// One activation of a repository's lane.
    pub(super) async fn drain(&self, held: &mut Held, repo: &RepoName, attempts: u32) -> PortResult<Wake> {
        // After a fault one at a time, so that what cannot be handled is alone when it is set aside.
        let most = if attempts == 0 { DRAIN } else { 1 };
        let rows = self.ports.store.inbox(held, most).await?;
        let stages = self.ports.store.stages(Some(repo)).await?;
        if self.is_deleted(repo, &rows).await? {
            self.let_all_go(held, repo, &rows, stages).await?;
            self.stumbles.forget(repo);
        } else if !rows.is_empty() || stages.iter().any(|record| !record.queue.is_empty()) {
            let known = self.repository(repo).await?;
            if self.settings.wall.allow.covers(&known) {
                self.take_in(held, repo, &rows, stages, attempts).await?;
            } else {
                self.turn_away(held, &known, &rows, stages).await?;
            }
            self.stumbles.forget(repo);
        }
        if rows.len() == most as usize {
            return Ok(Wake::At(self.ports.clock.now()));
        }
        // Answered when no event is left: what cannot be answered is not the fault of one.
        self.answer(held, repo).await
    }

    /// Sets the first event aside once it has failed too often; answers whether it did.
    ///
    /// `attempts`: failed drains in a row, the one that ended with `error` among them.
    pub(super) async fn set_aside(
        &self,
        held: &mut Held,
        repo: &RepoName,
        attempts: u32,
        error: &PortError,
    ) -> PortResult<bool> {
        if self.stumbles.count(repo, error) < PATIENCE && attempts < PATIENCE_WITH_OTHERS {
            return Ok(false);
        }
        let Some(first) = self.ports.store.inbox(held, 1).await?.pop() else { return Ok(false) };
        let reason = format!("set aside after {attempts} failed attempts: {}", chain(error));
        tracing::error!(%repo, delivery = %first.id, "delivery {} of {repo} is {reason}", first.id);
        let receipts = self.last_words(&first).await;
        let write = IntakeWrite { poison: vec![(first.seq, reason)], receipts, ..IntakeWrite::default() };
        self.ports.store.apply_intake(held, write).await?;
        self.stumbles.forget(repo);
        Ok(true)
    }

    /// What is answered to an event that is set aside. Whatever goes wrong here, it is set aside all
    /// the same: what cannot be read may well be what cannot be answered.
    async fn last_words(&self, row: &InboxRow) -> Vec<CommandReceipt> {
        let Event::Comment(comment) = &row.event else { return Vec::new() };
        let answer = AssertUnwindSafe(self.give_up(comment, &row.id)).catch_unwind().await;
        let why = match answer {
            Ok(Ok(receipt)) => return receipt.into_iter().collect(),
            Ok(Err(error)) => chain(&error),
            Err(panic) => format!("it panicked: {}", said(panic.as_ref())),
        };
        tracing::error!(repo = %comment.repo, "nobody is told that delivery {} is set aside: {why}", row.id);
        Vec::new()
    }

    /// Does what the events mean, and what waited for a stage that is free by now.
    async fn take_in(
        &self,
        held: &mut Held,
        repo: &RepoName,
        rows: &[InboxRow],
        stages: Vec<StageRecord>,
        attempts: u32,
    ) -> PortResult<()> {
        let project = match self.routing(repo).await {
            // What somebody wants gone goes also where GitHub does not let us near the policy any more.
            Err(error) if !rows.is_empty() && rows.iter().all(|row| is_removal(&row.event)) => {
                let cause = chain(&error);
                tracing::warn!(%repo, "what is to go of {repo} goes without its policy, which cannot be read: {cause}");
                None
            }
            answer => Some(answer?),
        };
        let seen = self.look(repo, rows, &stages).await?;
        let lock = self.ports.store.repo_lock(repo).await?;
        let goals = goals_at_rest(&stages);
        let mut board = Board::new(repo, stages, lock, self.ports.clock.now());
        match &project {
            None => rows.iter().for_each(|row| board.take(row, &nothing(), &seen)),
            Some(project) => {
                for row in rows {
                    match &row.event {
                        Event::Comment(comment) => self.hear(held, &mut board, project, comment, attempts).await?,
                        Event::CommentEdited { comment, before } => {
                            self.hear_edit(held, &mut board, project, comment, before).await?;
                        }
                        _ => {}
                    }
                    board.take(row, project, &seen);
                }
                self.call_next(held, &mut board, project, attempts).await?;
            }
        }
        let (answers, write) = board.write();
        // First what is said of goals that waited, then the goals: were it the other way round, a
        // process that dies in between would leave them without an answer.
        if !answers.is_empty() {
            self.ports.store.save_receipts(held, answers).await?;
        }
        self.ports.store.apply_intake(held, write).await?;
        self.bell.notify_waiters();
        let is_asked_for = rows.iter().any(|row| matches!(row.event, Event::Reconcile { .. }));
        if is_asked_for && project.is_some_and(|project| project.builds.by == BuiltBy::Actions) {
            self.end_leftovers(repo, &goals).await;
        }
        Ok(())
    }

    /// Ends builds that somebody gave up and died over. Where that fails the next look at the repository does it.
    async fn end_leftovers(&self, repo: &RepoName, goals: &[(StageId, Generation)]) {
        if let Err(error) = self.ports.builder.end_leftovers(repo, goals).await {
            let cause = chain(&error);
            if self.once.is_news(&format!("unwanted builds of {repo}"), &cause) {
                tracing::warn!(%repo, "builds of {repo} that nobody wants any more may run on: {cause}");
            }
        }
    }

    /// The policy by which events are routed.
    pub(super) async fn routing(&self, repo: &RepoName) -> PortResult<Project> {
        Ok(match self.policy(repo).await? {
            Some((_, checked)) => checked.as_ref().as_ref().map_or_else(|_| previews_only(), Clone::clone),
            None => nothing(),
        })
    }

    /// Looks at the world once for all events of a drain that need it.
    pub(super) async fn look(
        &self,
        repo: &RepoName,
        rows: &[InboxRow],
        stages: &[StageRecord],
    ) -> PortResult<Sighting> {
        let reconciles = rows.iter().any(|row| matches!(row.event, Event::Reconcile { .. }));
        if !reconciles && !rows.iter().any(|row| removes_unknown(&row.event, stages)) {
            return Ok(Sighting::default());
        }
        let open = if reconciles { self.ports.forge.open_pull_requests(repo).await? } else { Vec::new() };
        let moved = self.moved(repo, &open).await?;
        let existing = self.existing().await?;
        let of_repo = existing.iter().filter(|(id, _)| id.repo == *repo);
        Ok(Sighting { open, moved, existing: of_repo.map(|(id, place)| (id.name.clone(), place.clone())).collect() })
    }

    /// Those that are at another head than an event told last. Of one that was never heard of nothing is said.
    async fn moved(&self, repo: &RepoName, open: &[PullRequest]) -> PortResult<BTreeSet<PullNumber>> {
        let mut moved = BTreeSet::new();
        for pull in open {
            let newest = self.ports.store.witnesses(repo, pull.number, 1).await?;
            if newest.first().is_some_and(|witness| witness.sha != pull.head.sha) {
                moved.insert(pull.number);
            }
        }
        Ok(moved)
    }
}

/// The goals of stages that are at rest: what is built for an older one is wanted by nobody. Whoever deploys ends
/// such builds by itself.
fn goals_at_rest(stages: &[StageRecord]) -> Vec<(StageId, Generation)> {
    let rests = |record: &&StageRecord| {
        matches!(record.status, StageStatus::Live { .. } | StageStatus::Failed { .. } | StageStatus::Gone { .. })
    };
    stages.iter().filter(rests).map(|record| (record.id.clone(), record.generation)).collect()
}

/// Whether somebody wants a stage gone.
pub(super) fn is_removal(event: &Event) -> bool {
    matches!(event, Event::Requested { target: Target::Gone(_), .. })
}

/// Whether somebody wants a stage gone that the database does not know: where it lives is told by
/// the target alone.
fn removes_unknown(event: &Event, stages: &[StageRecord]) -> bool {
    let Event::Requested { stage, target: Target::Gone(_), .. } = event else { return false };
    stages.iter().all(|record| record.id.name != *stage)
}

/// No configuration: no rule, so that only stages which exist already are looked at.
pub(super) fn nothing() -> Project {
    Project { stages: Vec::new(), ..previews_only() }
}

/// While the policy cannot be read, pull requests still get a stage row, so that its comment can
/// say what is wrong with the file. Nothing is deployed from here.
fn previews_only() -> Project {
    let rule = StageRule {
        pattern: StagePattern::PullRequest { prefix: "pr-".into(), suffix: String::new() },
        trigger: Trigger::PullRequest { drafts: DraftPolicy::Skip, forks: ForkPolicy::Never, label: None },
        apex: false,
        protect: false,
        retain: false,
        expires: None,
        max: None,
        limits: Limits::default(),
        cors: None,
        allow: StagePolicy::default(),
    };
    Project {
        app: AppName::new("unknown").unwrap_or_else(|_| unreachable!("a valid name")),
        aws: None,
        aws_roles: AwsRoles::default(),
        domain: None,
        commands: CommandRules::default(),
        builds: crate::model::Builds::default(),
        stages: vec![rule],
        services: Vec::new(),
        digest: String::new(),
    }
}
