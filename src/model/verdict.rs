//! What the policy says of a command: the commit that it binds to, and every gate with its evidence.

use serde::{Deserialize, Serialize};

use super::{CommitSha, StageName, Verb};

/// Which commit a command means.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Binding {
    /// The head that its author had before their eyes, and that still is the head.
    Bound(CommitSha),
    /// The head moved after the author saw it. Equal ones: it moved away and came back.
    Moved { seen: CommitSha, now: CommitSha },
    /// Another head came in the very second of the comment: nobody can say which was first.
    SameSecond { seen: CommitSha, now: CommitSha },
    /// No head was witnessed before the comment.
    NeverWitnessed { now: CommitSha },
}

impl Binding {
    /// The commit, if there is one to act on.
    pub fn sha(&self) -> Option<&CommitSha> {
        match self {
            Self::Bound(sha) => Some(sha),
            Self::Moved { .. } | Self::SameSecond { .. } | Self::NeverWitnessed { .. } => None,
        }
    }
}

/// One condition of a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Gate {
    /// A person asks, or a program that is allowed to.
    Person,
    /// The stage is one of the configuration.
    Stage,
    /// The person may give this command here.
    Who,
    /// The author of the comment saw the commit that it is about.
    Commit,
    /// Somebody who may approved the fork's commit.
    Fork,
    /// Enough people approved the commit.
    Approvals,
    /// The checks of the commit passed.
    Checks,
    /// The branch has everything that its base has.
    UpToDate,
    /// The branch may be deployed here.
    Branch,
    /// Nobody else keeps the stage as it is.
    Lock,
    /// A protected stage is removed by an admin alone.
    Protection,
    /// No other deploy is under way on the stage.
    Turn,
}

impl Gate {
    /// As people read it.
    pub fn title(self) -> &'static str {
        match self {
            Self::Person => "asked by a person",
            Self::Stage => "known stage",
            Self::Who => "who may",
            Self::Commit => "commit that was seen",
            Self::Fork => "fork approved",
            Self::Approvals => "approvals",
            Self::Checks => "checks",
            Self::UpToDate => "up to date",
            Self::Branch => "branch",
            Self::Lock => "lock",
            Self::Protection => "protection",
            Self::Turn => "turn",
        }
    }
}

/// How a gate stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GateState {
    Open,
    Closed,
    /// What it depends on could not be learned, which blocks as well.
    Unknown,
}

/// One gate, judged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GateResult {
    pub gate: Gate,
    pub state: GateState,
    /// What was found, in one sentence; it may hold text of others.
    pub evidence: String,
    /// What would open it; `None` when it is open.
    pub way_out: Option<String>,
}

/// What comes of a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    Allowed,
    /// Everything is right but the stage is busy; 1 is next.
    Queued {
        position: u32,
    },
    Refused,
    /// Not so much as an answer: programs that answer programs never end.
    Ignored,
}

/// Every gate of one command, in the order in which they are passed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verdict {
    pub answer: Answer,
    pub gates: Vec<GateResult>,
    /// The commit that the command is about, where it is about one and it is known.
    pub commit: Option<CommitSha>,
    /// The heads that did not match, for a reader to compare.
    pub binding: Option<Binding>,
}

impl Verdict {
    /// Whether the command may be done now.
    pub fn is_allowed(&self) -> bool {
        self.answer == Answer::Allowed
    }

    /// The gates that are not open.
    pub fn shut(&self) -> impl Iterator<Item = &GateResult> {
        self.gates.iter().filter(|gate| gate.state != GateState::Open)
    }

    /// The one thing to do next: what opens the first gate that is shut.
    pub fn next_action(&self) -> Option<&str> {
        self.shut().find_map(|gate| gate.way_out.as_deref())
    }
}

/// What a person may do with one command, as far as people decide it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Offer {
    pub verb: Verb,
    /// Where they may.
    pub stages: Vec<StageName>,
    /// Where they may not.
    pub withheld: Vec<Withheld>,
}

/// A stage on which a command is for others.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Withheld {
    pub stage: StageName,
    pub way_out: String,
}
