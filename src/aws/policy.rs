//! The least that Greenroom must be allowed, as policies for IAM.
//!
//! Guarantees: every call in the sources and every type in the templates is covered, with the very
//! resource and keys that AWS would judge it by, and no action and no resource is granted that none
//! of them needs (the tests evaluate each policy, by the Service Authorization Reference); a stage's
//! session reaches the things of that stage alone, by its session tags; roles are made and changed
//! within the boundary alone; each policy fits IAM.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::names::{SESSION_IMAGES, SESSION_STACK, TAG_ACCESS, TAG_BASE, TAG_OWNER, TAG_REPO, TAG_STAGE};
use super::policy_foundation::{BOUNDARY, FOUNDATION, NETWORK};
use super::policy_table::{ROUTES, SERVER, STAGE};

/// Who needs it. What is too long for one policy of IAM stands in two.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Policy {
    /// The server's own identity: it takes on the roles that configurations name, and looks for
    /// what was left behind.
    Server,
    /// Deploying stages that come and go.
    Previews,
    /// Besides [`Self::Previews`]: what leads to them, and what scales them.
    PreviewsRoutes,
    /// Deploying permanent stages.
    Permanent,
    /// Besides [`Self::Permanent`]: what leads to them, and what scales them.
    PermanentRoutes,
    /// Making what previews share, besides both of theirs.
    PreviewsFoundation,
    /// Besides [`Self::PreviewsFoundation`]: its network and load balancers.
    PreviewsNetwork,
    /// Making a permanent stage's own foundation, besides both of its own.
    PermanentFoundation,
    /// Besides [`Self::PermanentFoundation`]: its network and load balancers.
    PermanentNetwork,
    /// What the roles of foundations may do at most.
    Boundary,
}

impl Policy {
    /// As `greenroom doctor --policy` calls it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Server => "server",
            Self::Previews => "previews",
            Self::PreviewsRoutes => "previews-routes",
            Self::Permanent => "permanent",
            Self::PermanentRoutes => "permanent-routes",
            Self::PreviewsFoundation => "previews-foundation",
            Self::PreviewsNetwork => "previews-network",
            Self::PermanentFoundation => "permanent-foundation",
            Self::PermanentNetwork => "permanent-network",
            Self::Boundary => "boundary",
        }
    }
}

/// What a policy is printed for.
#[derive(Debug, Clone, Copy)]
pub struct Terms<'a> {
    /// What every name begins with.
    pub name: &'a str,
    /// The ARN of the policy that bounds every role; without one, `<name>-boundary` of any account.
    pub boundary: Option<&'a str>,
    pub sessions: Sessions,
}

/// How its identity is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sessions {
    /// As a role that is taken on for one stage, which the session's tags name.
    Tagged,
    /// As it is: the server's own, or a person's. AWS then tells no stage from another.
    Bare,
}

/// On which ground stages stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ground {
    Previews,
    Permanent,
}

/// Where a tag stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    /// In the call that makes the thing.
    Request,
    /// On the thing itself.
    Resource,
}

/// What has to hold besides the resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum When {
    /// The tags are those of the session's stage.
    Stage(Side),
    /// The tags are those of the foundation that it stands on.
    Foundation(Side),
    /// The tag is this Greenroom's.
    Owner(Side),
    /// Tags are set by the call that makes the thing, which is told under this key.
    Making(&'static str),
    /// Nobody's of any Greenroom: for calls that tag a thing as they make it and say so nowhere.
    Unowned,
    /// Tags that tell whose it is may be set to the foundation's own alone.
    Retagging,
    /// Tags that tell whose it is are not taken away.
    Untagging,
    /// The role has the boundary, or is given it.
    Bounded,
    /// Where the call names a repository, it is the session's.
    Own,
    /// In the cluster of the foundation.
    Cluster,
    /// An external id is given.
    ForRepository,
    /// The names of a stage's hosts.
    StageRecords,
    /// The names under which stages' hosts lie, and those that certificates are validated by.
    FoundationRecords,
    /// The names of the foundation's certificates.
    Certificates,
    /// A secret of the repository that the role itself belongs to, or of its stage.
    SecretsOf(Ground),
    /// The key has one of these values.
    Is(&'static str, &'static [&'static str]),
}

/// Actions that are needed on the same things. `{name}` and the like stand for what differs: see
/// [`Terms::fill`].
pub(super) struct Group {
    /// The statement's name: letters and digits.
    pub(super) sid: &'static str,
    pub(super) when: &'static [When],
    pub(super) resources: &'static [&'static str],
    pub(super) actions: &'static [&'static str],
}

/// The policy as indented JSON.
pub fn policy(which: Policy, terms: &Terms<'_>) -> String {
    let (groups, ground) = groups(which);
    let statements: Vec<Value> = groups.iter().map(|group| statement(group, ground, terms)).collect();
    format!("{:#}\n", json!({ "Version": "2012-10-17", "Statement": statements }))
}

/// Some of a policy's statements, by their names.
pub(super) fn statements(which: Policy, terms: &Terms<'_>, sids: &[&str]) -> Vec<Value> {
    let (groups, ground) = groups(which);
    let wanted = groups.iter().filter(|group| sids.contains(&group.sid));
    wanted.map(|group| statement(group, ground, terms)).collect()
}

pub(super) fn groups(which: Policy) -> (&'static [Group], Ground) {
    match which {
        Policy::Server => (SERVER, Ground::Previews),
        Policy::Previews => (STAGE, Ground::Previews),
        Policy::PreviewsRoutes => (ROUTES, Ground::Previews),
        Policy::Permanent => (STAGE, Ground::Permanent),
        Policy::PermanentRoutes => (ROUTES, Ground::Permanent),
        Policy::PreviewsFoundation => (FOUNDATION, Ground::Previews),
        Policy::PreviewsNetwork => (NETWORK, Ground::Previews),
        Policy::PermanentFoundation => (FOUNDATION, Ground::Permanent),
        Policy::PermanentNetwork => (NETWORK, Ground::Permanent),
        Policy::Boundary => (BOUNDARY, Ground::Previews),
    }
}

fn statement(group: &Group, ground: Ground, terms: &Terms<'_>) -> Value {
    let mut resources: Vec<String> = group.resources.iter().map(|pattern| terms.fill(pattern, ground)).collect();
    // What previews keep apart may be one and the same for a permanent stage.
    resources.dedup();
    let mut statement = json!({
        "Sid": group.sid,
        "Effect": "Allow",
        "Action": group.actions,
        "Resource": resources,
    });
    let mut conditions: BTreeMap<&str, Map<String, Value>> = BTreeMap::new();
    for (operator, key, values) in group.when.iter().flat_map(|when| conditions_of(*when, ground, terms)) {
        let values: Vec<String> = values.iter().map(|value| terms.fill(value, ground)).collect();
        let value = if let [one] = values.as_slice() { json!(one) } else { json!(values) };
        conditions.entry(operator).or_default().insert(key, value);
    }
    if !conditions.is_empty() {
        statement["Condition"] = json!(conditions);
    }
    statement
}

type Condition = (&'static str, String, Vec<&'static str>);

fn conditions_of(when: When, ground: Ground, terms: &Terms<'_>) -> Vec<Condition> {
    let at = |side: Side, tag: &str| match side {
        Side::Request => format!("aws:RequestTag/{tag}"),
        Side::Resource => format!("aws:ResourceTag/{tag}"),
    };
    let one = |operator, key: &str, values: &[&'static str]| vec![(operator, key.to_owned(), values.to_vec())];
    match when {
        When::Stage(side) => of_stage(terms.sessions, "StringEquals", |tag| at(side, tag)),
        When::Foundation(side) => of_foundation(ground, terms.sessions, "StringEquals", |tag| at(side, tag)),
        When::Owner(side) => one("StringEquals", &at(side, TAG_OWNER), &["{name}"]),
        When::Retagging => of_foundation(ground, terms.sessions, "StringEqualsIfExists", |tag| at(Side::Request, tag)),
        When::Untagging => one("ForAllValues:StringNotEquals", "aws:TagKeys", &[TAG_OWNER, TAG_REPO, TAG_STAGE]),
        When::Making(key) => one("Null", key, &["false"]),
        When::Unowned => one("Null", &at(Side::Resource, TAG_OWNER), &["true"]),
        When::Own if ground == Ground::Previews && terms.sessions == Sessions::Tagged => {
            one("StringEqualsIfExists", &at(Side::Request, TAG_REPO), &["{repo}"])
        }
        When::Own => Vec::new(),
        When::Bounded => one("ArnLike", "iam:PermissionsBoundary", &["{boundary}"]),
        When::Cluster => one("ArnLike", "ecs:cluster", &["arn:aws:ecs:*:*:cluster/{foundation}-*"]),
        When::ForRepository => one("StringLike", "sts:ExternalId", &["*/*"]),
        When::StageRecords => {
            let names: &[&str] = match ground {
                Ground::Previews => &["{stage}.{base}", "*-{stage}.{base}"],
                Ground::Permanent => &["{base}", "*.{base}"],
            };
            [records(names), one("ForAllValues:StringEquals", RECORD_TYPES, &["A"])].concat()
        }
        When::FoundationRecords => {
            // Route 53 writes the star of a wildcard as `\052`.
            let names: &[&str] = match ground {
                Ground::Previews => &[r"\052.{base}", "_*.{base}"],
                Ground::Permanent => &["{base}", r"\052.{base}", "_*.{base}"],
            };
            [records(names), one("ForAllValues:StringEquals", RECORD_TYPES, &["A", "CNAME"])].concat()
        }
        When::Certificates => one("ForAllValues:StringLike", "acm:DomainNames", &["{base}", "${*}.{base}"]),
        When::SecretsOf(Ground::Previews) => vec![
            ("StringEquals", at(Side::Resource, TAG_ACCESS), vec!["${aws:PrincipalTag/greenroom:repo}"]),
            ("Null", format!("aws:PrincipalTag/{TAG_STAGE}"), vec!["true"]),
        ],
        When::SecretsOf(Ground::Permanent) => {
            let own = "${aws:PrincipalTag/greenroom:repo}/${aws:PrincipalTag/greenroom:stage}";
            one("StringEquals", &at(Side::Resource, TAG_ACCESS), &[own])
        }
        When::Is(key, values) => one("StringEquals", key, values),
    }
}

const RECORD_NAMES: &str = "route53:ChangeResourceRecordSetsNormalizedRecordNames";
const RECORD_TYPES: &str = "route53:ChangeResourceRecordSetsRecordTypes";

fn records(names: &[&'static str]) -> Vec<Condition> {
    vec![("ForAllValues:StringLike", RECORD_NAMES.to_owned(), names.to_vec())]
}

/// A session's repository and stage tell more than the owner does, and leave room for the rest.
fn of_stage(sessions: Sessions, operator: &'static str, key: impl Fn(&str) -> String) -> Vec<Condition> {
    match sessions {
        Sessions::Tagged => {
            vec![(operator, key(TAG_REPO), vec!["{repo}"]), (operator, key(TAG_STAGE), vec!["{stage}"])]
        }
        Sessions::Bare => {
            vec![(operator, key(TAG_OWNER), vec!["{name}"]), ("Null", key(TAG_STAGE), vec!["false"])]
        }
    }
}

/// What previews share belongs to no stage and carries none's name.
fn of_foundation(
    ground: Ground,
    sessions: Sessions,
    operator: &'static str,
    key: impl Fn(&str) -> String,
) -> Vec<Condition> {
    match ground {
        Ground::Permanent if operator.ends_with("IfExists") && sessions == Sessions::Bare => {
            vec![(operator, key(TAG_OWNER), vec!["{name}"])]
        }
        Ground::Permanent => of_stage(sessions, operator, key),
        Ground::Previews => {
            vec![(operator, key(TAG_OWNER), vec!["{name}"]), ("Null", key(TAG_STAGE), vec!["true"])]
        }
    }
}

impl Terms<'_> {
    /// Fills in what differs: `{name}` begins every name; `{stack}` is the stage's stack and begins
    /// its names, `{foundation}` the stack of what it stands on, `{roles}` are its
    /// repository's roles there, `{shared}` those of all; `{repo}`, `{stage}` and `{base}`
    /// are its tags; `{images}` begins the repositories of its images; `{boundary}` bounds roles.
    fn fill(&self, text: &str, ground: Ground) -> String {
        let tag = |tag: &str| format!("${{aws:PrincipalTag/{tag}}}");
        let (stack, images, [repo, stage, base]) = match self.sessions {
            Sessions::Tagged => (tag(SESSION_STACK), tag(SESSION_IMAGES), [TAG_REPO, TAG_STAGE, TAG_BASE].map(tag)),
            Sessions::Bare => (format!("{}-*", self.name), format!("{}/*", self.name), ["*"; 3].map(str::to_owned)),
        };
        let foundation = match ground {
            Ground::Previews => format!("{}-previews-foundation", self.name),
            Ground::Permanent => format!("{stack}-foundation"),
        };
        // Apart from the roles that previews shared once, whose names begin with their stack's.
        let (roles, shared) = match ground {
            Ground::Previews => (
                format!("{}/{foundation}/repo/{repo}/*", self.name),
                format!("{}/{foundation}/{foundation}-*", self.name),
            ),
            Ground::Permanent => (format!("{}/{foundation}/*", self.name), format!("{}/{foundation}/*", self.name)),
        };
        let boundary =
            self.boundary.map_or_else(|| format!("arn:aws:iam::*:policy/{}-boundary", self.name), str::to_owned);
        text.replace("{roles}", &roles)
            .replace("{shared}", &shared)
            .replace("{name}", self.name)
            .replace("{stack}", &stack)
            .replace("{foundation}", &foundation)
            .replace("{images}", &images)
            .replace("{repo}", &repo)
            .replace("{stage}", &stage)
            .replace("{base}", &base)
            .replace("{boundary}", &boundary)
    }
}

#[cfg(test)]
#[path = "policy_tests.rs"]
mod tests;
