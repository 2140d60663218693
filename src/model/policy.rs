//! Who may command what, and under which conditions, as the configuration says it.
//!
//! What a stage does not say has a default: see [`StagePolicy::who`].

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::{Deserialize, Serialize};

use super::{BranchPattern, Permission, Prefix, StageKind, UserId, Verb};

/// How comments are read, and whose.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct CommandRules {
    /// What a command begins with.
    pub prefix: Prefix,
    /// Programs that may command, by the numeric id of their account.
    pub bots: BTreeSet<UserId>,
}

/// Whom a command is allowed to.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Who {
    /// Everybody who has at least this right in the repository.
    Role(Permission),
    /// The members of a team of the repository's organisation, by its slug.
    Team(String),
    User(UserId),
}

impl fmt::Display for Who {
    /// `maintain`, `team:ops`, `user:1234`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Role(role) => f.write_str(role.name()),
            Self::Team(slug) => write!(f, "team:{slug}"),
            Self::User(id) => write!(f, "user:{id}"),
        }
    }
}

/// Which checks must have passed.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ChecksWanted {
    #[default]
    None,
    /// Every one that the commit has.
    All,
    /// These, each of which the commit must have.
    Named(BTreeSet<NamedCheck>),
}

/// A check by its name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct NamedCheck {
    pub name: String,
    /// Only of this GitHub App, by its id: whoever can write a status or a check of that name
    /// cannot make it pass.
    pub app: Option<u64>,
}

impl fmt::Display for NamedCheck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.app {
            None => f.write_str(&self.name),
            Some(app) => write!(f, "{} of app {app}", self.name),
        }
    }
}

/// The conditions of one command on one stage.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Allow {
    /// Any of them; `None` leaves it at the default.
    pub who: Option<Vec<Who>>,
    /// How many people must have approved the very commit.
    pub approvals: u32,
    pub checks: ChecksWanted,
    /// The branch holds everything that its base holds.
    pub up_to_date: bool,
    /// Any of them; empty is every branch.
    pub branches: Vec<BranchPattern>,
}

/// The conditions of a stage's commands.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct StagePolicy {
    pub named: BTreeMap<Verb, Allow>,
    /// For the commands that are not named: `*`.
    pub others: Option<Allow>,
}

static NOTHING: Allow =
    Allow { who: None, approvals: 0, checks: ChecksWanted::None, up_to_date: false, branches: Vec::new() };

impl StagePolicy {
    /// Whom the command is allowed to on a stage of this kind.
    pub fn who(&self, verb: Verb, kind: StageKind) -> Vec<Who> {
        let own = self.named.get(&verb).or(self.others.as_ref()).and_then(|allow| allow.who.clone());
        own.unwrap_or_else(|| vec![Who::Role(default_role(verb, kind))])
    }

    /// The conditions besides the person. Those of `*` are about commits that are new to the
    /// stage: going back to what ran already must stay possible when a check is red.
    pub fn conditions(&self, verb: Verb) -> &Allow {
        let others = self.others.as_ref().filter(|_| matches!(verb, Verb::Deploy | Verb::Promote));
        self.named.get(&verb).or(others).unwrap_or(&NOTHING)
    }
}

/// Who may where the configuration does not say: at least this right.
pub fn default_role(verb: Verb, kind: StageKind) -> Permission {
    match verb {
        Verb::Status | Verb::Help | Verb::Plan | Verb::Health | Verb::Why => Permission::Read,
        Verb::Logs => Permission::Write,
        Verb::Deploy
        | Verb::Destroy
        | Verb::Redeploy
        | Verb::Retry
        | Verb::Cancel
        | Verb::Rollback
        | Verb::Promote
        | Verb::Lock
        | Verb::Unlock
        | Verb::Keep
        | Verb::Approve => match kind {
            StageKind::Ephemeral => Permission::Write,
            StageKind::Permanent => Permission::Maintain,
            StageKind::Production => Permission::Admin,
        },
    }
}

impl Permission {
    /// All that can be given, in rising order.
    pub const GIVEN: [Self; 5] = [Self::Read, Self::Triage, Self::Write, Self::Maintain, Self::Admin];

    /// As GitHub and the configuration write it.
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Read => "read",
            Self::Triage => "triage",
            Self::Write => "write",
            Self::Maintain => "maintain",
            Self::Admin => "admin",
        }
    }

    /// The right of this name.
    pub fn named(text: &str) -> Option<Self> {
        Self::GIVEN.into_iter().find(|role| role.name() == text)
    }

    /// What GitHub's two words for a right mean together. A role that the organisation made itself
    /// counts as the built-in one that it rests on; what is unknown is no right.
    ///
    /// Source: GitHub REST, "Get repository permissions for a user": `permission` knows only admin,
    /// write, read and none, and shows maintain as write and triage as read; `role_name` has the
    /// name of the role, custom ones included.
    pub fn of(permission: &str, role_name: &str) -> Self {
        match permission {
            "admin" => Self::Admin,
            "write" if role_name == "maintain" => Self::Maintain,
            "write" => Self::Write,
            "read" if role_name == "triage" => Self::Triage,
            "read" => Self::Read,
            _ => Self::None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_role_is_worth_what_it_rests_on() {
        let cases = [
            ("admin", "admin", Permission::Admin),
            ("write", "maintain", Permission::Maintain),
            ("write", "write", Permission::Write),
            ("write", "release-captain", Permission::Write),
            // A custom role can have any name that is not taken.
            ("read", "administrator", Permission::Read),
            ("read", "triage", Permission::Triage),
            ("read", "admin", Permission::Read),
            ("none", "maintain", Permission::None),
            ("", "", Permission::None),
        ];
        for (permission, role, expected) in cases {
            assert_eq!(Permission::of(permission, role), expected, "{permission} {role}");
        }
        assert_eq!(Permission::GIVEN.map(|role| Permission::named(role.name())), Permission::GIVEN.map(Some));
        assert_eq!(Permission::named("none"), None);
    }

    #[test]
    fn what_a_stage_does_not_say_has_its_default() {
        let admins = Allow { who: Some(vec![Who::Role(Permission::Admin)]), approvals: 2, ..Allow::default() };
        let mut policy = StagePolicy::default();
        let role = |role| vec![Who::Role(role)];
        assert_eq!(policy.who(Verb::Deploy, StageKind::Permanent), role(Permission::Maintain));
        assert_eq!(policy.conditions(Verb::Deploy).approvals, 0);
        policy.others = Some(admins);
        assert_eq!(policy.who(Verb::Status, StageKind::Permanent), role(Permission::Admin));
        assert_eq!([Verb::Deploy, Verb::Promote].map(|verb| policy.conditions(verb).approvals), [2, 2]);
        assert_eq!(policy.conditions(Verb::Rollback).approvals, 0, "the way back stays open");
        policy.named.insert(Verb::Rollback, Allow { approvals: 1, ..Allow::default() });
        assert_eq!(policy.conditions(Verb::Rollback).approvals, 1, "unless it is said");
        assert_eq!(policy.who(Verb::Rollback, StageKind::Production), role(Permission::Admin));
    }
}
