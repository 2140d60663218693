//! The least that Greenroom must be allowed, as policies for IAM.
//!
//! Guarantees: every call in the sources and every type in the templates is covered, and nothing is
//! granted that neither needs (the tests read both); what is changed or removed is bound to names
//! that begin with ours or to our tag wherever AWS knows such conditions; each policy fits IAM.

use serde_json::{Value, json};

use super::names::TAG_OWNER;
use super::policy_table::GROUPS;

/// Who needs it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Policy {
    /// The server's own identity: it takes on the roles that configurations name.
    Server,
    /// Deploying stages. Goes on the role for stages, or on the server's own where there is none.
    Stages,
    /// Making what stages share, besides [`Self::Stages`]. May stay with a person who runs
    /// `greenroom foundation deploy`.
    Foundation,
}

/// What has to hold besides the resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum When {
    Always,
    /// The thing carries our tag.
    Ours,
    /// The tag is set by the call that makes the thing.
    Making(&'static str),
    /// The role is handed to tasks of ECS.
    ToTasks,
    /// The role is one that this service makes for itself.
    OwnRoleOf(&'static [&'static str]),
}

/// Actions that are needed on the same things. In resources, `{name}` is what every name begins with.
pub(super) struct Group {
    pub(super) policy: Policy,
    /// The statement's name: letters and digits.
    pub(super) sid: &'static str,
    pub(super) actions: &'static [&'static str],
    pub(super) resources: &'static [&'static str],
    pub(super) when: When,
}

/// The policy for a Greenroom whose names begin with `name`, as indented JSON.
pub fn policy(which: Policy, name: &str) -> String {
    let groups = GROUPS.iter().filter(|group| group.policy == which);
    let statements: Vec<Value> = groups.map(|group| statement(group, name)).collect();
    format!("{:#}\n", json!({ "Version": "2012-10-17", "Statement": statements }))
}

fn statement(group: &Group, name: &str) -> Value {
    let resources: Vec<String> = group.resources.iter().map(|pattern| pattern.replace("{name}", name)).collect();
    let mut statement = json!({
        "Sid": group.sid,
        "Effect": "Allow",
        "Action": group.actions,
        "Resource": resources,
    });
    if let Some(condition) = condition(group.when, name) {
        statement["Condition"] = condition;
    }
    statement
}

fn condition(when: When, name: &str) -> Option<Value> {
    match when {
        When::Always => None,
        When::Ours => Some(json!({ "StringEquals": { format!("aws:ResourceTag/{TAG_OWNER}"): name } })),
        When::Making(key) => Some(json!({
            "Null": { key: "false" },
            "StringEquals": { format!("aws:RequestTag/{TAG_OWNER}"): name },
        })),
        When::ToTasks => Some(json!({ "StringEquals": { "iam:PassedToService": "ecs-tasks.amazonaws.com" } })),
        When::OwnRoleOf(services) => Some(json!({ "StringEquals": { "iam:AWSServiceName": services } })),
    }
}

#[cfg(test)]
#[path = "policy_tests.rs"]
mod tests;
