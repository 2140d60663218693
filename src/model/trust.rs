//! How far the author of a commit is trusted.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Where a commit comes from, and so what may be made of it: names of artifacts, build caches and
/// what lies in them are separate for each of these, and nothing rises but by a promotion.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Trust {
    /// A pull request from another repository; also what is not known.
    #[default]
    Fork,
    /// A branch of the repository itself.
    Preview,
    /// The branch that a permanent stage follows.
    Permanent,
}

impl Trust {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Fork => "fork",
            Self::Preview => "preview",
            Self::Permanent => "permanent",
        }
    }
}

impl fmt::Display for Trust {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
