//! The repository lane: drains the inbox in order and turns events into goals.
//!
//! One drain is one transaction: either every event in it is handled and every goal is set and
//! every stage's lane is rung, or nothing happened and the drain is done again.

use std::collections::BTreeSet;

use super::Engine;
use crate::decide::{Intent, Sighting, route, witness};
use crate::model::{
    AppName, AuditEntry, AwsRoles, CommandRules, DraftPolicy, Event, ForkPolicy, Generation, Lane, Project, RepoName,
    StageId, StageName, StagePattern, StagePolicy, StageRecord, StageRule, StageStatus, Subject, Target, Timestamp,
    Trigger, Wake, Witness,
};
use crate::port::{Held, InboxRow, IntakeWrite, PortResult};

/// Events handled in one transaction.
const DRAIN: u32 = 200;
/// After this many failed drains in a row, the first event is set aside so that it blocks nobody.
const PATIENCE: u32 = 8;

impl Engine {
    /// One activation of a repository's lane.
    pub(super) async fn drain(&self, held: &Held, repo: &RepoName, attempts: u32) -> PortResult<Wake> {
        let rows = self.ports.store.inbox(held, DRAIN).await?;
        let Some(first) = rows.first() else { return Ok(Wake::OnBell) };
        if attempts >= PATIENCE {
            let reason = format!("set aside after {attempts} failed attempts");
            tracing::error!(%repo, delivery = %first.id, "delivery {} of {repo} is {reason}", first.id);
            let write = IntakeWrite { poison: vec![(first.seq, reason)], ..IntakeWrite::default() };
            self.ports.store.apply_intake(held, write).await?;
            return Ok(Wake::At(self.ports.clock.now()));
        }
        let project = self.routing(repo).await?;
        let stages = self.ports.store.stages(Some(repo)).await?;
        let seen = self.look(repo, &rows, &stages).await?;
        let mut board = Board::new(repo, stages, self.ports.clock.now());
        for row in &rows {
            board.take(row, &project, &seen);
        }
        let full = rows.len() == DRAIN as usize;
        self.ports.store.apply_intake(held, board.write()).await?;
        self.bell.notify_waiters();
        Ok(if full { Wake::At(self.ports.clock.now()) } else { Wake::OnBell })
    }

    /// The policy by which events are routed.
    pub(super) async fn routing(&self, repo: &RepoName) -> PortResult<Project> {
        Ok(match self.policy(repo).await? {
            Some((_, checked)) => checked.as_ref().as_ref().map_or_else(|_| previews_only(), Clone::clone),
            None => nothing(),
        })
    }

    /// Looks at the world once for all events of a drain that need it.
    async fn look(&self, repo: &RepoName, rows: &[InboxRow], stages: &[StageRecord]) -> PortResult<Sighting> {
        let reconciles = rows.iter().any(|row| matches!(row.event, Event::Reconcile { .. }));
        if !reconciles && !rows.iter().any(|row| removes_unknown(&row.event, stages)) {
            return Ok(Sighting::default());
        }
        let open = if reconciles { self.ports.forge.open_pull_requests(repo).await? } else { Vec::new() };
        let existing = self.existing().await?;
        let of_repo = existing.iter().filter(|(id, _)| id.repo == *repo);
        Ok(Sighting { open, existing: of_repo.map(|(id, place)| (id.name.clone(), place.clone())).collect() })
    }
}

/// Whether somebody wants a stage gone that the database does not know: where it lives is told by
/// the target alone.
fn removes_unknown(event: &Event, stages: &[StageRecord]) -> bool {
    let Event::Requested { stage, target: Target::Gone(_), .. } = event else { return false };
    stages.iter().all(|record| record.id.name != *stage)
}

/// The stages of one repository while a drain changes them.
pub(super) struct Board<'a> {
    repo: &'a RepoName,
    now: Timestamp,
    stages: Vec<StageRecord>,
    /// Stages with a new goal: one new generation for a drain, however many events asked.
    changed: BTreeSet<StageName>,
    rings: BTreeSet<StageName>,
    done: Vec<i64>,
    witnesses: Vec<Witness>,
    audit: Vec<AuditEntry>,
}

impl<'a> Board<'a> {
    pub(super) fn new(repo: &'a RepoName, stages: Vec<StageRecord>, now: Timestamp) -> Self {
        let (changed, rings, done, witnesses, audit) = Default::default();
        Self { repo, now, stages, changed, rings, done, witnesses, audit }
    }

    fn take(&mut self, row: &InboxRow, project: &Project, seen: &Sighting) {
        for (stage, target) in self.judge(&row.event, project, seen) {
            self.audit.push(self.entry(row, &stage, &target));
        }
        self.witnesses.extend(witness(&row.event, row.at));
        self.done.push(row.seq);
    }

    /// Does to the stages what an event means for them, and answers the goals that it set.
    pub(super) fn judge(&mut self, event: &Event, project: &Project, seen: &Sighting) -> Vec<(StageName, Target)> {
        let mut goals = Vec::new();
        for intent in route(event, project, &self.stages, seen) {
            match intent {
                Intent::Ring { stage } => {
                    self.rings.insert(stage);
                }
                Intent::Nudge { stage } => self.raise(&stage),
                Intent::Follow { stage, subject, target } => {
                    goals.push((stage.clone(), target.clone()));
                    self.follow(stage, subject, target, seen);
                }
            }
        }
        goals
    }

    /// The stage of that name, if it was given a new goal.
    pub(super) fn changed(&self, name: &StageName) -> Option<&StageRecord> {
        self.stages.iter().find(|record| record.id.name == *name).filter(|_| self.changed.contains(name))
    }

    /// Rings a stage's lane for a new generation, one for a drain.
    fn raise(&mut self, name: &StageName) {
        self.rings.insert(name.clone());
        let is_first = self.changed.insert(name.clone());
        if let Some(record) = self.stages.iter_mut().find(|record| record.id.name == *name && is_first) {
            record.generation = record.generation.next();
        }
    }

    fn follow(&mut self, name: StageName, subject: Subject, target: Target, seen: &Sighting) {
        self.raise(&name);
        if let Some(record) = self.stages.iter_mut().find(|record| record.id.name == name) {
            record.subject = subject;
            record.target = target;
            record.touched_at = self.now;
            return;
        }
        let place = seen.existing.get(&name).cloned();
        self.stages.push(StageRecord {
            id: StageId { repo: self.repo.clone(), name },
            subject,
            target,
            generation: Generation(1),
            status: StageStatus::New,
            approval: None,
            lock: None,
            queue: Vec::new(),
            keep_until: None,
            place,
            touched_at: self.now,
            expires_at: None,
        });
    }

    fn entry(&self, row: &InboxRow, stage: &StageName, target: &Target) -> AuditEntry {
        AuditEntry {
            at: self.now,
            repo: self.repo.clone(),
            actor: actor(&row.event),
            action: "goal".into(),
            subject: stage.to_string(),
            details: serde_json::json!({ "delivery": row.id, "target": target }).to_string(),
        }
    }

    fn write(self) -> IntakeWrite {
        let Self { repo, stages, changed, rings, done, witnesses, audit, now: _ } = self;
        let stages = stages.into_iter().filter(|record| changed.contains(&record.id.name)).collect();
        let lane = |name: StageName| Lane::Stage(StageId { repo: repo.clone(), name });
        let rings = rings.into_iter().map(lane).collect();
        IntakeWrite { stages, rings, done, witnesses, audit, ..IntakeWrite::default() }
    }
}

fn actor(event: &Event) -> String {
    match event {
        Event::PullRequest { actor, .. } => format!("{} ({})", actor.login, actor.id),
        Event::Push(push) => {
            push.actor.as_ref().map_or_else(|| "greenroom".into(), |actor| format!("{} ({})", actor.login, actor.id))
        }
        Event::Comment(comment) => format!("{} ({})", comment.author.login, comment.author.id),
        _ => "greenroom".into(),
    }
}

/// No configuration: no rule, so that only stages which exist already are looked at.
fn nothing() -> Project {
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
        cors: None,
        allow: StagePolicy::default(),
    };
    Project {
        app: AppName::new("unknown").unwrap_or_else(|_| unreachable!("a valid name")),
        aws: None,
        aws_roles: AwsRoles::default(),
        domain: None,
        commands: CommandRules::default(),
        stages: vec![rule],
        services: Vec::new(),
        digest: String::new(),
    }
}
