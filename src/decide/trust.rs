//! How far a commit is trusted.

use crate::model::{StageRule, Target, Trigger, Trust};

/// The trust in a commit of the repository itself that a stage is to run. Only the branch that a
/// permanent stage follows has what nobody but its writers decides; what somebody asked for by its
/// commit may be of any branch.
pub fn trust(rule: &StageRule, target: &Target) -> Trust {
    match (target, &rule.trigger) {
        (Target::Branch(branch), Trigger::Push { branches })
            if !rule.pattern.is_ephemeral() && branches.asks_for(branch) =>
        {
            Trust::Permanent
        }
        _ => Trust::Preview,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decide::fixture::{pull_rule, sha, shop, stage};
    use crate::model::{Branch, Commit, Generation, PullNumber, StagePattern};

    #[test]
    fn only_a_permanent_stages_own_branch_is_trusted_as_such() {
        let branch = |name: &str| Target::Branch(Branch(name.into()));
        let rules = shop().stages;
        let prod_rule = || rules.iter().find(|rule| rule.apex).expect("a production").clone();
        let of_branches = |rule: &&StageRule| matches!(rule.pattern, StagePattern::Branch { .. });
        let branch_rule = || rules.iter().find(of_branches).expect("branches").clone();
        let release = Target::Release { stage: stage("pr-7").name, generation: Generation(1) };
        for (rule, target, expected) in [
            (prod_rule(), branch("main"), Trust::Permanent),
            (prod_rule(), branch("feature-x"), Trust::Preview),
            (prod_rule(), Target::Commit(Commit { sha: sha('a'), came_by: None }), Trust::Preview),
            (prod_rule(), Target::PullRequest(PullNumber(7)), Trust::Preview),
            (prod_rule(), release, Trust::Preview),
            (branch_rule(), branch("feature-x"), Trust::Preview),
            (pull_rule(), Target::PullRequest(PullNumber(7)), Trust::Preview),
            (pull_rule(), branch("main"), Trust::Preview),
        ] {
            assert_eq!(trust(&rule, &target), expected, "{:?} at {target:?}", rule.pattern);
        }
    }
}
