//! A refusal of AWS, read for its action, its resource and what stands against it.
//!
//! Source: IAM User Guide, "Troubleshoot access denied error messages": the sentence names the
//! principal, the action, where it can the resource, and the kind of policy.

use std::fmt;

use serde_json::json;

use super::credentials::principal;

/// What is missing, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refusal {
    /// As IAM writes it: `ecs:UpdateService`. Not always the operation: `RunTask` wants `iam:PassRole`.
    pub(super) action: String,
    /// An ARN; `*` where AWS does not say.
    pub(super) resource: String,
    /// Who was refused, where AWS says it: the role and not its session, which has another name each time and
    /// no policy.
    pub(super) principal: Option<String>,
    pub(super) against: Against,
}

/// What stands against a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Against {
    /// No policy of the principal grants it.
    Nothing,
    /// A statement of the principal's own policies denies it.
    Deny,
    /// The organization does not allow it.
    Organization,
    /// The principal's permissions boundary does not grant it.
    Boundary,
    /// The resource's own policy does not name the principal; for a role, its trust policy.
    Resource,
}

impl Refusal {
    /// Reads the message of a refusal of `operation`.
    pub(super) fn read(operation: &str, message: &str) -> Self {
        let after = |mark: &str| message.split_once(mark).and_then(|(_, rest)| rest.split_whitespace().next());
        let clean = |word: &str| word.trim_matches(['"', '\'', '`', ',', ';']).trim_end_matches('.').to_owned();
        let action = after("to perform: ").map_or_else(|| operation.to_owned(), clean);
        let against = if message.contains("service control policy") || message.contains("resource control policy") {
            Against::Organization
        } else if message.contains("permissions boundary") {
            Against::Boundary
        } else if message.contains("explicit deny") {
            Against::Deny
        } else if message.contains("resource-based policy") || action.starts_with("sts:AssumeRole") {
            Against::Resource
        } else {
            Against::Nothing
        };
        let resource = after("on resource: ").map_or_else(|| "*".to_owned(), clean);
        let user = after("User: ").map(clean);
        Self { action, resource, principal: user.map(|user| principal(&user).unwrap_or(user)), against }
    }

    /// The statement that grants it, on one line.
    pub(super) fn statement(&self) -> String {
        json!({ "Effect": "Allow", "Action": self.action, "Resource": self.resource }).to_string()
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { action, resource, .. } = self;
        let who = self.principal.as_deref().unwrap_or("the server's role");
        let on = if resource == "*" { String::new() } else { format!(" on `{resource}`") };
        write!(f, "AWS refuses `{action}`{on}. ")?;
        match self.against {
            Against::Nothing => write!(f, "Add to the policy of `{who}`: `{}`", self.statement()),
            Against::Deny => {
                write!(f, "A statement with `Deny` in a policy of `{who}` stands against it: remove it there")
            }
            Against::Organization => {
                write!(
                    f,
                    "A policy of the organization stands against it: who administers the organization can allow it"
                )
            }
            Against::Boundary => {
                write!(f, "Add to the permissions boundary of `{who}`: `{}`", self.statement())
            }
            Against::Resource => write!(f, "The policy of `{resource}` itself has to allow `{action}` to `{who}`"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WHO: &str = "arn:aws:sts::123456789012:assumed-role/greenroom/pr-42";

    #[test]
    fn a_refusal_is_read() {
        let cluster = "arn:aws:ecs:eu-west-1:123456789012:service/greenroom/web";
        let role = "arn:aws:iam::123456789012:role/greenroom-task";
        for (message, action, resource, against) in [
            (
                format!(
                    "User: {WHO} is not authorized to perform: ecs:UpdateService on resource: {cluster} because no \
                     identity-based policy allows the ecs:UpdateService action"
                ),
                "ecs:UpdateService",
                cluster,
                Against::Nothing,
            ),
            (
                format!("User: {WHO} is not authorized to perform: iam:PassRole on resource: {role}"),
                "iam:PassRole",
                role,
                Against::Nothing,
            ),
            (
                format!(
                    "User: {WHO} is not authorized to perform: ecs:RunTask on resource: \"{cluster}\" with an explicit \
                     deny in a service control policy"
                ),
                "ecs:RunTask",
                cluster,
                Against::Organization,
            ),
            (
                format!(
                    "User: {WHO} is not authorized to perform: ecs:RunTask on resource: {cluster} because no \
                     permissions boundary allows the ecs:RunTask action"
                ),
                "ecs:RunTask",
                cluster,
                Against::Boundary,
            ),
            (
                format!(
                    "User: {WHO} is not authorized to perform: ecs:RunTask on resource: {cluster} with an explicit \
                     deny in an identity-based policy"
                ),
                "ecs:RunTask",
                cluster,
                Against::Deny,
            ),
            (
                format!("User: {WHO} is not authorized to perform: sts:AssumeRole on resource: {role}"),
                "sts:AssumeRole",
                role,
                Against::Resource,
            ),
            ("Access Denied".to_owned(), "ecs:Asked", "*", Against::Nothing),
        ] {
            let refusal = Refusal::read("ecs:Asked", &message);
            assert_eq!((refusal.action.as_str(), refusal.resource.as_str()), (action, resource), "{message}");
            assert_eq!(refusal.against, against, "{message}");
        }
    }

    #[test]
    fn a_refusal_says_what_to_add() {
        let message = format!("User: {WHO} is not authorized to perform: ecs:RunTask on resource: arn:aws:ecs:x");
        let expected = "AWS refuses `ecs:RunTask` on `arn:aws:ecs:x`. Add to the policy of \
                        `arn:aws:iam::123456789012:role/greenroom`: \
                        `{\"Action\":\"ecs:RunTask\",\"Effect\":\"Allow\",\"Resource\":\"arn:aws:ecs:x\"}`";
        assert_eq!(Refusal::read("ecs:RunTask", &message).to_string(), expected);
        // Of another stage's session the same is said, so that it is no news.
        let other = message.replace("greenroom/pr-42", "greenroom/pr-43");
        assert_eq!(Refusal::read("ecs:RunTask", &other).to_string(), expected);
        let root = message.replace(WHO, "arn:aws:iam::123456789012:root");
        assert!(Refusal::read("ecs:RunTask", &root).to_string().contains("`arn:aws:iam::123456789012:root`"));
        let bare = Refusal::read("s3:PutObject", "Access Denied").to_string();
        assert!(bare.starts_with("AWS refuses `s3:PutObject`. Add to the policy of `the server's role`"), "{bare}");
    }
}
