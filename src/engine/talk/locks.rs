//! Commands about locks and how long a stage lives: what changes is no goal.

use super::super::board::Board;
use super::Talk;
use super::said::Said;
use crate::decide::gate::{Ask, stage_of};
use crate::model::{Actor, Command, Line, Lock, LockScope, StageName};
use crate::view::Told;

/// Does it. `None`: the command is another one. `heir` is to have the lock instead of the author.
pub(super) fn change(
    board: &mut Board<'_>,
    talk: &Talk<'_>,
    line: &Line,
    command: &Command,
    heir: Option<&Actor>,
) -> Option<Said> {
    let stage = stage_of(&Ask::of(command, Some(talk.number())), talk.project);
    let done = match command {
        Command::Lock { on, reason, span, .. } => {
            // Whoever is handed a lock uses it from a pull request of their own.
            let (owner, pull) = match heir {
                Some(heir) => (heir, None),
                None => (&talk.comment.author, Some(talk.number())),
            };
            let lock = Lock {
                owner: owner.id,
                login: owner.login.clone(),
                pull,
                reason: reason.clone(),
                since: board.now,
                until: span.map(|span| board.now.after(span)),
            };
            let until = match (lock.until, pull) {
                (Some(until), _) => format!("until {until}"),
                (None, Some(_)) => "until it is unlocked or this pull request is closed".to_owned(),
                (None, None) => "until it is unlocked".to_owned(),
            };
            let whose = heir.map_or_else(String::new, |heir| format!(" by {}", heir.login));
            put(board, on, stage.as_ref(), Some(lock)).map(|what| format!("{what} locked{whose} {until}"))
        }
        Command::Unlock { on, .. } => {
            let held = held(board, on, stage.as_ref()).map(|lock| (lock.login.clone(), lock.owner));
            match held {
                None => Err("nothing is locked there".to_owned()),
                Some((login, owner)) => put(board, on, stage.as_ref(), None).map(|what| {
                    let whose = if owner == talk.comment.author.id {
                        String::new()
                    } else {
                        format!("; it was {login}'s lock")
                    };
                    format!("{what} unlocked{whose}")
                }),
            }
        }
        Command::Keep { span, .. } => keep(board, stage.as_ref()?, *span),
        _ => return None,
    };
    Some(match done {
        Ok(words) => Said::done(line, Told::Done(words)),
        Err(why_not) => Said::refused(line, Told::Refused(why_not)),
    })
}

fn held<'b>(board: &'b Board<'_>, on: &LockScope, stage: Option<&StageName>) -> Option<&'b Lock> {
    match on {
        LockScope::All => board.lock(),
        LockScope::Own | LockScope::Stage(_) => board.stage(stage?)?.lock.as_ref(),
    }
}

/// Puts the lock there, or takes it away; answers of what, with its verb.
fn put(board: &mut Board<'_>, on: &LockScope, stage: Option<&StageName>, lock: Option<Lock>) -> Result<String, String> {
    if *on == LockScope::All {
        board.lock_all(lock);
        return Ok("every stage is".into());
    }
    let Some(stage) = stage.filter(|stage| board.stage(stage).is_some()) else {
        return Err("there is no such stage yet".into());
    };
    board.change(stage, |record| record.lock = lock);
    Ok(format!("{stage} is"))
}

fn keep(board: &mut Board<'_>, stage: &StageName, span: crate::model::Seconds) -> Result<String, String> {
    let until = board.now.after(span);
    match board.stage(stage) {
        None => Err(format!("there is no stage {stage}")),
        Some(record) if record.expires_at.is_none() => Err(format!("{stage} never goes by itself")),
        Some(record) if record.expires_at.is_some_and(|at| at >= until) => {
            let at = record.expires_at.unwrap_or(until);
            Ok(format!("{stage} lives until {at} anyway"))
        }
        Some(_) => {
            board.change(stage, |record| record.keep_until = Some(until));
            Ok(format!("{stage} lives until {until}"))
        }
    }
}
