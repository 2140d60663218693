//! How what is live fares afterwards.

use serde::{Deserialize, Serialize};

use super::{Failure, ServiceName, Timestamp};

/// A service whose live version does not run as it should, or did not for a while since it went live.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unrest {
    pub service: ServiceName,
    /// Copies that are well at the moment.
    pub well: u32,
    pub wanted: u32,
    /// How often a program of it had to be started again since then.
    pub restarts: u32,
    pub since: Timestamp,
    /// It is well again, since then.
    pub over: Option<Timestamp>,
    /// How a program of it came down last.
    pub failure: Failure,
}

impl Unrest {
    /// Whether it goes on.
    pub fn is_going_on(&self) -> bool {
        self.over.is_none()
    }
}
