//! Each command from its arguments.

use super::arguments::{Arguments, account, is_number, lines, release, sha, span};
use super::near::near;
use super::{Known, SHOWN_WORD, cut};
use crate::model::{Command, Force, Misread, Slot, Verb};

/// The command of this name with these arguments, or the first thing that is wrong with them.
pub(super) fn command(verb: Verb, text: &str, known: &Known) -> Result<Command, Misread> {
    let mut given = Arguments::read(verb, text, known)?;
    let command = match verb {
        Verb::Deploy => deploy(&mut given)?,
        Verb::Destroy => Command::Destroy { stage: given.stage()? },
        Verb::Redeploy => Command::Redeploy { stage: given.stage()? },
        Verb::Retry => Command::Retry { stage: given.stage()? },
        Verb::Cancel => Command::Cancel { stage: given.stage()? },
        Verb::Rollback => rollback(&mut given)?,
        Verb::Promote => promote(&mut given)?,
        Verb::Plan => Command::Plan { stage: given.stage()? },
        Verb::Status => Command::Status { stage: given.stage()? },
        Verb::Logs => logs(&mut given)?,
        Verb::Health => Command::Health { stage: given.stage()? },
        Verb::Lock => lock(&mut given)?,
        Verb::Unlock => unlock(&mut given)?,
        Verb::Keep => {
            let span = span(&needed(given.take("for"), Slot::Span)?)?;
            Command::Keep { span, stage: given.stage()? }
        }
        Verb::Approve => {
            let sha = sha(&needed(given.take("sha"), Slot::Sha)?)?;
            Command::Approve { sha, stage: given.stage()? }
        }
        Verb::Why => Command::Why { stage: given.stage()? },
        Verb::Help => help(&mut given)?,
    };
    given.finish(command)
}

fn needed(word: Option<String>, slot: Slot) -> Result<String, Misread> {
    word.ok_or(Misread::Missing { slot })
}

fn deploy(given: &mut Arguments<'_>) -> Result<Command, Misread> {
    let stage = given.stage_before_services()?;
    let mut services = Vec::new();
    let listed = given.keyed("service");
    let mut words: Vec<String> = listed.iter().flat_map(|list| list.split(',')).map(str::to_owned).collect();
    words.extend(std::iter::from_fn(|| given.take_if("", |_| true)));
    for word in words {
        let service = given.service_named(&word)?;
        if services.contains(&service) {
            return Err(Misread::Duplicate { key: service.to_string() });
        }
        services.push(service);
    }
    Ok(Command::Deploy { stage, services })
}

fn rollback(given: &mut Arguments<'_>) -> Result<Command, Misread> {
    let is_release = |text: &str| is_number(text.strip_prefix('#').unwrap_or(text));
    let stage = given.take_if("stage", |word| !is_release(&word.text));
    let stage = stage.map(|word| given.stage_named(&word)).transpose()?;
    let release = given.take("release").map(|word| release(&word)).transpose()?;
    Ok(Command::Rollback { stage, release })
}

fn promote(given: &mut Arguments<'_>) -> Result<Command, Misread> {
    let from = needed(given.take("from"), Slot::From)?;
    let to = needed(given.take("to"), Slot::To)?;
    let (from, to) = (given.stage_named(&from)?, given.stage_named(&to)?);
    if from == to {
        return Err(Misread::Duplicate { key: from.to_string() });
    }
    Ok(Command::Promote { from, to })
}

fn logs(given: &mut Arguments<'_>) -> Result<Command, Misread> {
    let service = needed(given.take("service"), Slot::Service)?;
    let service = given.service_named(&service)?;
    let number =
        given.take_if("lines", |word| word.text.starts_with(|c: char| c.is_ascii_digit()) && is_number(&word.text));
    let lines = number.map(|word| lines(&word)).transpose()?;
    Ok(Command::Logs { service, lines, stage: given.stage()? })
}

fn lock(given: &mut Arguments<'_>) -> Result<Command, Misread> {
    let on = given.scope()?;
    let reason = given.reason()?.ok_or(Misread::Missing { slot: Slot::Reason })?;
    let span = given.keyed("for").map(|word| span(&word)).transpose()?;
    let hand_to = given.keyed("to").map(|word| account(&word)).transpose()?;
    Ok(Command::Lock { on, reason, span, hand_to, force: force(given) })
}

fn unlock(given: &mut Arguments<'_>) -> Result<Command, Misread> {
    let on = given.scope()?;
    let reason = given.reason()?;
    let force = force(given);
    if force == Force::Overrule && reason.is_none() {
        return Err(Misread::Missing { slot: Slot::Reason });
    }
    Ok(Command::Unlock { on, reason, force })
}

fn force(given: &Arguments<'_>) -> Force {
    if given.is_forced() { Force::Overrule } else { Force::Respect }
}

fn help(given: &mut Arguments<'_>) -> Result<Command, Misread> {
    let Some(word) = given.take("") else { return Ok(Command::Help { about: None }) };
    match Verb::named(word.strip_prefix('/').unwrap_or(&word)) {
        Some(verb) => Ok(Command::Help { about: Some(verb) }),
        None => Err(Misread::UnknownCommand { word: cut(&word, SHOWN_WORD), near: near(&word, &Verb::ALL).copied() }),
    }
}
