//! Stages and lanes: where an app runs, and what is worked on one at a time.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::{
    Asked, Branch, Commit, CommitSha, Generation, Lock, Place, Problems, PullNumber, RepoName, Seconds, StageName,
    Timestamp, Unrest, Waiting,
};

/// A stage of a repository.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct StageId {
    pub repo: RepoName,
    pub name: StageName,
}

impl fmt::Display for StageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.repo, self.name)
    }
}

/// What a stage follows. Resolved to a commit when the stage's lane runs, never taken from a payload.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Target {
    /// The head of a pull request.
    PullRequest(PullNumber),
    /// The head of a branch.
    Branch(Branch),
    /// One commit.
    Commit(Commit),
    /// What was verified live once, here or on another stage, by the generation it had there.
    Release { stage: StageName, generation: Generation },
    /// Nothing: the stage is to be removed.
    Gone(GoneReason),
}

/// Why a stage goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GoneReason {
    Closed,
    Merged,
    BranchDeleted,
    Expired,
    /// A draft again, its label taken away, or its rule removed from the configuration.
    Unwanted,
    /// Somebody asked.
    Requested,
    /// Its first deploy was cancelled, so that nothing served.
    Cancelled,
}

/// Whom a stage belongs to, even while its target is `Gone`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Subject {
    PullRequest(PullNumber),
    Branch(Branch),
}

/// What a stage is at, with what that guarantees.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StageStatus {
    /// Its goal is not planned yet.
    New,
    /// A deploy that serves this generation is running or waiting for its next step.
    Deploying { generation: Generation },
    /// The newest goal was verified live at this commit.
    Live { sha: CommitSha },
    /// The newest goal failed; what ran before still serves, if anything did.
    Failed { sha: CommitSha },
    /// The configuration at the goal's commit is wrong; nothing was changed.
    Misconfigured { sha: CommitSha, problems: Problems },
    /// A fork's commit waits for somebody who may approve it.
    AwaitingApproval { sha: CommitSha },
    /// The newest goal is not brought on: a lock holds it back until somebody unlocks, or a gate was
    /// shut when its turn came. What ran before still serves.
    Withheld { sha: Option<CommitSha>, why: Withholding },
    /// Every place of its rule is taken by these stages.
    Full { max: u32, holders: Vec<StageName> },
    /// It is to go, but something of it cannot be removed; tried again from time to time.
    RemovalBlocked,
    /// Nothing is left of it.
    Gone { removed: u32 },
}

/// Why a goal is not brought on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Withholding {
    Locked(Lock),
    /// A gate was shut; the goal is not tried again.
    Refused {
        evidence: String,
        way_out: String,
    },
}

/// The row of a stage; only its own lane and its repository's lane write it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StageRecord {
    pub id: StageId,
    pub subject: Subject,
    pub target: Target,
    pub generation: Generation,
    pub status: StageStatus,
    /// Who asked for the goal; `None` when an event of the pull request or branch did.
    #[serde(default)]
    pub asked: Option<Asked>,
    /// The newest generation of which it is known how it ended.
    #[serde(default)]
    pub settled: Generation,
    /// The fork commit that somebody approved.
    pub approval: Option<CommitSha>,
    pub lock: Option<Lock>,
    /// Goals that wait until the stage is free, the next one first.
    #[serde(default)]
    pub queue: Vec<Waiting>,
    /// Somebody asked to keep it until then, whatever its rule says about expiry.
    #[serde(default)]
    pub keep_until: Option<Timestamp>,
    /// What of it does not stay up, or did not for a while, since it went live.
    #[serde(default)]
    pub unrest: Vec<Unrest>,
    /// Where it lives, from its first deploy on.
    pub place: Option<Place>,
    /// When the newest goal was set; expiry counts from here.
    pub touched_at: Timestamp,
    pub expires_at: Option<Timestamp>,
}

impl StageRecord {
    /// A stage of which nothing exists yet.
    pub fn new(id: StageId, subject: Subject, target: Target, at: Timestamp) -> Self {
        Self {
            id,
            subject,
            target,
            generation: Generation::default(),
            status: StageStatus::New,
            asked: None,
            settled: Generation::default(),
            approval: None,
            lock: None,
            queue: Vec::new(),
            keep_until: None,
            unrest: Vec::new(),
            place: None,
            touched_at: at,
            expires_at: None,
        }
    }

    /// The pull request that the stage belongs to.
    pub fn pull(&self) -> Option<PullNumber> {
        match self.subject {
            Subject::PullRequest(number) => Some(number),
            Subject::Branch(_) => None,
        }
    }

    /// Whether something of what serves does not stay up at the moment.
    pub fn is_restless(&self) -> bool {
        self.unrest.iter().any(Unrest::is_going_on)
    }

    /// Whether its newest goal is still being brought on.
    pub fn is_busy(&self) -> bool {
        self.settled < self.generation
    }
}

/// A periodic duty of the whole server, run by one node at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Chore {
    /// Ask GitHub which deliveries never arrived, and have them sent again.
    Deliveries,
    /// Compare open pull requests with stages.
    Reconcile,
    /// Compare what exists with stages.
    Sweep,
}

impl Chore {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Deliveries, Self::Reconcile, Self::Sweep];

    /// How long after one run the next is due.
    pub fn period(self) -> Seconds {
        match self {
            Self::Deliveries => Seconds(180),
            Self::Reconcile => Seconds(900),
            Self::Sweep => Seconds(3600),
        }
    }
}

/// The unit of serial work. Its text is the key of the lane table.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Lane {
    /// The inbox of one repository.
    Repo(RepoName),
    /// One stage.
    Stage(StageId),
    /// One of the server's own duties.
    Chore(Chore),
}

impl fmt::Display for Lane {
    /// `repo:acme/shop`, `stage:acme/shop/pr-42`, `chore:sweep`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Repo(repo) => write!(f, "repo:{repo}"),
            Self::Stage(stage) => write!(f, "stage:{stage}"),
            Self::Chore(Chore::Deliveries) => f.write_str("chore:deliveries"),
            Self::Chore(Chore::Reconcile) => f.write_str("chore:reconcile"),
            Self::Chore(Chore::Sweep) => f.write_str("chore:sweep"),
        }
    }
}

impl FromStr for Lane {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let bad = || format!("{text:?} is not a lane");
        match text.split_once(':') {
            Some(("repo", repo)) => repo.parse().map(Self::Repo).map_err(|_| bad()),
            Some(("stage", path)) => {
                let (repo, name) = path.rsplit_once('/').ok_or_else(bad)?;
                let id = StageId { repo: repo.parse().map_err(|_| bad())?, name: name.parse().map_err(|_| bad())? };
                Ok(Self::Stage(id))
            }
            Some(("chore", chore)) => Chore::ALL
                .into_iter()
                .map(Self::Chore)
                .find(|lane| lane.to_string().ends_with(&format!(":{chore}")))
                .ok_or_else(bad),
            _ => Err(bad()),
        }
    }
}

impl TryFrom<String> for Lane {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Lane> for String {
    fn from(lane: Lane) -> Self {
        lane.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lane_is_its_key() {
        for key in ["repo:acme/shop", "stage:acme/shop/pr-42", "chore:deliveries", "chore:reconcile", "chore:sweep"] {
            assert_eq!(key.parse::<Lane>().map(|lane| lane.to_string()).as_deref(), Ok(key));
        }
        for bad in ["", "repo:acme", "stage:acme/shop", "chore:", "chore:nap", "lane:x"] {
            assert!(bad.parse::<Lane>().is_err(), "{bad}");
        }
    }
}
