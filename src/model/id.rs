//! Names and numbers that cannot be mixed up, and cannot be malformed.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A text that is not a valid identifier of its kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not a valid {kind}: {rule}")]
pub struct BadId {
    /// What it was meant to be, for example "commit sha".
    pub kind: &'static str,
    /// The refused text, cut to 80 characters.
    pub text: String,
    /// The rule that it broke.
    pub rule: &'static str,
}

macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident, $kind:literal, $rule:literal, $normalise:expr, $valid:expr) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// Checks and normalises the text.
            pub fn new(text: impl Into<String>) -> Result<Self, BadId> {
                let normalise: fn(String) -> String = $normalise;
                let valid: fn(&str) -> bool = $valid;
                let text = normalise(text.into());
                if valid(&text) {
                    Ok(Self(text))
                } else {
                    Err(BadId { kind: $kind, text: text.chars().take(80).collect(), rule: $rule })
                }
            }

            /// The identifier as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl FromStr for $name {
            type Err = BadId;
            fn from_str(text: &str) -> Result<Self, BadId> {
                Self::new(text)
            }
        }

        impl TryFrom<String> for $name {
            type Error = BadId;
            fn try_from(text: String) -> Result<Self, BadId> {
                Self::new(text)
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> Self {
                id.0
            }
        }
    };
}

macro_rules! number_id {
    ($(#[$doc:meta])* $name:ident, $inner:ty) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub $inner);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

fn as_is(text: String) -> String {
    text
}

fn lower(mut text: String) -> String {
    text.make_ascii_lowercase();
    text
}

fn is_label(text: &str, max: usize) -> bool {
    !text.is_empty()
        && text.len() <= max
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        && !text.starts_with('-')
        && !text.ends_with('-')
}

fn is_repo(text: &str) -> bool {
    let part = |part: &str| {
        !part.is_empty()
            && part.len() <= 100
            && part != "."
            && part != ".."
            && part.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
    };
    text.split_once('/').is_some_and(|(owner, name)| part(owner) && part(name))
}

text_id!(
    /// A repository as `owner/name`, lower-cased because GitHub compares names without case.
    RepoName, "repository name", "owner/name, letters, digits, '-', '_' and '.'", lower, is_repo
);
text_id!(
    /// The full 40-digit hexadecimal name of a commit.
    CommitSha, "commit sha", "40 hexadecimal digits", lower,
    |text| text.len() == 40 && text.bytes().all(|b| b.is_ascii_hexdigit())
);
text_id!(
    /// A stage's name. It becomes a DNS label, alone or behind `<host>-`, so 40 characters is the cap.
    StageName, "stage name", "1-40 of a-z, 0-9 and '-', not at either end", as_is,
    |text| is_label(text, StageName::LONGEST)
);
text_id!(
    /// A service's name inside its app.
    ServiceName, "service name", "1-32 of a-z, 0-9 and '-', not at either end", as_is, |text| is_label(text, 32)
);
text_id!(
    /// The app's name from its configuration.
    AppName, "app name", "1-32 of a-z, 0-9 and '-', not at either end", as_is, |text| is_label(text, 32)
);
text_id!(
    /// GitHub's `X-GitHub-Delivery`; a redelivery carries the same one.
    DeliveryId, "delivery id", "1-100 printable characters", as_is,
    |text| !text.is_empty() && text.len() <= 100 && text.bytes().all(|b| b.is_ascii_graphic())
);
text_id!(
    /// The id that GitHub gave to something we made: a comment, check run or deployment.
    ExternalId, "external id", "1-200 characters", as_is, |text| !text.is_empty() && text.len() <= 200
);

number_id!(
    /// A pull request's number inside its repository.
    PullNumber, u64
);
number_id!(
    /// A GitHub account's numeric id, which survives a rename.
    UserId, u64
);
number_id!(
    /// A GitHub repository's numeric id, which survives a rename and is never given twice.
    RepoId, u64
);
number_id!(
    /// Counts the goals of one stage; a higher one supersedes a lower one.
    Generation, i64
);
number_id!(
    /// Counts the holders of one lane; a write under an older fence touches nothing.
    Fence, i64
);
number_id!(
    /// A row of the deploy table.
    DeployId, i64
);

impl RepoName {
    /// The account that owns the repository.
    pub fn owner(&self) -> &str {
        self.0.split_once('/').map_or("", |(owner, _)| owner)
    }

    /// The repository's name without its owner.
    pub fn name(&self) -> &str {
        self.0.split_once('/').map_or("", |(_, name)| name)
    }
}

impl CommitSha {
    /// The first seven digits, as GitHub shows them.
    pub fn short(&self) -> &str {
        &self.0[..7]
    }
}

impl StageName {
    /// Characters that a name may have.
    pub const LONGEST: usize = 40;

    /// Turns any text, such as a branch, into a name: lower case, runs of other characters become
    /// one `-`, cut to 40. `None` when nothing usable is left.
    pub fn slug(text: &str) -> Option<Self> {
        let mut slug = String::new();
        for c in text.chars() {
            if c.is_ascii_alphanumeric() {
                slug.push(c.to_ascii_lowercase());
            } else if !slug.ends_with('-') {
                slug.push('-');
            }
        }
        let cut: String = slug.trim_matches('-').chars().take(Self::LONGEST).collect();
        Self::new(cut.trim_matches('-')).ok()
    }
}

impl Generation {
    /// The one after this.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_normalised_or_refused() {
        assert_eq!(RepoName::new("Acme/Shop").map(|r| r.to_string()).as_deref(), Ok("acme/shop"));
        for bad in ["acme", "acme/../x", "a/b/c", "/x", "acme/..", "a b/c", ""] {
            assert!(RepoName::new(bad).is_err(), "{bad}");
        }
        assert!(CommitSha::new("abc").is_err());
        assert!(StageName::new("-a").is_err());
        assert_eq!(StageName::slug("Feature/Login #2!").map(|s| s.to_string()).as_deref(), Some("feature-login-2"));
        assert_eq!(StageName::slug("///"), None);
    }

    #[test]
    fn a_bad_name_does_not_come_in_through_json() {
        assert!(serde_json::from_str::<StageName>("\"UP\"").is_err());
        assert!(serde_json::from_str::<RepoName>("\"a/b\"").is_ok());
    }
}
