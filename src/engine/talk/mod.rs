//! Commands in comments: read as their reader sees them, judged, done, answered.
//!
//! # Guarantees
//!
//! - A comment is answered once, however often it is delivered: its receipt is written in the
//!   transaction that does what it asks for.
//! - What a command may do is decided by the policy of the default branch and by what GitHub says of
//!   its author at this moment; it is judged again before anything of it runs (`withhold`).
//! - Nothing here waits for a deploy: a command sets a goal, and the answer to its end comes when
//!   the stage's lane has settled it.
//! - Everything that was asked, with every gate as it stood, is in the audit.

mod answers;
mod goals;
mod learn;
mod locks;
mod queue;
mod receipts;
mod said;

use super::Engine;
use super::board::Board;
use super::chore::REMEMBERED_MILLIS;
use crate::decide::command::{Known, read, read_edit};
use crate::decide::gate::{Ask, CallerKind, judge};
use crate::model::{
    Answer, AuditEntry, Command, CommandOutcome, CommandReceipt, CommandResult, CommentEvent, DeliveryId, Line,
    LockScope, Project, PullNumber, PullRequest, Reaction, Reading, ReceiptBond, ReceiptKey, ReceiptState, StageName,
    StageRecord, Timestamp, Verb, Verdict,
};
use crate::port::{Held, PortResult};
use crate::view::{Receipt, Told, receipt};

pub(super) use learn::{Moment, Question};
pub(super) use receipts::{Spoken, is_open};
use said::Said;

/// A comment at work.
struct Talk<'a> {
    project: &'a Project,
    comment: &'a CommentEvent,
    kind: CallerKind,
    pull: PullRequest,
    attempts: u32,
}

impl Talk<'_> {
    fn key(&self) -> ReceiptKey {
        key_of(self.comment)
    }

    fn number(&self) -> PullNumber {
        self.comment.number
    }
}

fn key_of(comment: &CommentEvent) -> ReceiptKey {
    ReceiptKey { repo: comment.repo.clone(), source: comment.source, comment: comment.comment }
}

impl Engine {
    /// Does what a new comment asks for.
    pub(super) async fn hear(
        &self,
        held: &mut Held,
        board: &mut Board<'_>,
        project: &Project,
        comment: &CommentEvent,
        attempts: u32,
    ) -> PortResult<()> {
        let lines = self.asked(project, comment, &known(project, board, comment.number));
        if lines.is_empty() || self.is_answered(board, comment).await? {
            return Ok(());
        }
        let pull = self.ports.forge.pull_request(&comment.repo, comment.number).await?;
        let talk = Talk { project, comment, kind: self.kind(comment), pull, attempts };
        let mut said: Vec<Said> = Vec::new();
        for line in lines {
            self.keep_lease(held).await?;
            let stopped = said.iter().any(|earlier| earlier.outcome == CommandOutcome::Refused);
            said.push(match line.reading.clone() {
                _ if stopped => Said::not_run(&line),
                Reading::Misread(misread) => Said::refused(&line, Told::Misread(misread)),
                Reading::Run(command) => self.obey(board, &talk, &line, &command).await?,
            });
        }
        // From here on the head is known to have been seen by whoever writes next.
        board.witness(comment.number, talk.pull.head.sha.clone());
        board.owe(fresh(comment, &said, board.now));
        Ok(())
    }

    /// What a comment asks for, if its author is heard at all.
    fn asked(&self, project: &Project, comment: &CommentEvent, known: &Known) -> Vec<Line> {
        if project.stages.is_empty() || !is_heard(self.kind(comment), project, comment) {
            return Vec::new();
        }
        // Only a body is signed: one that was captured can be sent under another id once nobody
        // remembers it. A comment that is older than what is remembered is never news.
        if self.ports.clock.now().since(comment.created_at) > REMEMBERED_MILLIS {
            tracing::info!(comment = comment.comment, "a comment from {} is too old to be heard", comment.created_at);
            return Vec::new();
        }
        read(&comment.body, &project.commands.prefix, known)
    }

    /// The answer to a comment that is set aside, if it asked for anything: silence would look like
    /// work.
    pub(super) async fn give_up(
        &self,
        comment: &CommentEvent,
        delivery: &DeliveryId,
    ) -> PortResult<Option<CommandReceipt>> {
        if !self.is_served(&comment.repo).await? {
            return Ok(None);
        }
        let project = self.routing(&comment.repo).await?;
        let lines = self.asked(&project, comment, &Known::default());
        if lines.is_empty() {
            return Ok(None);
        }
        let words = format!(
            "nothing was done: something went wrong again and again. To try once more, write it anew; what went wrong \
             stands in Greenroom's own log, at delivery {delivery}"
        );
        let said: Vec<Said> = lines.iter().map(|line| Said::failed(line, Told::Failed(words.clone()))).collect();
        Ok(Some(fresh(comment, &said, self.ports.clock.now())))
    }

    /// Edits never run: says so, once.
    pub(super) async fn hear_edit(
        &self,
        held: &mut Held,
        board: &mut Board<'_>,
        project: &Project,
        comment: &CommentEvent,
        before: &str,
    ) -> PortResult<()> {
        self.keep_lease(held).await?;
        let kind = self.kind(comment);
        if project.stages.is_empty() || !is_heard(kind, project, comment) {
            return Ok(());
        }
        let known = known(project, board, comment.number);
        let added = read_edit(before, &comment.body, &project.commands.prefix, &known);
        let Some(line) = added.first() else { return Ok(()) };
        let key = key_of(comment);
        let words = "an edit is never run: write the command in a new comment";
        let said = Said::refused(line, Told::Refused(words.into()));
        match self.ports.store.receipt(&key).await?.filter(|_| board.owed(&key).is_none()) {
            None if board.owed(&key).is_some() => {}
            None => {
                board.owe(fresh(comment, &[said], board.now));
            }
            Some(known) if known.results.iter().any(|result| result.words == words) => {}
            Some(mut known) => {
                known.results.push(said.result());
                known.body = Some(said::appended(known.body.as_deref(), &key, &said.part()));
                known.state = ReceiptState::Due;
                board.owe_anew(known);
            }
        }
        Ok(())
    }

    fn kind(&self, comment: &CommentEvent) -> CallerKind {
        // Without an App we write as the workflows of the repository do: what any of them says is no command.
        let as_a_job = self.ports.app.is_none() && comment.author.is_actions_bot();
        if as_a_job || comment.via_app == Some(self.settings.app_id) {
            return CallerKind::Ourselves;
        }
        CallerKind::of(comment.author.kind)
    }

    async fn is_answered(&self, board: &Board<'_>, comment: &CommentEvent) -> PortResult<bool> {
        let key = key_of(comment);
        Ok(board.owed(&key).is_some() || self.ports.store.receipt(&key).await?.is_some())
    }

    /// One command: judged, written down, done.
    async fn obey(&self, board: &mut Board<'_>, talk: &Talk<'_>, line: &Line, command: &Command) -> PortResult<Said> {
        let ask = Ask::of(command, Some(talk.number()));
        if let Command::Help { about } = command {
            return self.help(talk, line, *about).await;
        }
        let stage = crate::decide::gate::stage_of(&ask, talk.project);
        let brought = match self.brought(board, talk, command, stage.as_ref()).await? {
            Ok(brought) => brought,
            Err(why_not) => return Ok(Said::refused(line, Told::Refused(why_not))),
        };
        // What the reader wants to know of `why` is what stands before a deploy.
        let judged = match command {
            Command::Why { stage } => {
                Ask::of(&Command::Deploy { stage: stage.clone(), services: Vec::new() }, ask.pull)
            }
            _ => ask.clone(),
        };
        let moment = Moment::Asked { at: talk.comment.created_at };
        let record = stage.as_ref().and_then(|name| board.stage(name));
        let question = Question {
            ask: &judged,
            by: &talk.comment.author,
            kind: talk.kind,
            pull: Some(&talk.pull),
            record,
            lock: board.lock(),
            witnessed: board.witnessed(talk.number()).cloned().collect(),
            brought: brought.as_ref(),
            moment,
            attempts: talk.attempts,
        };
        let facts = self.learn(talk.project, &talk.comment.repo, &question).await?;
        let verdict = judge(&judged, talk.project, &facts);
        board.note(audited(board, talk, line, &ask, stage.as_ref(), &verdict));
        if let Command::Why { .. } = command {
            let unasked = stage.as_ref().and_then(|stage| answers::unasked_by_itself(talk, stage));
            return Ok(Said::done(line, Told::Why { verdict, unasked }));
        }
        match verdict.answer {
            Answer::Ignored => Ok(Said::not_run(line)),
            Answer::Refused => Ok(Said::refused(line, Told::Judged(verdict))),
            Answer::Queued { .. } | Answer::Allowed => {
                self.carry_out(board, talk, line, command, brought, verdict).await
            }
        }
    }
}

/// Programs that may not command get no answer at all: programs that answer each other never end.
fn is_heard(kind: CallerKind, project: &Project, comment: &CommentEvent) -> bool {
    match kind {
        CallerKind::Person => true,
        CallerKind::Bot => project.commands.bots.contains(&comment.author.id),
        CallerKind::Ourselves => false,
    }
}

/// The names that a comment on this pull request may mean.
fn known(project: &Project, board: &Board<'_>, pull: PullNumber) -> Known {
    use crate::model::StagePattern;
    let named = project.stages.iter().filter_map(|rule| match &rule.pattern {
        StagePattern::Named(name) => Some(name.clone()),
        StagePattern::PullRequest { .. } => rule.pattern.for_pull(pull),
        StagePattern::Branch { .. } => None,
    });
    let stages = named.chain(board.stages().iter().map(|record| record.id.name.clone())).collect();
    Known { stages, services: project.services.iter().map(|service| service.name.clone()).collect() }
}

/// The line of the audit: every gate with its evidence.
fn audited(
    board: &Board<'_>,
    talk: &Talk<'_>,
    line: &Line,
    ask: &Ask,
    stage: Option<&StageName>,
    verdict: &Verdict,
) -> AuditEntry {
    let author = &talk.comment.author;
    let subject = match (&ask.place, stage) {
        (LockScope::All, _) => "all".to_owned(),
        (_, Some(stage)) => stage.to_string(),
        (_, None) => format!("#{}", talk.number()),
    };
    let details = serde_json::json!({
        "line": line.text,
        "pull": talk.number(),
        "comment": talk.comment.comment,
        "source": talk.comment.source,
        "answer": verdict.answer,
        "commit": verdict.commit,
        "gates": verdict.gates,
        "policy": talk.project.digest,
    });
    AuditEntry {
        at: board.now,
        repo: board.repo.clone(),
        actor: format!("{} ({})", author.login, author.id),
        action: ask.verb.to_string(),
        subject,
        details: details.to_string(),
    }
}

/// The receipt of a comment that is answered for the first time.
fn fresh(comment: &CommentEvent, said: &[Said], at: Timestamp) -> CommandReceipt {
    let key = key_of(comment);
    let parts: Vec<Receipt> = said.iter().filter(|said| said.told.is_some()).map(Said::part).collect();
    let body = (!parts.is_empty()).then(|| receipt(key.comment, &parts));
    let bond: Option<ReceiptBond> = said.iter().rev().find_map(|said| said.bond.clone());
    let results: Vec<CommandResult> = said.iter().map(Said::result).collect();
    let reaction = Some(reaction(&results));
    CommandReceipt {
        key,
        pull: comment.number,
        state: ReceiptState::Due,
        results,
        reaction,
        body,
        external: None,
        shown: None,
        bond,
        audit: None,
        at,
    }
}

/// The reaction to all commands of a comment: the worst of them decides.
fn reaction(results: &[CommandResult]) -> Reaction {
    let is = |outcome| results.iter().any(|result| result.outcome == outcome);
    if is(CommandOutcome::Refused) || is(CommandOutcome::NotRun) {
        Reaction::Confused
    } else if is(CommandOutcome::Failed) {
        Reaction::ThumbsDown
    } else if is(CommandOutcome::Accepted) || is(CommandOutcome::Queued) {
        Reaction::Eyes
    } else if results.iter().any(|result| result.verb.is_some_and(ends_in_deploy)) {
        Reaction::Rocket
    } else {
        Reaction::ThumbsUp
    }
}

fn ends_in_deploy(verb: Verb) -> bool {
    matches!(verb, Verb::Deploy | Verb::Redeploy | Verb::Retry | Verb::Rollback | Verb::Promote)
}

/// The pull request whose stage this is, if it is one's.
fn is_own(record: Option<&StageRecord>, pull: PullNumber) -> bool {
    record.is_some_and(|record| record.pull() == Some(pull))
}
