//! Which branches a push is heeded of.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{Branch, BranchPattern};

/// Patterns that are gone through in order: of those that match a branch the last one counts. One that begins with
/// `!` leaves out what the rest of it matches.
///
/// Source: GitHub Docs, "Workflow syntax for GitHub Actions", `on.push.branches`: the order of the patterns matters,
/// and there must be one without `!`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct BranchFilter(pub Vec<BranchPattern>);

impl BranchFilter {
    /// What one pattern asks for.
    pub fn of(pattern: &str) -> Self {
        Self(vec![BranchPattern(pattern.to_owned())])
    }

    /// Whether a push to the branch makes a stage deploy.
    pub fn asks_for(&self, branch: &Branch) -> bool {
        self.0.iter().fold(false, |is_asked, pattern| match pattern.0.strip_prefix('!') {
            Some(left_out) => is_asked && !BranchPattern(left_out.to_owned()).matches(branch),
            None => is_asked || pattern.asks_for(branch),
        })
    }

    /// The patterns that ask for branches.
    pub fn wanted(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|pattern| pattern.0.as_str()).filter(|pattern| !pattern.starts_with('!'))
    }

    /// Whether some branch that a pattern asks for may be left out.
    pub fn leaves_out(&self) -> bool {
        self.0.iter().any(|pattern| pattern.0.starts_with('!'))
    }

    /// The branch that it asks for, where it is one.
    pub fn only(&self) -> Option<&str> {
        let mut wanted = self.wanted();
        wanted.next().filter(|pattern| !pattern.contains('*') && wanted.next().is_none())
    }
}

impl fmt::Display for BranchFilter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let patterns: Vec<&str> = self.0.iter().map(|pattern| pattern.0.as_str()).collect();
        f.write_str(&patterns.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filter(patterns: &[&str]) -> BranchFilter {
        BranchFilter(patterns.iter().map(|pattern| BranchPattern((*pattern).to_owned())).collect())
    }

    #[test]
    fn of_the_patterns_that_match_the_last_one_counts() {
        let queued = "gh-readonly-queue/main/pr-7-0123456789";
        let cases: [(&[&str], &[&str], &[&str]); 6] = [
            (
                &["*", "!gh-pages", "!wip/**"],
                &["main", "wip", "feature/wip/1"],
                &["gh-pages", "wip/1", "wip/a/b", queued],
            ),
            (&["*", "!release/*", "release/2.*"], &["release/2.1", "main"], &["release/1.9"]),
            (&["!main", "*"], &["main"], &[queued]),
            (&["*", "gh-readonly-queue/*", "!gh-readonly-queue/dev/*"], &[queued], &["gh-readonly-queue/dev/pr-1"]),
            (&["main", "dev"], &["main", "dev"], &["other"]),
            (&["!main"], &[], &["main", "other"]),
        ];
        for (patterns, asked, left) in cases {
            let filter = filter(patterns);
            for (branches, expected) in [(asked, true), (left, false)] {
                for branch in branches {
                    assert_eq!(filter.asks_for(&Branch((*branch).to_owned())), expected, "{filter} ~ {branch}");
                }
            }
        }
    }

    #[test]
    fn one_branch_is_told_from_several() {
        let cases: [(&[&str], Option<&str>); 5] = [
            (&["main"], Some("main")),
            (&["main", "!wip"], Some("main")),
            (&["main", "dev"], None),
            (&["release/*"], None),
            (&["!main"], None),
        ];
        for (patterns, only) in cases {
            assert_eq!(filter(patterns).only(), only, "{patterns:?}");
        }
    }
}
