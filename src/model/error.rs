//! What people are told when something is wrong.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Where in a file, counted from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Position {
    pub line: u32,
    pub column: u32,
}

/// One thing wrong with a configuration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    pub at: Position,
    /// Where in the document, as `services.web.port`; empty for the whole.
    pub path: String,
    /// What is wrong and what would be right.
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.at.line, self.at.column, self.message)?;
        if self.path.is_empty() { Ok(()) } else { write!(f, " (`{}`)", self.path) }
    }
}

/// Everything wrong with a configuration, in the order of the file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub struct Problems {
    pub file: String,
    pub problems: Vec<Problem>,
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.problems.iter().enumerate() {
            if index > 0 {
                writeln!(f)?;
            }
            write!(f, "{}:{problem}", self.file)?;
        }
        Ok(())
    }
}

/// Why a step cannot hold, kept in the step log and shown on the pull request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    pub kind: FailureKind,
    /// One sentence: what happened.
    pub summary: String,
    pub exit_code: Option<i32>,
    /// The last lines that it printed, oldest first, redacted.
    pub log: Vec<String>,
    /// What to do next.
    pub advice: String,
}

impl Failure {
    /// A failure without exit code or log.
    pub fn new(kind: FailureKind, summary: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { kind, summary: summary.into(), exit_code: None, log: Vec::new(), advice: advice.into() }
    }
}

impl fmt::Display for Failure {
    /// What happened and what to do, for readers of one line. The log is for those who have room for it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.summary.trim_end_matches('.'))?;
        if let Some(code) = self.exit_code.filter(|_| !self.summary.contains("exit code")) {
            write!(f, " (exit code {code})")?;
        }
        if self.advice.is_empty() { Ok(()) } else { write!(f, ". {}", self.advice) }
    }
}

/// The kinds of failure that Greenroom can tell apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FailureKind {
    /// The commit or its source cannot be used.
    Source,
    /// The image could not be built.
    Build,
    /// The program ended by itself.
    Exited,
    /// The program ran but its health check never passed.
    Unhealthy,
    /// The one-off command failed.
    Migration,
    /// The public address does not answer as it should.
    Unreachable,
    /// It took longer than its deadline.
    Deadline,
    /// Something that the target needs is missing or refused.
    Environment,
    /// A passing fault did not pass.
    GaveUp,
    /// Our own fault.
    Bug,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_in_one_line_says_what_to_do() {
        let plain = Failure::new(FailureKind::Environment, "There is no zone.", "Make it with `make zone`.");
        assert_eq!(plain.to_string(), "There is no zone. Make it with `make zone`.");
        let exited = Failure { exit_code: Some(3), ..Failure::new(FailureKind::Exited, "`web` ended", "") };
        assert_eq!(exited.to_string(), "`web` ended (exit code 3)");
        let told =
            Failure { exit_code: Some(3), ..Failure::new(FailureKind::Exited, "`web` ended with exit code 3", "") };
        assert_eq!(told.to_string(), "`web` ended with exit code 3");
    }
}
