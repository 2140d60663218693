//! Collects what is wrong: each thing once, in the order of the file, and never more than a
//! person can read.

use std::collections::BTreeMap;

use crate::model::{Position, Problem, Problems};

use super::tree::steps;

/// The most problems that are listed; the rest are counted.
const MAX_LISTED: usize = 50;

/// What is wrong so far.
#[derive(Debug, Default)]
pub(super) struct Report {
    /// The path by place and message: a mistake that overrides or aliases repeat is one mistake.
    problems: BTreeMap<(Position, String), String>,
}

impl Report {
    /// Adds a problem with the part at the JSON pointer.
    pub(super) fn add(&mut self, at: Position, pointer: &str, message: impl Into<String>) {
        self.problems.entry((at, message.into())).or_insert_with(|| path(pointer));
    }

    /// Whether nothing is wrong.
    pub(super) fn is_empty(&self) -> bool {
        self.problems.is_empty()
    }

    /// Everything, sorted and cut.
    pub(super) fn finish(self, file: &str) -> Problems {
        let problem = |((at, message), path)| Problem { at, path, message };
        let mut problems: Vec<Problem> = self.problems.into_iter().map(problem).collect();
        if problems.len() > MAX_LISTED {
            let at = problems[MAX_LISTED].at;
            let more = problems.len() - MAX_LISTED;
            problems.truncate(MAX_LISTED);
            let noun = if more == 1 { "problem" } else { "problems" };
            problems.push(Problem { at, path: String::new(), message: format!("and {more} more {noun}") });
        }
        Problems { file: file.to_owned(), problems }
    }
}

/// `services.web.paths[0]` for `/services/web/paths/0`.
fn path(pointer: &str) -> String {
    let mut path = String::new();
    for step in steps(pointer) {
        if !step.is_empty() && step.bytes().all(|b| b.is_ascii_digit()) && !path.is_empty() {
            path.push('[');
            path.push_str(&step);
            path.push(']');
            continue;
        }
        if !path.is_empty() {
            path.push('.');
        }
        path.extend(step.chars().take(60).map(|c| if c.is_control() || c == '`' { '\u{fffd}' } else { c }));
    }
    path
}
