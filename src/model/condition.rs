//! How what serves is doing after its deploy, as its target sees it.
//!
//! A target tells what it sees at one moment; what was seen before is kept beside the stage and put
//! together with it by `decide::follow`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Failure, ServiceName, Timestamp};

/// The services that traffic is led to, or that run without an address, each with how it is doing. One
/// that is not among them is not there any more, or nothing is known of it.
pub type Conditions = BTreeMap<ServiceName, Condition>;

/// How one service is doing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Condition {
    pub state: Wellbeing,
    /// Since when it is in this state.
    pub since: Timestamp,
    /// How often copies of it were started again in this trouble, or in the one that is over. 0 where
    /// there was none.
    pub restarts: u32,
    /// Copies that are well at this moment, and how many there should be.
    pub well: u32,
    pub wanted: u32,
    /// Of a trouble, also of one that is over: what was seen last, with exit code and last lines, redacted.
    #[serde(default)]
    pub why: Option<Failure>,
}

/// Whether a service can be relied upon.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Wellbeing {
    /// Every copy is well, and has been for long enough that it is no longer counted to a trouble: a
    /// target takes a minute.
    Well,
    /// Copies of it end and are started again, whether or not one is up at this very moment.
    Restarting,
    /// It runs, and its health check does not pass; or it cannot be started.
    Unhealthy,
}

impl Condition {
    /// A service of which every copy is well, and never was otherwise.
    pub fn well(copies: u32, since: Timestamp) -> Self {
        Self { state: Wellbeing::Well, since, restarts: 0, well: copies, wanted: copies, why: None }
    }

    /// Whether somebody has to know.
    pub fn is_trouble(&self) -> bool {
        self.state != Wellbeing::Well
    }

    /// Whether it is well again after a trouble.
    pub fn is_recovered(&self) -> bool {
        self.state == Wellbeing::Well && (self.restarts > 0 || self.why.is_some())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::FailureKind;

    #[test]
    fn a_condition_is_stored_and_told_by_one_of_three_states() {
        let well = Condition::well(2, Timestamp(1));
        assert!(!well.is_trouble() && !well.is_recovered());
        let restarting = Condition { state: Wellbeing::Restarting, restarts: 3, well: 1, ..well.clone() };
        assert!(restarting.is_trouble() && !restarting.is_recovered());
        let recovered = Condition { restarts: 3, ..well.clone() };
        assert!(!recovered.is_trouble() && recovered.is_recovered());
        let why = Failure::new(FailureKind::Unhealthy, "it does not answer", "Mend it.");
        let unhealthy = Condition { state: Wellbeing::Unhealthy, why: Some(why), ..well };
        assert!(unhealthy.is_trouble());
        let name = ServiceName::new("web").expect("a name");
        for condition in [restarting, recovered, unhealthy] {
            let all = Conditions::from([(name.clone(), condition)]);
            let stored = serde_json::to_string(&all).expect("it is stored");
            assert_eq!(serde_json::from_str::<Conditions>(&stored).ok(), Some(all), "{stored}");
        }
    }
}
