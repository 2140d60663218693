//! What is to be made for a repository, and what it is called.

use sha2::{Digest, Sha256};

use super::super::names::Names;
use crate::decide::doors::{Door, Trust, trust};
use crate::model::{AppName, Branch, Issuer, RepoIdentity, RepoName, StageId, StageKind, StageName};
use crate::port::{PortError, PortResult};

/// Longest name of a role. Source: `CreateRole`.
const LONGEST_ROLE: usize = 64;
/// So much of a repository's name is in every stage's stack: a stage's name has 40 characters at most, and
/// both together 71.
const SURE_OF_REPO: usize = 30;

/// What lets a repository's jobs in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BootstrapOrder {
    pub app: AppName,
    pub repo: RepoIdentity,
    pub issuer: Issuer,
    /// The name under which previews' hosts lie.
    pub preview_base: Option<String>,
    /// What previews are called; `*` stands for a number or a branch.
    pub preview_names: Vec<String>,
    pub stages: Vec<PermanentStage>,
    /// The only account that may start builds, by its number.
    pub build_actor: Option<u64>,
}

/// A permanent stage and the branch that it follows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PermanentStage {
    pub name: StageName,
    pub branch: Branch,
    pub kind: StageKind,
    pub base: Option<String>,
    pub reach: CommandReach,
}

/// Whether commands in comments deploy it too. They pass by what protects its environment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CommandReach {
    No,
    Yes,
}

impl BootstrapOrder {
    /// Every role that jobs come in by.
    pub fn doors(&self) -> Vec<Door> {
        let permanent =
            |stage: &PermanentStage| Door::Permanent { stage: stage.name.clone(), branch: stage.branch.clone() };
        let mut doors = vec![Door::Preview];
        doors.extend(self.stages.iter().map(permanent));
        doors.extend([Door::Commands, Door::Build { actor: self.build_actor }]);
        doors
    }

    /// What each of them asks of a token.
    pub fn trusts(&self) -> Vec<Trust> {
        self.doors().iter().map(|door| trust(door, &self.repo, &self.issuer)).collect()
    }

    /// The repository's name as sessions and tags have it.
    pub(super) fn key(&self) -> PortResult<RepoName> {
        self.repo.spelling.parse::<RepoName>().map_err(|error| PortError::bug("a repository without a name", error))
    }
}

/// Names of what is made.
pub(super) struct Called<'a> {
    pub(super) names: &'a Names,
    pub(super) order: &'a BootstrapOrder,
    pub(super) key: RepoName,
}

impl<'a> Called<'a> {
    pub(super) fn new(names: &'a Names, order: &'a BootstrapOrder) -> PortResult<Self> {
        Ok(Self { names, order, key: order.key()? })
    }

    /// Ends as no stage's stack does, which all end with eight digits, and none of a foundation: a session
    /// of a stage reaches the stacks of its own name alone.
    pub(super) fn stack(&self) -> String {
        let hash = hex::encode(&Sha256::digest(self.key.as_str())[..4]);
        let slug: String = slug(self.key.name()).chars().take(71).collect();
        format!("{}-{}-{hash}-bootstrap", self.names.owner(), slug.trim_end_matches('-'))
    }

    /// Apart from all roles that a foundation may make and change, which lie at its own paths or at none.
    pub(super) fn path(&self) -> String {
        format!("/{}-bootstrap/", self.names.owner())
    }

    /// `greenroom-shop-preview`
    pub(super) fn role(&self, suffix: &str) -> String {
        let whole = format!("{}-{}-{suffix}", self.names.owner(), self.order.app);
        if whole.len() <= LONGEST_ROLE {
            return whole;
        }
        // Its end stays, which tells what it is.
        let hash = hex::encode(&Sha256::digest(whole.as_bytes())[..4]);
        let room = LONGEST_ROLE.saturating_sub(suffix.len() + hash.len() + 2);
        format!("{}-{hash}-{suffix}", whole[..room].trim_end_matches('-'))
    }

    pub(super) fn stage(&self, stage: &StageName) -> StageId {
        StageId { repo: self.key.clone(), name: stage.clone() }
    }

    /// What begins the repositories of its images.
    pub(super) fn images(&self) -> String {
        self.names.repositories_of(&self.key)
    }

    /// What a preview's stack may be called, by the stage that the session names.
    pub(super) fn preview_stacks(&self) -> String {
        let slug = slug(self.key.name());
        let slug = if slug.len() <= SURE_OF_REPO { slug } else { format!("{}*", &slug[..SURE_OF_REPO]) };
        format!("{}-${{aws:RequestTag/greenroom:stage}}-{slug}-????????", self.names.owner())
    }
}

/// As stacks write a repository's name.
fn slug(name: &str) -> String {
    let letters = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' };
    name.chars().map(letters).collect::<String>().trim_end_matches('-').to_owned()
}
