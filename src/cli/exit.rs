//! Exit codes that mean something.

use std::process::{ExitCode, Termination};

use serde::{Deserialize, Serialize};

use crate::model::FailureKind;
use crate::port::PortError;
use crate::view::{StagePhase, StageView};

/// How a command ended. The numbers are a promise to scripts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ExitStatus {
    /// 0: done, and what was asked for holds.
    Ok,
    /// 1: the deploy failed by what was deployed: its build, its start, its health check.
    Failed,
    /// 2: the command or the configuration is wrong. `clap` uses the same number.
    Usage,
    /// 3: something around us is missing, refused or does not answer.
    Environment,
    /// 4: our own fault.
    Bug,
}

impl ExitStatus {
    /// All of them, for the help text.
    pub const ALL: [Self; 5] = [Self::Ok, Self::Failed, Self::Usage, Self::Environment, Self::Bug];

    /// The number that the shell sees.
    pub fn code(self) -> u8 {
        match self {
            Self::Ok => 0,
            Self::Failed => 1,
            Self::Usage => 2,
            Self::Environment => 3,
            Self::Bug => 4,
        }
    }

    /// How a command that waited for a stage ends. A stage that is not at rest is no success.
    pub fn of_stage(view: &StageView) -> Self {
        match view.phase {
            StagePhase::Live | StagePhase::Destroyed => Self::Ok,
            StagePhase::Failed | StagePhase::Stuck => {
                view.failure.as_ref().map_or(Self::Failed, |failure| Self::of_failure(failure.kind))
            }
            StagePhase::Misconfigured => Self::Usage,
            StagePhase::Queued
            | StagePhase::Building
            | StagePhase::Deploying
            | StagePhase::Checking
            | StagePhase::Unhealthy
            | StagePhase::Superseded
            | StagePhase::AwaitingApproval
            | StagePhase::Withheld
            | StagePhase::Full
            | StagePhase::Destroying => Self::Failed,
        }
    }

    /// What a failed step comes to.
    pub fn of_failure(kind: FailureKind) -> Self {
        match kind {
            FailureKind::Source
            | FailureKind::Build
            | FailureKind::Exited
            | FailureKind::Unhealthy
            | FailureKind::Migration
            | FailureKind::Unreachable
            | FailureKind::Deadline => Self::Failed,
            FailureKind::Environment | FailureKind::GaveUp => Self::Environment,
            FailureKind::Bug => Self::Bug,
        }
    }

    /// What a port's error comes to, where it ends the command.
    pub fn of_port(error: &PortError) -> Self {
        match error {
            PortError::Retry { .. } | PortError::Denied { .. } | PortError::NotFound { .. } => Self::Environment,
            PortError::Failed(failure) => Self::of_failure(failure.kind),
            PortError::Stale | PortError::Bug { .. } => Self::Bug,
        }
    }

    /// What an error comes to: the first status or port error in its chain decides; an error of
    /// which nothing is known is a thing of the environment.
    pub fn of_error(error: &anyhow::Error) -> Self {
        error
            .chain()
            .find_map(|cause| {
                let marked = cause.downcast_ref::<Marked>().map(|marked| marked.status);
                marked.or_else(|| cause.downcast_ref::<PortError>().map(Self::of_port))
            })
            .or_else(|| error.downcast_ref::<Marked>().map(|marked| marked.status))
            .unwrap_or(Self::Environment)
    }

    /// An error for a person that ends the command with this status.
    pub fn error(self, message: impl Into<String>) -> anyhow::Error {
        Marked { status: self, message: message.into() }.into()
    }
}

/// An error that knows how the command ends.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
struct Marked {
    status: ExitStatus,
    message: String,
}

impl From<ExitStatus> for ExitCode {
    fn from(status: ExitStatus) -> Self {
        Self::from(status.code())
    }
}

impl Termination for ExitStatus {
    fn report(self) -> ExitCode {
        self.into()
    }
}

#[cfg(test)]
mod tests {
    use anyhow::Context as _;

    use super::*;

    #[test]
    fn the_numbers_are_a_promise() {
        assert_eq!(ExitStatus::ALL.map(ExitStatus::code), [0, 1, 2, 3, 4]);
    }

    #[test]
    fn an_error_ends_the_command_by_its_cause() {
        let usage = ExitStatus::Usage.error("write a stage's name").context("reading the arguments");
        assert_eq!(ExitStatus::of_error(&usage), ExitStatus::Usage);
        let failed = PortError::failed(FailureKind::Build, "it broke", "mend it");
        assert_eq!(ExitStatus::of_error(&anyhow::Error::from(failed).context("deploying")), ExitStatus::Failed);
        let bug: Result<(), _> = Err(PortError::bug("counting", std::io::Error::other("x")));
        assert_eq!(ExitStatus::of_error(&bug.context("here").expect_err("an error")), ExitStatus::Bug);
        assert_eq!(ExitStatus::of_error(&anyhow::anyhow!("no route to host")), ExitStatus::Environment);
    }
}
