//! What a step of a workflow comes to, as [`auto`](super::auto) decides it.

use crate::model::{Event, StageName, Subject, Target};

/// What a step does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Deed {
    /// Put the event into the inbox, as a webhook would.
    Deliver(Box<Event>),
    /// Ask for one stage to be brought to a target.
    Ask { stage: StageName, target: Target },
    /// Ask for every stage of a pull request or branch to go.
    Clear(Subject),
    /// Look for what nobody told: closed pull requests, stages past their time, what is left on the target.
    Sweep,
    /// Show what one of those above would do.
    Plan(Box<Self>),
    /// Show how a stage, or those of a pull request or branch, or all of them, stand.
    Status { stage: Option<StageName>, subject: Option<Subject> },
    /// Read the configuration at the run's commit.
    Check,
    /// Nothing, and that is in order.
    Notice(String),
    /// Nothing: the workflow or its inputs are wrong.
    Refuse(String),
}

/// What a delivery's id is made of.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct DeliveryParts {
    pub run: u64,
    pub attempt: u32,
    pub event: String,
    pub wish: String,
}

impl DeliveryParts {
    /// All of it but run and attempt, as one text to be hashed.
    pub fn told(&self) -> String {
        format!("{}\n{}", self.event, self.wish)
    }
}
