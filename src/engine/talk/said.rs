//! What is said of one command.

use crate::model::{CommandOutcome, CommandResult, Line, Reading, ReceiptBond, ReceiptKey, Verb};
use crate::view::{Receipt, Told, receipt, receipt_with};

/// One command with what became of it.
pub(super) struct Said {
    line: String,
    verb: Option<Verb>,
    pub(super) outcome: CommandOutcome,
    /// `None` where the sticky comment says it all.
    pub(super) told: Option<Told>,
    pub(super) bond: Option<ReceiptBond>,
}

impl Said {
    fn new(line: &Line, outcome: CommandOutcome, told: Option<Told>) -> Self {
        let verb = match &line.reading {
            Reading::Run(command) => Some(command.verb()),
            Reading::Misread(_) => None,
        };
        Self { line: line.text.clone(), verb, outcome, told, bond: None }
    }

    /// It is done, and this is what there is to say.
    pub(super) fn done(line: &Line, told: Told) -> Self {
        Self::new(line, CommandOutcome::Done, Some(told))
    }

    /// It is not done.
    pub(super) fn refused(line: &Line, told: Told) -> Self {
        Self::new(line, CommandOutcome::Refused, Some(told))
    }

    /// It was to be done and came to nothing.
    pub(super) fn failed(line: &Line, told: Told) -> Self {
        Self::new(line, CommandOutcome::Failed, Some(told))
    }

    /// One before it in the same comment was refused.
    pub(super) fn not_run(line: &Line) -> Self {
        Self::new(line, CommandOutcome::NotRun, Some(Told::NotRun))
    }

    /// It waits for its turn.
    pub(super) fn queued(line: &Line, told: Told) -> Self {
        Self::new(line, CommandOutcome::Queued, Some(told))
    }

    /// A goal is set; its end is the end of this generation of the stage.
    pub(super) fn accepted(line: &Line, bond: ReceiptBond, words: Option<String>) -> Self {
        let said = Self::new(line, CommandOutcome::Accepted, words.map(Told::Begun));
        Self { bond: Some(bond), ..said }
    }

    /// Its part of the answer.
    pub(super) fn part(&self) -> Receipt {
        let told = self.told.clone().unwrap_or(Told::NotRun);
        Receipt { command: self.line.clone(), told }
    }

    /// As it is stored: with its sentence, where it is one.
    pub(super) fn result(&self) -> CommandResult {
        let words = match &self.told {
            Some(Told::Done(words) | Told::Begun(words) | Told::Failed(words) | Told::Refused(words)) => words.clone(),
            _ => String::new(),
        };
        CommandResult { said: self.line.clone(), verb: self.verb, outcome: self.outcome, words }
    }
}

/// An answer with one more part at its end.
pub(super) fn appended(body: Option<&str>, key: &ReceiptKey, part: &Receipt) -> String {
    match body {
        Some(body) => receipt_with(body, part),
        None => receipt(key.comment, std::slice::from_ref(part)),
    }
}
