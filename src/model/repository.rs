//! Repositories by GitHub's own numbers: a name can be changed, and taken by somebody else.

use serde::{Deserialize, Serialize};

use super::{Branch, RepoId, RepoName, UserId};

/// A repository as GitHub named it at one moment.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct RepoSeen {
    pub id: RepoId,
    /// The account that owns it.
    pub owner: UserId,
    pub name: RepoName,
}

/// What is asked of a repository before anything is done for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RepoFacts {
    pub seen: RepoSeen,
    /// The branch that holds the policy.
    pub default_branch: Branch,
}

/// A repository as this server knows it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct KnownRepo {
    pub id: RepoId,
    /// What it is called here, for life: the name under which it was first seen. Rows, lanes and names
    /// on targets have it, so that a new name changes none of them. Where that name was another
    /// repository's before, it is one that GitHub gives to nobody ([`Self::stand_in`]).
    pub key: RepoName,
    /// What GitHub calls it now; `None` once another one was seen under that name, until it is told.
    pub name: Option<RepoName>,
    /// Another name that somebody had for it in passing: a delivery, which may have been sent before it
    /// was renamed, or a list. GitHub is asked about it before anything more is done for the repository.
    pub rumour: Option<RepoName>,
    pub owner: RepoOwner,
    /// The logins by which the account is known here that owns it now; none where that is a stranger.
    pub holders: Vec<String>,
}

/// Who owns a repository now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RepoOwner {
    /// The account that its key names.
    AsNamed,
    /// It was handed to somebody, or its key is a stand-in.
    Another,
}

impl KnownRepo {
    /// The key of a repository whose name somebody else had before: `acme.774/shop`. No account's
    /// name has a dot.
    ///
    /// Source: GitHub Docs, "Username considerations for external authentication": letters, digits and
    /// dashes.
    pub fn stand_in(seen: &RepoSeen) -> RepoName {
        let text = format!("{}.{}/{}", seen.name.owner(), seen.id, seen.name.name());
        RepoName::new(text).unwrap_or_else(|_| seen.name.clone())
    }

    /// Whether its key is such a one: then it inherits nothing of what goes by a name.
    pub fn is_stand_in(&self) -> bool {
        self.key.owner().contains('.')
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stand_in_is_a_name_that_nobody_can_have() {
        let seen = |name: &str| RepoSeen { id: RepoId(774), owner: UserId(1), name: name.parse().unwrap() };
        assert_eq!(KnownRepo::stand_in(&seen("acme/shop")).as_str(), "acme.774/shop");
        assert_eq!(KnownRepo::stand_in(&seen("acme/.github")).as_str(), "acme.774/.github");
    }
}
