//! What the doctor found: one line each, with what to do.

use serde::Serialize;

/// How it is with one thing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Health {
    Ok,
    /// It will do, or could not be seen.
    Warn,
    /// Deploys fail by it.
    Fail,
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What was looked at: `permissions of previews`.
    pub check: String,
    pub health: Health,
    /// What was seen.
    pub seen: String,
    /// What to do; `None` where nothing is wrong.
    pub fix: Option<String>,
}

impl Finding {
    pub(super) fn ok(check: impl Into<String>, seen: impl Into<String>) -> Self {
        Self { check: check.into(), health: Health::Ok, seen: seen.into(), fix: None }
    }

    pub(super) fn warn(check: impl Into<String>, seen: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { check: check.into(), health: Health::Warn, seen: seen.into(), fix: Some(fix.into()) }
    }

    pub(super) fn fail(check: impl Into<String>, seen: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { check: check.into(), health: Health::Fail, seen: seen.into(), fix: Some(fix.into()) }
    }
}

/// How much of a quota is used.
pub(super) fn usage(what: &str, used: usize, limit: usize, raise: &str) -> Finding {
    let check = format!("quota: {what}");
    let seen = format!("{used} of {limit} used");
    if used >= limit {
        Finding::fail(check, seen, raise)
    } else if used * 5 >= limit * 4 {
        Finding::warn(check, seen, raise)
    } else {
        Finding::ok(check, seen)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quota_warns_at_four_fifths() {
        for (used, limit, health) in [
            (0, 100, Health::Ok),
            (79, 100, Health::Ok),
            (80, 100, Health::Warn),
            (99, 100, Health::Warn),
            (100, 100, Health::Fail),
            (1, 1, Health::Fail),
        ] {
            let found = usage("stacks", used, limit, "ask for more");
            assert_eq!((found.health, found.fix.is_some()), (health, health != Health::Ok), "{used} of {limit}");
        }
    }
}
