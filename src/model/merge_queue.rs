//! Branches of GitHub's merge queue, which come and go by themselves.

use super::{Branch, BranchPattern};

impl Branch {
    /// Whether GitHub's merge queue made it, to try out what it is about to merge.
    ///
    /// Source: GitHub Docs, "Managing a merge queue": the special prefix `gh-readonly-queue/{base_branch}`.
    pub fn is_of_merge_queue(&self) -> bool {
        self.0.starts_with("gh-readonly-queue/")
    }
}

impl BranchPattern {
    /// Whether a push to the branch makes a stage deploy. Whoever writes `*` means the branches of people:
    /// those of a merge queue are meant only where the pattern names them.
    pub fn asks_for(&self, branch: &Branch) -> bool {
        let is_meant = !branch.is_of_merge_queue() || Branch(self.0.clone()).is_of_merge_queue();
        is_meant && self.matches(branch)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_merge_queue_is_asked_for_by_its_name_alone() {
        let queued = "gh-readonly-queue/main/pr-104-0123456789abcdef0123456789abcdef01234567";
        for (pattern, branch, expected) in [
            ("*", queued, false),
            ("gh*", queued, false),
            ("*/main/*", queued, false),
            ("gh-readonly-queue/*", queued, true),
            ("gh-readonly-queue/main/*", queued, true),
            ("*", "topic", true),
            ("*", "gh-readonly", true),
        ] {
            assert_eq!(
                BranchPattern(pattern.into()).asks_for(&Branch(branch.into())),
                expected,
                "{pattern} ~ {branch}"
            );
        }
    }
}
