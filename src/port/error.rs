//! Errors sorted by what the engine does about them.

use crate::model::{Failure, FailureKind};

/// The result of a port's call.
pub type PortResult<T> = Result<T, PortError>;

/// Why a call came to nothing.
#[derive(Debug, thiserror::Error)]
pub enum PortError {
    /// A passing fault: throttling, a server error, a timeout. Tried again with backoff.
    #[error("{reason}")]
    Retry {
        /// For the reader: "GitHub answered 502".
        reason: String,
        /// What the other side asked us to wait, in milliseconds.
        after_millis: Option<i64>,
    },
    /// The other side refuses us: a missing permission.
    #[error("{reason}")]
    Denied {
        /// What was refused and what would grant it.
        reason: String,
    },
    /// What was asked about does not exist.
    #[error("{what} does not exist")]
    NotFound {
        /// For the reader: "pull request 42 of acme/shop".
        what: String,
    },
    /// The lane is held by somebody else by now: stop at once, write nothing.
    #[error("this process no longer holds the lane")]
    Stale,
    /// It cannot succeed, for a reason that the user can act on; whoever prints it prints how.
    #[error("{0}")]
    Failed(Box<Failure>),
    /// Our own fault.
    #[error("{context}")]
    Bug {
        /// What we were doing.
        context: String,
        #[source]
        source: Option<Box<dyn std::error::Error + Send + Sync>>,
    },
}

impl PortError {
    /// A passing fault without a wish for the wait.
    pub fn retry(reason: impl Into<String>) -> Self {
        Self::Retry { reason: reason.into(), after_millis: None }
    }

    /// A failure that the user can act on.
    pub fn failed(kind: FailureKind, summary: impl Into<String>, advice: impl Into<String>) -> Self {
        Self::Failed(Box::new(Failure::new(kind, summary, advice)))
    }

    /// Our own fault with its cause.
    pub fn bug(context: impl Into<String>, source: impl std::error::Error + Send + Sync + 'static) -> Self {
        Self::Bug { context: context.into(), source: Some(Box::new(source)) }
    }
}
