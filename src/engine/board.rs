//! The stages of one repository while its lane changes them: nothing is written before all of it is.

use std::collections::BTreeSet;

use crate::decide::{Intent, Sighting, route, witness};
use crate::model::{
    Asked, AuditEntry, CommandReceipt, Event, Generation, Lane, Lock, Project, PullNumber, PullRequestAction,
    RepoLockChange, RepoName, StageId, StageName, StageRecord, Subject, Target, Timestamp, Waiting, Witness,
};
use crate::port::{InboxRow, IntakeWrite};

/// The stages of one repository while a drain changes them.
pub(super) struct Board<'a> {
    pub(super) repo: &'a RepoName,
    pub(super) now: Timestamp,
    stages: Vec<StageRecord>,
    lock: Option<Lock>,
    lock_change: Option<RepoLockChange>,
    /// Stages with a new goal: one new generation for a drain, however many events asked.
    changed: BTreeSet<StageName>,
    /// Stages of which something else is to be written.
    touched: BTreeSet<StageName>,
    rings: BTreeSet<StageName>,
    done: Vec<i64>,
    witnesses: Vec<Witness>,
    audit: Vec<AuditEntry>,
    /// To comments that are answered for the first time.
    receipts: Vec<CommandReceipt>,
    /// To comments that have a receipt already.
    answers: Vec<CommandReceipt>,
}

impl<'a> Board<'a> {
    pub(super) fn new(repo: &'a RepoName, stages: Vec<StageRecord>, lock: Option<Lock>, now: Timestamp) -> Self {
        let (lock_change, changed, touched, rings, done) = Default::default();
        let (witnesses, audit, receipts, answers) = Default::default();
        Self {
            repo,
            now,
            stages,
            lock,
            lock_change,
            changed,
            touched,
            rings,
            done,
            witnesses,
            audit,
            receipts,
            answers,
        }
    }

    pub(super) fn take(&mut self, row: &InboxRow, project: &Project, seen: &Sighting) {
        for (stage, target) in self.judge(&row.event, project, seen) {
            self.audit.push(self.entry(row, &stage, &target));
        }
        self.witnesses.extend(witness(&row.event, row.at));
        match &row.event {
            Event::PullRequest { number, action: PullRequestAction::Closed, .. } => self.let_go(|pull| pull == *number),
            Event::Reconcile { .. } => {
                self.let_go(|pull| seen.open.iter().all(|open| open.number != pull));
                let heads = seen.open.iter().map(|pull| (pull.number, pull.head.sha.clone()));
                self.witnesses.extend(heads.map(|(pull, sha)| self.seen_now(pull, sha)).collect::<Vec<_>>());
            }
            _ => {}
        }
        self.done.push(row.seq);
    }

    fn seen_now(&self, pull: PullNumber, sha: crate::model::CommitSha) -> Witness {
        Witness { repo: self.repo.clone(), pull, sha, at: self.now, pusher: None }
    }

    /// Notes that a pull request is at this head now.
    pub(super) fn witness(&mut self, pull: PullNumber, sha: crate::model::CommitSha) {
        let seen = self.seen_now(pull, sha);
        self.witnesses.push(seen);
    }

    /// Heads of the pull request that events of this drain have shown.
    pub(super) fn witnessed(&self, pull: PullNumber) -> impl Iterator<Item = &Witness> {
        self.witnesses.iter().filter(move |witness| witness.pull == pull)
    }

    /// Locks and wishes of pull requests that are closed are over.
    fn let_go(&mut self, is_closed: impl Fn(PullNumber) -> bool) {
        let is_over = |lock: &Lock| lock.pull.is_some_and(&is_closed);
        for record in &mut self.stages {
            let waited = record.queue.len();
            record.queue.retain(|waiting| !is_closed(waiting.asked.pull));
            if record.lock.as_ref().is_some_and(is_over) {
                record.lock = None;
                self.rings.insert(record.id.name.clone());
                self.touched.insert(record.id.name.clone());
            }
            if record.queue.len() < waited {
                self.touched.insert(record.id.name.clone());
            }
        }
        if self.lock.as_ref().is_some_and(is_over) {
            self.lock_all(None);
        }
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

    /// Every stage, as it stands.
    pub(super) fn stages(&self) -> &[StageRecord] {
        &self.stages
    }

    /// The stage of that name, as it stands.
    pub(super) fn stage(&self, name: &StageName) -> Option<&StageRecord> {
        self.stages.iter().find(|record| record.id.name == *name)
    }

    /// The lock on all stages.
    pub(super) fn lock(&self) -> Option<&Lock> {
        self.lock.as_ref()
    }

    /// Puts a lock on all stages, or takes it away.
    pub(super) fn lock_all(&mut self, lock: Option<Lock>) {
        self.lock_change = Some(lock.clone().map_or(RepoLockChange::Unlock, RepoLockChange::Lock));
        self.lock = lock;
        self.rings.extend(self.stages.iter().map(|record| record.id.name.clone()));
    }

    /// Changes what is not the goal of a stage, and has its lane look at it.
    pub(super) fn change(&mut self, name: &StageName, change: impl FnOnce(&mut StageRecord)) {
        if let Some(record) = self.stages.iter_mut().find(|record| record.id.name == *name) {
            change(record);
            self.touched.insert(name.clone());
            self.rings.insert(name.clone());
        }
    }

    /// Gives a stage the goal that somebody asked for, and answers its generation. Each is one of its
    /// own, so that each has an end of its own.
    pub(super) fn ask(&mut self, name: &StageName, subject: Subject, target: Target, asked: Asked) -> Generation {
        self.changed.remove(name);
        self.follow(name.clone(), subject, target, &Sighting::default());
        let Some(record) = self.stages.iter_mut().find(|record| record.id.name == *name) else {
            return Generation::default();
        };
        record.asked = Some(Asked { generation: record.generation, ..asked });
        record.generation
    }

    /// Notes what a stage is to be when it is free.
    pub(super) fn enqueue(&mut self, name: &StageName, waiting: Waiting) {
        self.change(name, |record| record.queue.push(waiting));
    }

    pub(super) fn note(&mut self, entry: AuditEntry) {
        self.audit.push(entry);
    }

    /// Answers a comment for the first time.
    pub(super) fn owe(&mut self, receipt: CommandReceipt) {
        self.receipts.push(receipt);
    }

    /// Answers a comment anew.
    pub(super) fn owe_anew(&mut self, receipt: CommandReceipt) {
        self.answers.retain(|other| other.key != receipt.key);
        self.answers.push(receipt);
    }

    /// The receipt of a comment, if this drain wrote one.
    pub(super) fn owed(&self, key: &crate::model::ReceiptKey) -> Option<&CommandReceipt> {
        self.answers.iter().chain(&self.receipts).find(|receipt| receipt.key == *key)
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
        // What somebody asked for in this very drain keeps a generation of its own, and with it an end.
        let is_asked =
            |record: &StageRecord| record.asked.as_ref().is_some_and(|by| by.generation == record.generation);
        if self.stage(&name).is_some_and(is_asked) {
            self.changed.remove(&name);
        }
        self.raise(&name);
        if let Some(record) = self.stages.iter_mut().find(|record| record.id.name == name) {
            record.subject = subject;
            record.target = target;
            record.asked = None;
            record.touched_at = self.now;
            return;
        }
        let place = seen.existing.get(&name).cloned();
        let id = StageId { repo: self.repo.clone(), name };
        let fresh = StageRecord::new(id, subject, target, self.now);
        self.stages.push(StageRecord { generation: Generation(1), place, ..fresh });
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

    /// Everything to write: answers to comments that have a receipt, and the rest.
    pub(super) fn write(self) -> (Vec<CommandReceipt>, IntakeWrite) {
        let Self { repo, stages, mut changed, touched, rings, answers, .. } = self;
        changed.extend(touched);
        let stages = stages.into_iter().filter(|record| changed.contains(&record.id.name)).collect();
        let lane = |name: StageName| Lane::Stage(StageId { repo: repo.clone(), name });
        let write = IntakeWrite {
            stages,
            repo_lock: self.lock_change,
            rings: rings.into_iter().map(lane).collect(),
            done: self.done,
            poison: Vec::new(),
            witnesses: self.witnesses,
            receipts: self.receipts,
            audit: self.audit,
        };
        (answers, write)
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
