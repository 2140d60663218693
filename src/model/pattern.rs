//! How stages get their names.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{Branch, PullNumber, StageName};

/// How a stage gets its name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StagePattern {
    /// A permanent stage with this name.
    Named(StageName),
    /// `<prefix>{number}<suffix>`, one for each pull request.
    PullRequest { prefix: String, suffix: String },
    /// `<prefix>{branch}<suffix>`, one for each matching branch.
    Branch { prefix: String, suffix: String },
}

impl StagePattern {
    /// The stage's name for a pull request.
    pub fn for_pull(&self, number: PullNumber) -> Option<StageName> {
        match self {
            Self::PullRequest { prefix, suffix } => StageName::new(format!("{prefix}{number}{suffix}")).ok(),
            Self::Named(_) | Self::Branch { .. } => None,
        }
    }

    /// The stage's name for a branch, where no other stage has it.
    pub fn for_branch(&self, branch: &Branch) -> Option<StageName> {
        self.names_of_branch(branch).into_iter().next()
    }

    /// What the stage of a branch may be called, the first name that is free: the branch's own where that is
    /// a label as it stands, else its letters and digits with the beginning of a hash of it, so that branches
    /// which are written alike have names that are not.
    pub fn names_of_branch(&self, branch: &Branch) -> Vec<StageName> {
        let (prefix, suffix) = match self {
            Self::Named(name) => return vec![name.clone()],
            Self::PullRequest { .. } => return Vec::new(),
            Self::Branch { prefix, suffix } => (prefix, suffix),
        };
        let own = StageName::new(format!("{prefix}{}{suffix}", branch.0)).ok();
        let marked = MARKS.into_iter().filter_map(|digits| marked(prefix, branch, suffix, digits));
        own.into_iter().chain(marked).collect()
    }

    /// Whether a stage of this name can be the branch's: by [`Self::names_of_branch`], or as versions before
    /// called it, for which all that was no letter or digit was the same.
    pub fn is_of_branch(&self, branch: &Branch, name: &StageName) -> bool {
        let before = match self {
            Self::Branch { prefix, suffix } => StageName::slug(&format!("{prefix}{}{suffix}", branch.0)),
            Self::Named(_) | Self::PullRequest { .. } => None,
        };
        before.as_ref() == Some(name) || self.names_of_branch(branch).contains(name)
    }

    /// Whether stages of this pattern come and go.
    pub fn is_ephemeral(&self) -> bool {
        !matches!(self, Self::Named(_))
    }
}

/// How many digits of a branch's hash stand in a name: more of them where a name is taken.
const MARKS: [usize; 3] = [6, 12, 24];

/// `feature-login-3f9a1c`, as much of it as a name has room for.
fn marked(prefix: &str, branch: &Branch, suffix: &str, digits: usize) -> Option<StageName> {
    let mark = &hex::encode(Sha256::digest(&branch.0))[..digits];
    let room = StageName::LONGEST.saturating_sub(prefix.len() + suffix.len() + digits + 1);
    let readable: String =
        StageName::slug(&branch.0).map_or_else(String::new, |slug| slug.as_str().chars().take(room).collect());
    let middle = match readable.trim_matches('-') {
        "" => mark.to_owned(),
        readable => format!("{readable}-{mark}"),
    };
    StageName::new(format!("{prefix}{middle}{suffix}")).ok()
}
