//! The arguments of one command, taken one by one into their places, until none is left.

use std::collections::{BTreeMap, VecDeque};

use super::near::near;
use super::words::{Word, words};
use super::{Known, SHOWN_WORD, cut};
use crate::model::{
    Generation, LineCount, LockScope, Login, Misread, NamedCommit, Seconds, ServiceName, Slot, StageName, Verb,
};

/// Characters of a reason that are kept.
const MOST_REASON: usize = 200;

/// A word in a place that has no key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Placed {
    pub text: String,
    pub is_quoted: bool,
}

/// What is not yet taken.
#[derive(Debug)]
pub(super) struct Arguments<'k> {
    placed: VecDeque<Placed>,
    pairs: BTreeMap<String, String>,
    is_forced: bool,
    known: &'k Known,
}

/// The keys that a command has, and `force` where it has the flag.
fn keys(verb: Verb) -> &'static [&'static str] {
    match verb {
        Verb::Deploy => &["stage", "service"],
        Verb::Rollback => &["stage", "release"],
        Verb::Promote => &["from", "to"],
        Verb::Logs => &["service", "lines", "stage"],
        Verb::Lock => &["stage", "reason", "for", "to", "force"],
        Verb::Unlock => &["stage", "reason", "force"],
        Verb::Keep => &["for", "stage"],
        Verb::Approve => &["sha", "stage"],
        Verb::Help => &[],
        Verb::Destroy
        | Verb::Redeploy
        | Verb::Retry
        | Verb::Cancel
        | Verb::Plan
        | Verb::Status
        | Verb::Health
        | Verb::Why => &["stage"],
    }
}

impl<'k> Arguments<'k> {
    /// Reads what follows a command's name. `--key value` and `for 2h` are `key=value` too.
    pub(super) fn read(verb: Verb, text: &str, known: &'k Known) -> Result<Self, Misread> {
        let keys = keys(verb);
        let mut read = Self { placed: VecDeque::new(), pairs: BTreeMap::new(), is_forced: false, known };
        let mut words = words(text)?.into_iter().peekable();
        while let Some(word) = words.next() {
            let (key, value) = match word {
                Word::Plain(text) if keys.contains(&"for") && text.eq_ignore_ascii_case("for") => ("for".into(), None),
                Word::Plain(text) if text.starts_with(['-', '\u{2013}', '\u{2014}']) => {
                    return Err(unknown(&text, keys));
                }
                Word::Plain(text) => {
                    read.placed.push_back(Placed { text, is_quoted: false });
                    continue;
                }
                Word::Quoted(text) => {
                    read.placed.push_back(Placed { text, is_quoted: true });
                    continue;
                }
                Word::Flag(flag) if flag == "force" && keys.contains(&"force") => {
                    if std::mem::replace(&mut read.is_forced, true) {
                        return Err(Misread::Duplicate { key: flag });
                    }
                    continue;
                }
                Word::Flag(flag) => (flag, None),
                Word::Pair { key, value } => (key, Some(value)),
            };
            if key == "force" || !keys.contains(&key.as_str()) {
                return Err(unknown(&key, keys));
            }
            let value =
                value.or_else(|| match words.next_if(|next| matches!(next, Word::Plain(_) | Word::Quoted(_))) {
                    Some(Word::Plain(text) | Word::Quoted(text)) => Some(text),
                    _ => None,
                });
            let Some(value) = value.filter(|value| !value.is_empty()) else {
                return Err(Misread::Missing { slot: slot(&key) });
            };
            if read.pairs.insert(key.clone(), value).is_some() {
                return Err(Misread::Duplicate { key });
            }
        }
        Ok(read)
    }

    pub(super) fn is_forced(&self) -> bool {
        self.is_forced
    }

    /// The value of a key, else the next placed word.
    pub(super) fn take(&mut self, key: &str) -> Option<String> {
        self.pairs.remove(key).or_else(|| self.placed.pop_front().map(|word| word.text))
    }

    /// The value of a key, else the next placed word where it fits.
    pub(super) fn take_if(&mut self, key: &str, fits: impl Fn(&Placed) -> bool) -> Option<String> {
        self.keyed(key).or_else(|| self.placed.pop_front_if(|word| fits(word)).map(|word| word.text))
    }

    /// The value of a key alone.
    pub(super) fn keyed(&mut self, key: &str) -> Option<String> {
        self.pairs.remove(key)
    }

    /// Ends the taking: nothing may be left.
    pub(super) fn finish<T>(mut self, command: T) -> Result<T, Misread> {
        match self.placed.pop_front() {
            Some(word) => Err(Misread::Unwanted { word: cut(&word.text, SHOWN_WORD) }),
            None => Ok(command),
        }
    }

    /// A stage, where one is given.
    pub(super) fn stage(&mut self) -> Result<Option<StageName>, Misread> {
        let word = self.take("stage");
        word.map(|word| self.stage_named(&word)).transpose()
    }

    pub(super) fn scope(&mut self) -> Result<LockScope, Misread> {
        match self.take_if("stage", |word| !word.is_quoted) {
            None => Ok(LockScope::Own),
            Some(all) if all.eq_ignore_ascii_case("all") => Ok(LockScope::All),
            Some(word) => self.stage_named(&word).map(LockScope::Stage),
        }
    }

    pub(super) fn reason(&mut self) -> Result<Option<String>, Misread> {
        let word = self.keyed("reason").map(|text| Placed { text, is_quoted: true });
        let Some(word) = word.or_else(|| self.placed.pop_front()) else { return Ok(None) };
        let reason = word.text.trim();
        let fits = word.is_quoted && !reason.is_empty() && reason.chars().count() <= MOST_REASON;
        if fits { Ok(Some(reason.to_owned())) } else { Err(bad(Slot::Reason, &word.text)) }
    }

    /// A stage by its name, in any case, that is known.
    pub(super) fn stage_named(&self, word: &str) -> Result<StageName, Misread> {
        let name = StageName::new(word.to_ascii_lowercase()).map_err(|_| bad(Slot::Stage, word))?;
        if self.known.stages.is_empty() || self.known.stages.contains(&name) {
            return Ok(name);
        }
        let near = near(word, &self.known.stages).cloned();
        Err(Misread::UnknownStage { word: cut(word, SHOWN_WORD), near })
    }

    /// A service by its name, in any case, that is known.
    pub(super) fn service_named(&self, word: &str) -> Result<ServiceName, Misread> {
        let name = ServiceName::new(word.to_ascii_lowercase()).map_err(|_| bad(Slot::Service, word))?;
        if self.known.services.is_empty() || self.known.services.contains(&name) {
            return Ok(name);
        }
        let near = near(word, &self.known.services).cloned();
        Err(Misread::UnknownService { word: cut(word, SHOWN_WORD), near })
    }

    /// The stage of a command whose services follow it: a word that can only mean a service is one.
    pub(super) fn stage_before_services(&mut self) -> Result<Option<StageName>, Misread> {
        let known = self.known;
        let is_service = |word: &Placed| {
            let name = word.text.to_ascii_lowercase();
            known.services.iter().any(|service| service.as_str() == name)
                && !known.stages.iter().any(|stage| stage.as_str() == name)
        };
        let Some(word) = self.take_if("stage", |word| !is_service(word)) else { return Ok(None) };
        match self.stage_named(&word) {
            // No stage is near, but perhaps a service is.
            Err(Misread::UnknownStage { near: None, word: shown }) => match near(&word, &known.services) {
                Some(service) => Err(Misread::UnknownService { word: shown, near: Some(service.clone()) }),
                None => Err(Misread::UnknownStage { word: shown, near: None }),
            },
            other => other.map(Some),
        }
    }
}

/// A release by its generation, with or without `#`.
pub(super) fn release(word: &str) -> Result<Generation, Misread> {
    let digits = word.strip_prefix('#').unwrap_or(word);
    let number = is_number(digits).then(|| digits.parse().ok()).flatten().filter(|number| *number > 0);
    number.map(Generation).ok_or_else(|| bad(Slot::Release, word))
}

pub(super) fn lines(word: &str) -> Result<LineCount, Misread> {
    let number = is_number(word).then(|| word.parse::<u16>().ok()).flatten();
    number.and_then(|number| LineCount::try_from(number).ok()).ok_or_else(|| bad(Slot::Lines, word))
}

/// A span of at least a second.
pub(super) fn span(word: &str) -> Result<Seconds, Misread> {
    let is_span = word.starts_with(|c: char| c.is_ascii_digit());
    let span = is_span.then(|| word.to_ascii_lowercase().parse().ok()).flatten();
    span.filter(|span| *span > Seconds(0)).ok_or_else(|| bad(Slot::Span, word))
}

pub(super) fn sha(word: &str) -> Result<NamedCommit, Misread> {
    word.parse().map_err(|_| bad(Slot::Sha, word))
}

pub(super) fn account(word: &str) -> Result<Login, Misread> {
    word.parse().map_err(|_| bad(Slot::Account, word))
}

pub(super) fn is_number(word: &str) -> bool {
    !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_digit())
}

fn bad(slot: Slot, word: &str) -> Misread {
    Misread::BadValue { slot, word: cut(word, SHOWN_WORD) }
}

fn unknown(key: &str, keys: &[&str]) -> Misread {
    let name = key.trim_start_matches(['-', '\u{2013}', '\u{2014}']);
    let near = near(name, keys).map(|key| if *key == "force" { "--force".into() } else { format!("{key}=..") });
    Misread::UnknownOption { word: cut(key, SHOWN_WORD), near }
}

/// The place that a key fills.
fn slot(key: &str) -> Slot {
    match key {
        "service" => Slot::Service,
        "release" => Slot::Release,
        "from" => Slot::From,
        "lines" => Slot::Lines,
        "reason" => Slot::Reason,
        "for" => Slot::Span,
        "sha" => Slot::Sha,
        "to" => Slot::To,
        _ => Slot::Stage,
    }
}
