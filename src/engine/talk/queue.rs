//! Goals that waited for their stage: the next one is judged again and begins.

use super::super::Engine;
use super::super::board::Board;
use super::learn::{Brought, Moment, Question};
use super::receipts::settle_with;
use crate::decide::gate::{Ask, CallerKind, judge};
use crate::model::{
    Answer, Asked, CommandOutcome, CommandReceipt, Force, LockScope, Project, ReceiptBond, ReceiptState, StageName,
    StageRecord, Target, Waiting,
};
use crate::port::{Held, PortResult};
use crate::view::Told;

impl Engine {
    /// Begins with what waits first for each stage that is free by now.
    pub(in crate::engine) async fn call_next(
        &self,
        held: &mut Held,
        board: &mut Board<'_>,
        project: &Project,
        attempts: u32,
    ) -> PortResult<()> {
        let free = |record: &&StageRecord| !record.queue.is_empty() && !record.is_busy();
        let names: Vec<StageName> = board.stages().iter().filter(free).map(|record| record.id.name.clone()).collect();
        for name in names {
            while let Some(next) = first(board, &name) {
                self.keep_lease(held).await?;
                board.change(&name, |record| {
                    record.queue.remove(0);
                });
                if self.begin_waiting(board, project, &name, next, attempts).await? {
                    break;
                }
            }
        }
        Ok(())
    }

    /// Whether it begins. What is refused by now is told so, and the next one is looked at.
    async fn begin_waiting(
        &self,
        board: &mut Board<'_>,
        project: &Project,
        name: &StageName,
        next: Waiting,
        attempts: u32,
    ) -> PortResult<bool> {
        let Waiting { target, asked, receipt } = next;
        let Some(record) = board.stage(name).cloned() else { return Ok(false) };
        let wish = StageRecord { target: target.clone(), ..record.clone() };
        let refused = self.judge_again(project, &wish, board.lock(), &asked, attempts).await?;
        let answer = match board.owed(&receipt) {
            Some(owed) => Some(owed.clone()),
            None => self.ports.store.receipt(&receipt).await?,
        };
        let Some(mut answer) = answer else { return Ok(false) };
        if let Some((evidence, way_out)) = refused {
            let words = format!("its turn came, and {evidence}. {way_out}");
            settle_with(&mut answer, CommandOutcome::Refused, Some(Told::Refused(words)));
            board.owe_anew(answer);
            return Ok(false);
        }
        let generation = board.ask(name, record.subject.clone(), target, asked);
        begun(&mut answer, ReceiptBond { stage: name.clone(), generation });
        board.owe_anew(answer);
        Ok(true)
    }

    /// Judges a goal, which the record has, again at the moment when it is to run: what is shut and
    /// what would open it.
    pub(in crate::engine) async fn judge_again(
        &self,
        project: &Project,
        record: &StageRecord,
        lock: Option<&crate::model::Lock>,
        asked: &Asked,
        attempts: u32,
    ) -> PortResult<Option<(String, String)>> {
        let place =
            if record.pull() == Some(asked.pull) { LockScope::Own } else { LockScope::Stage(record.id.name.clone()) };
        let ask = Ask {
            verb: asked.verb,
            place,
            from: asked.from.clone(),
            pull: Some(asked.pull),
            sha: None,
            force: Force::Respect,
        };
        let came_by = match &record.target {
            Target::Commit(commit) => Some(self.came_by(record, commit).await?),
            Target::Release { stage, generation } => self.release_came_by(record, stage, *generation).await?,
            Target::PullRequest(_) | Target::Branch(_) | Target::Gone(_) => None,
        };
        let brought = asked.sha.clone().zip(came_by).map(|(sha, came_by)| Brought { sha, came_by });
        let question = Question {
            ask: &ask,
            by: &asked.by,
            // Whether a program may command is asked of the policy again.
            kind: CallerKind::of(asked.by.kind),
            pull: None,
            record: Some(record),
            lock,
            witnessed: Vec::new(),
            brought: brought.as_ref(),
            moment: Moment::Running { sha: asked.sha.clone() },
            attempts,
        };
        let facts = self.learn(project, &record.id.repo, &question).await?;
        let verdict = judge(&ask, project, &facts);
        if verdict.answer == Answer::Allowed {
            return Ok(None);
        }
        let shut = verdict.shut().next();
        let evidence = shut.map_or_else(|| "it may not be done now".to_owned(), |gate| gate.evidence.clone());
        let way_out = verdict.next_action().unwrap_or("give the command again").to_owned();
        Ok(Some((evidence, way_out)))
    }
}

fn first(board: &Board<'_>, name: &StageName) -> Option<Waiting> {
    board.stage(name)?.queue.first().cloned()
}

/// What waited is under way.
fn begun(answer: &mut CommandReceipt, bond: ReceiptBond) {
    for result in &mut answer.results {
        if result.outcome == CommandOutcome::Queued {
            result.outcome = CommandOutcome::Accepted;
        }
    }
    answer.bond = Some(bond);
    answer.state = ReceiptState::Waiting;
}
