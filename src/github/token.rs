//! Installation tokens: one repository, named permissions, one hour.
//!
//! A token speaks for a repository, not for a name: it follows that one when it is renamed, and whoever takes the
//! name afterwards is out of its reach. So a token made for a number (`repository_ids`) cannot write to
//! anybody else, whatever name it is used under, and one made for a name is kept only as long as the name
//! is not seen to be another's.
//!
//! Source: GitHub REST, "Create an installation access token for an app".

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use secrecy::SecretString;
use serde::{Deserialize, Deserializer};
use tokio::sync::Mutex as AsyncMutex;

use crate::model::{RepoId, RepoName, Timestamp};
use crate::port::{PortError, PortResult};

/// A token is not used in its last five minutes: a long page of calls must not outlive it.
const MARGIN_MILLIS: i64 = 5 * 60_000;
/// So long GitHub is believed that a repository is not there once a new token has not found it either, and
/// that there is no token for it: one that is truly gone costs a token or a question a minute at most.
const BELIEVED_MILLIS: i64 = 60_000;

/// What a token is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Scope {
    /// Everything but the removal of environments.
    Work,
    /// The removal of an environment, which wants more than all the rest together.
    Environments,
    /// A look into the teams of the organisation.
    Members,
    /// A look at the statuses of a commit.
    Statuses,
    /// Runs of workflows: to ask for, to look at, to end.
    Actions,
}

type Permissions = BTreeMap<String, String>;

impl Scope {
    fn wanted(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Self::Work => &[
                ("metadata", "read"),
                ("contents", "read"),
                ("pull_requests", "write"),
                ("issues", "write"),
                ("checks", "write"),
                ("deployments", "write"),
            ],
            Self::Environments => &[("metadata", "read"), ("administration", "write"), ("environments", "write")],
            Self::Members => &[("metadata", "read"), ("members", "read")],
            Self::Statuses => &[("metadata", "read"), ("statuses", "read")],
            Self::Actions => &[("metadata", "read"), ("actions", "write")],
        }
    }

    /// What the App's owner has to grant for it, as GitHub's settings name it.
    ///
    /// Source: GitHub Docs, "Permissions required for GitHub Apps".
    pub(super) fn grant(self) -> &'static str {
        match self {
            Self::Work => "those that the README names",
            Self::Environments => "\"Administration: read and write\"",
            Self::Members => "\"Members: read\" (of the organisation)",
            Self::Statuses => "\"Commit statuses: read\"",
            Self::Actions => "\"Actions: read and write\"",
        }
    }

    /// What to grant where GitHub refuses it all the same.
    pub(super) fn way_out(self) -> Option<String> {
        (self != Self::Work).then(|| format!("it takes the permission {}", self.grant()))
    }

    /// What to ask for: what we want, as far as the installation has it. GitHub refuses a token
    /// that asks for more, and a missing permission must cost one surface, not all.
    pub(super) fn permissions(self, repo: &RepoName, granted: &Permissions) -> PortResult<Permissions> {
        let ask: Permissions = self
            .wanted()
            .iter()
            .filter_map(|(name, level)| {
                let granted = granted.get(*name)?;
                let level = if *level == "write" && granted == "read" { "read" } else { level };
                Some(((*name).to_owned(), level.to_owned()))
            })
            .collect();
        let may_write = |name: &str| ask.get(name).is_some_and(|level| level == "write");
        let grant = self.grant();
        let reason = match self {
            Self::Environments if !may_write("administration") && !may_write("environments") => format!(
                "the app may not remove environments of {repo}: grant it the permission {grant}, or remove them by hand"
            ),
            Self::Members if !ask.contains_key("members") => format!(
                "the app may not look into the teams of {}: it lacks the permission {grant}, grant it",
                repo.owner()
            ),
            Self::Statuses if !ask.contains_key("statuses") => {
                format!("the app may not see the commit statuses of {repo}: it lacks the permission {grant}, grant it")
            }
            Self::Actions if !may_write("actions") => format!(
                "the app may not start workflows of {repo}: it lacks the permission {grant}. Grant it, or write `builder: \
                 docker`"
            ),
            Self::Work | Self::Environments | Self::Members | Self::Statuses | Self::Actions => return Ok(ask),
        };
        Err(PortError::Denied { reason })
    }
}

/// `GET /repos/{owner}/{repo}/installation`, or one of `GET /app/installations`.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Installation {
    pub(super) id: u64,
    #[serde(default)]
    pub(super) permissions: Permissions,
    pub(super) suspended_at: Option<String>,
}

/// `POST /app/installations/{installation_id}/access_tokens`
#[derive(Deserialize)]
pub(super) struct Minted {
    #[serde(deserialize_with = "secret")]
    pub(super) token: SecretString,
    pub(super) expires_at: String,
}

fn secret<'de, D: Deserializer<'de>>(deserializer: D) -> Result<SecretString, D::Error> {
    String::deserialize(deserializer).map(SecretString::from)
}

/// A token in use.
#[derive(Debug, Clone)]
pub(super) struct Token {
    pub(super) value: SecretString,
    pub(super) installation: u64,
    pub(super) expires_at: Timestamp,
    /// Tells a refused token from the one that has replaced it since.
    pub(super) serial: u64,
}

impl Token {
    pub(super) fn is_good(&self, now: Timestamp) -> bool {
        now.after_millis(MARGIN_MILLIS) < self.expires_at
    }
}

/// For whom a token is: the name that it is used under and, where it is known, the number of the repository
/// that it speaks for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Whose {
    pub(super) name: RepoName,
    pub(super) id: Option<RepoId>,
}

/// A token, and how sure it is that what it does not see is not there.
#[derive(Default)]
pub(super) struct Place {
    pub(super) token: Option<Token>,
    pub(super) refusal: Refusal,
    believed_until: Timestamp,
}

/// Why there is no token, and until when that is believed.
#[derive(Default)]
pub(super) struct Refusal(Option<(String, Timestamp)>);

impl Refusal {
    /// Why none is asked for now.
    pub(super) fn now(&self, now: Timestamp) -> Option<&str> {
        let (reason, until) = self.0.as_ref()?;
        is_believed(*until, now).then_some(reason)
    }

    pub(super) fn note(&mut self, reason: &str, now: Timestamp) {
        self.0 = Some((reason.to_owned(), now.after_millis(BELIEVED_MILLIS)));
    }
}

/// A clock that was put back makes nobody wait for longer.
fn is_believed(until: Timestamp, now: Timestamp) -> bool {
    (1..=BELIEVED_MILLIS).contains(&until.since(now))
}

/// One place for the token of a repository and scope. Whoever holds it is the only one to mint.
pub(super) type Slot = Arc<AsyncMutex<Place>>;

/// The tokens in use.
#[derive(Default)]
pub(super) struct Tokens {
    slots: Mutex<HashMap<(Whose, Scope), Slot>>,
}

impl Tokens {
    /// So many places are kept before expired ones are thrown out.
    const MANY: usize = 4096;

    pub(super) fn slot(&self, whose: &Whose, scope: Scope, now: Timestamp) -> Slot {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        if slots.len() >= Self::MANY {
            let is_good = |place: &Place| place.token.as_ref().is_some_and(|token| token.is_good(now));
            slots.retain(|_, slot| slot.try_lock().map_or(true, |place| is_good(&place)));
        }
        slots.entry((whose.clone(), scope)).or_default().clone()
    }

    /// Whether to ask once more about a repository that the token of a question did not see: the name may
    /// be another one's by now, or the installation another. The tokens of before are forgotten then.
    ///
    /// `began`: the serial that the next token had when the question was asked.
    pub(super) async fn doubt(&self, whose: &Whose, began: u64, now: Timestamp) -> bool {
        let slot = self.slot(whose, Scope::Work, now);
        let mut place = slot.lock().await;
        match &place.token {
            // Somebody else had the same doubt.
            None => return true,
            Some(token) if token.serial >= began => return true,
            Some(_) if is_believed(place.believed_until, now) => return false,
            Some(_) => place.token = None,
        }
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        for scope in [Scope::Environments, Scope::Members, Scope::Statuses, Scope::Actions] {
            slots.remove(&(whose.clone(), scope));
        }
        true
    }

    /// Takes down that a new token does not see the repository either.
    pub(super) async fn believe(&self, whose: &Whose, now: Timestamp) {
        let slot = self.slot(whose, Scope::Work, now);
        slot.lock().await.believed_until = now.after_millis(BELIEVED_MILLIS);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn granted(permissions: &[(&str, &str)]) -> Permissions {
        permissions.iter().map(|(name, level)| ((*name).into(), (*level).into())).collect()
    }

    fn shop() -> RepoName {
        RepoName::new("acme/shop").expect("a repository's name")
    }

    #[test]
    fn a_token_asks_for_what_is_wanted_and_granted() {
        let all = granted(&[
            ("metadata", "read"),
            ("contents", "write"),
            ("checks", "read"),
            ("issues", "write"),
            ("administration", "write"),
            ("secrets", "write"),
        ]);
        let work = Scope::Work.permissions(&shop(), &all).expect("enough");
        let expected = [("metadata", "read"), ("contents", "read"), ("checks", "read"), ("issues", "write")];
        assert_eq!(work, granted(&expected));
        let environments = Scope::Environments.permissions(&shop(), &all).expect("enough");
        assert_eq!(environments, granted(&[("metadata", "read"), ("administration", "write")]));
    }

    #[test]
    fn a_look_that_was_not_granted_is_refused_by_its_name_and_asks_for_nothing_else() {
        let all = granted(&[("metadata", "read"), ("members", "write"), ("statuses", "read"), ("issues", "write")]);
        for (scope, name, words) in
            [(Scope::Members, "members", "Members: read"), (Scope::Statuses, "statuses", "Commit statuses: read")]
        {
            let asked = scope.permissions(&shop(), &all).expect("enough");
            assert_eq!(asked, granted(&[("metadata", "read"), (name, "read")]));
            let refusal = scope.permissions(&shop(), &granted(&[("metadata", "read"), ("issues", "write")]));
            let Err(PortError::Denied { reason }) = refusal else { panic!("{refusal:?}") };
            assert!(reason.contains(words), "{reason}");
            let way_out = scope.way_out().expect("a way out");
            assert!(way_out.contains(words), "{way_out}");
        }
    }

    #[test]
    fn without_the_permission_to_remove_environments_nothing_is_asked() {
        for lacking in [granted(&[("metadata", "read")]), granted(&[("administration", "read")])] {
            let refusal = Scope::Environments.permissions(&shop(), &lacking);
            assert!(matches!(refusal, Err(PortError::Denied { .. })), "{refusal:?}");
        }
    }
}
