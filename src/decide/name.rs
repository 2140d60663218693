//! What the stage of a branch is called.
//!
//! Guarantees: two branches never share a stage, and no branch gets a stage that the configuration has
//! for something else; a branch keeps the stage that it has, also one whose name an older version gave it.

use super::route::pull_of;
use crate::model::{Branch, Project, StageName, StagePattern, StageRecord, StageRule, Subject};

/// The stage of a branch under a rule, among all stages of the repository.
pub(super) fn branch_stage(
    rule: &StageRule,
    branch: &Branch,
    project: &Project,
    stages: &[StageRecord],
) -> Option<StageName> {
    if let StagePattern::Named(name) = &rule.pattern {
        return Some(name.clone());
    }
    let own = Subject::Branch(branch.clone());
    let has = stages.iter().find(|record| record.subject == own && rule.pattern.is_of_branch(branch, &record.id.name));
    if let Some(record) = has {
        return Some(record.id.name.clone());
    }
    let is_taken = |name: &StageName| {
        let by_branch = stages.iter().any(|record| record.id.name == *name && record.subject != own);
        let by_rule = project.stages.iter().any(|rule| rule.pattern == StagePattern::Named(name.clone()));
        by_branch || by_rule || pull_of(name, project).is_some()
    };
    rule.pattern.names_of_branch(branch).into_iter().find(|name| !is_taken(name))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::decide::fixture::{record, rule, shop};
    use crate::model::{BranchFilter, StageStatus, Target, Trigger};

    fn everything() -> (Project, StageRule) {
        let pattern = StagePattern::Branch { prefix: String::new(), suffix: String::new() };
        let rule = rule(pattern, Trigger::Push { branches: BranchFilter::of("*") });
        let mut project = shop();
        project.stages.push(rule.clone());
        (project, rule)
    }

    fn of_branch(name: &str, branch: &str) -> StageRecord {
        let branch = Branch(branch.into());
        record(name, Subject::Branch(branch.clone()), Target::Branch(branch))
    }

    fn stage_of(branch: &str, stages: &[StageRecord]) -> String {
        let (project, rule) = everything();
        branch_stage(&rule, &Branch(branch.into()), &project, stages).map_or_else(String::new, String::from)
    }

    /// Every push finds the stages of those before it.
    fn stages_of(branches: &[&str]) -> Vec<String> {
        let mut stages = Vec::new();
        for branch in branches {
            let name = stage_of(branch, &stages);
            if stages.iter().all(|record: &StageRecord| record.id.name.as_str() != name) {
                stages.push(of_branch(&name, branch));
            }
        }
        branches.iter().map(|branch| stage_of(branch, &stages)).collect()
    }

    #[test]
    fn branches_that_are_written_alike_have_stages_of_their_own() {
        let long = "a-branch-whose-name-goes-on-and-on-for-longer-than-a-label";
        let (longer, umlaut) = (format!("{long}-2"), "gr\u{f6}\u{df}e");
        let branches = [
            "feature-login",
            "feature/login",
            "Feature-Login",
            "feature_login",
            "feature--login",
            "feature.login",
            "feature-login-",
            "v1.2",
            "v1-2",
            "v12",
            long,
            &longer,
            umlaut,
            "gr-e",
            "\u{6a5f}\u{80fd}",
            "\u{4e2d}",
            "prod",
            "PR-7",
            "pr-7",
            "staging",
        ];
        for reversed in [false, true] {
            let mut branches = branches.to_vec();
            if reversed {
                branches.reverse();
            }
            let names = stages_of(&branches);
            let told: BTreeMap<&str, &str> = names.iter().map(String::as_str).zip(branches.iter().copied()).collect();
            assert_eq!(told.len(), branches.len(), "{names:#?}");
            assert!(!names.iter().any(|name| ["prod", "staging", "pr-7", ""].contains(&name.as_str())), "{names:#?}");
        }
    }

    #[test]
    fn a_name_is_readable_and_the_same_whatever_else_is_there() {
        assert_eq!(stage_of("feature-login", &[]), "feature-login", "what is a label is taken as it is");
        let slashed = stage_of("feature/login", &[]);
        assert!(slashed.starts_with("feature-login-") && slashed.len() == "feature-login-".len() + 6, "{slashed}");
        assert_eq!(stages_of(&["feature-login", "feature/login"]), ["feature-login".to_owned(), slashed.clone()]);
        assert_eq!(stages_of(&["feature/login", "feature-login"]), [slashed, "feature-login".to_owned()]);
        let long = stage_of(&"long".repeat(20), &[]);
        assert!(long.starts_with("longlonglonglonglong") && long.len() <= 40, "{long}");
        let other = stage_of("\u{6a5f}\u{80fd}", &[]);
        assert_eq!(other.len(), 6, "nothing of it can stand in an address: {other}");
    }

    #[test]
    fn a_stage_of_an_older_version_keeps_its_name_and_its_branch() {
        let old = of_branch("feature-login", "feature/login");
        assert_eq!(stage_of("feature/login", std::slice::from_ref(&old)), "feature-login");
        let beside = stage_of("feature-login", std::slice::from_ref(&old));
        assert!(beside.starts_with("feature-login-"), "{beside}");
        let gone = StageRecord { status: StageStatus::Gone { removed: 2 }, ..old };
        assert_eq!(stage_of("feature/login", std::slice::from_ref(&gone)), "feature-login", "it comes back as it was");
        assert_eq!(stage_of("feature-login", &[gone]), beside);
    }

    #[test]
    fn whoever_makes_a_branch_that_is_called_like_anothers_stage_gets_another() {
        let slashed = stage_of("feature/login", &[]);
        let theirs = of_branch(&slashed, "feature/login");
        let guessed = stage_of(&slashed, std::slice::from_ref(&theirs));
        assert!(guessed != slashed && guessed.starts_with("feature-login-"), "{guessed}");
        // And should all of its digits be another's, there are more of them.
        let names = StagePattern::Branch { prefix: String::new(), suffix: String::new() };
        let names = names.names_of_branch(&Branch("feature/login".into()));
        let taken: Vec<StageRecord> = names[..1].iter().map(|name| of_branch(name.as_str(), "another")).collect();
        assert_eq!(stage_of("feature/login", &taken), names[1].as_str());
    }

    #[test]
    fn a_rule_knows_its_stages_by_every_name_that_they_may_have() {
        let (_, rule) = everything();
        let branch = Branch("feature/login".into());
        let is_own = |name: &str| rule.pattern.is_of_branch(&branch, &name.parse().unwrap());
        assert!(is_own("feature-login"), "as an older version called it");
        assert!(rule.pattern.names_of_branch(&branch).iter().all(|name| is_own(name.as_str())));
        assert!(!is_own("feature-login-2") && !is_own("prod"));
    }
}
