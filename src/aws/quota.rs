//! Quotas of AWS: which one an error speaks of, and who can raise it.

/// A quota that was reached, in words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Exceeded {
    pub(super) summary: String,
    pub(super) advice: String,
}

/// Whether anybody can raise a quota.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Raise {
    /// The account's owner, in Service Quotas.
    Owner,
    /// Nobody.
    Nobody,
}

/// Codes that name their quota by themselves, and its name. Source: the errors of
/// `elasticloadbalancing` (version 2) and "Quotas for your Application Load Balancers".
const NAMED: [(&str, &str, Raise); 9] = [
    ("TooManyCertificates", "certificates of a load balancer", Raise::Owner),
    ("TooManyListeners", "listeners of a load balancer", Raise::Owner),
    ("TooManyLoadBalancers", "load balancers of the account in this region", Raise::Owner),
    ("TooManyRegistrationsForTargetId", "registrations of one target", Raise::Nobody),
    ("TooManyRules", "rules of a load balancer", Raise::Owner),
    ("TooManyActions", "actions of a rule", Raise::Nobody),
    ("TooManyTargetGroups", "target groups of the account in this region", Raise::Owner),
    ("TooManyTargets", "targets of a load balancer", Raise::Owner),
    ("TooManyUniqueTargetGroupsPerLoadBalancer", "target groups of a load balancer", Raise::Nobody),
];

/// Codes that leave it to their message which quota it is.
const UNNAMED: [&str; 8] = [
    "LimitExceeded",
    "LimitExceededException",
    "LimitsExceededException",
    "ResourceLimitExceeded",
    "ServiceQuotaExceeded",
    "ServiceQuotaExceededException",
    "VcpuLimitExceeded",
    "VpcLimitExceeded",
];

/// The quota that an error speaks of; `None` if it speaks of none.
pub(super) fn exceeded(operation: &str, code: &str, message: &str) -> Option<Exceeded> {
    let service = operation.split(':').next().unwrap_or_default();
    let named = NAMED.iter().find(|(named, ..)| code == *named || code.strip_suffix("Exception") == Some(named));
    let (name, raise) = match named {
        Some((_, name, raise)) => ((*name).to_owned(), *raise),
        None if UNNAMED.contains(&code) => (format!("`{service}`"), Raise::Owner),
        None => return None,
    };
    let advice = match raise {
        Raise::Owner => format!(
            "Remove what is no longer needed, or have the owner of the AWS account ask for more in Service Quotas, \
             service `{service}`. `greenroom doctor` shows how much of each quota is used."
        ),
        Raise::Nobody => "AWS raises this quota for nobody: remove what is no longer needed.".to_owned(),
    };
    Some(Exceeded {
        summary: format!("A quota of AWS is used up at `{operation}`: {name}. AWS says: {message}"),
        advice,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quota_is_named_and_so_is_who_can_raise_it() {
        let rules = exceeded("elasticloadbalancing:CreateRule", "TooManyRules", "too many rules");
        let rules = rules.expect("a quota");
        assert!(rules.summary.contains("rules of a load balancer") && rules.advice.contains("Service Quotas"));
        let groups =
            exceeded("elasticloadbalancing:CreateRule", "TooManyUniqueTargetGroupsPerLoadBalancerException", "");
        assert!(groups.expect("a quota").advice.contains("nobody"));
        let stacks =
            exceeded("cloudformation:CreateStack", "LimitExceededException", "Limit for stack has been exceeded");
        let stacks = stacks.expect("a quota");
        assert!(stacks.summary.contains("Limit for stack") && stacks.advice.contains("cloudformation"));
    }

    #[test]
    fn too_many_of_what_we_sent_is_no_quota() {
        for code in ["TooManyTagsException", "TooManyRequestsException", "ValidationError", ""] {
            assert_eq!(exceeded("ecs:X", code, ""), None, "{code}");
        }
    }
}
