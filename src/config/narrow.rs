//! Joins the policy of the default branch with a pull request's own file.
//!
//! Guarantees: no file of a pull request can widen what the default branch allows. It says what is
//! built; of the policy it may only make its own stage shorter-lived, fewer or stricter.

use crate::model::{DraftPolicy, ForkPolicy, Limits, Project, StageRule, Trigger};

/// The app, account, domain and stages of `policy`, the services of `goal`.
pub fn narrow(policy: &Project, goal: Project) -> Project {
    let stages = policy
        .stages
        .iter()
        .map(|rule| {
            let wish = goal.stages.iter().find(|wish| wish.pattern == rule.pattern);
            wish.map_or_else(|| rule.clone(), |wish| narrow_rule(rule, wish))
        })
        .collect();
    Project {
        app: policy.app.clone(),
        aws: policy.aws.clone(),
        aws_roles: policy.aws_roles.clone(),
        domain: policy.domain.clone(),
        commands: policy.commands.clone(),
        builds: policy.builds.clone(),
        stages,
        services: goal.services,
        digest: goal.digest,
    }
}

fn narrow_rule(rule: &StageRule, wish: &StageRule) -> StageRule {
    let mut narrowed = rule.clone();
    narrowed.protect |= wish.protect;
    narrowed.expires = fewer(rule.expires, wish.expires);
    narrowed.max = fewer(rule.max, wish.max);
    let (own, asked) = (rule.limits, wish.limits);
    // Where the default branch says nothing there is a limit all the same, and it is not the wish's to set.
    let lower = |limit: Option<u32>, wish: Option<u32>| limit.map(|limit| limit.min(wish.unwrap_or(limit)));
    narrowed.limits = Limits {
        cpu: lower(own.cpu, asked.cpu),
        memory: lower(own.memory, asked.memory),
        copies: lower(own.copies, asked.copies),
        services: lower(own.services, asked.services),
    };
    if let (Trigger::PullRequest { drafts, forks, .. }, Trigger::PullRequest { drafts: wanted, forks: allowed, .. }) =
        (&mut narrowed.trigger, &wish.trigger)
    {
        if *wanted == DraftPolicy::Skip {
            *drafts = DraftPolicy::Skip;
        }
        if *allowed == ForkPolicy::Never {
            *forks = ForkPolicy::Never;
        }
    }
    narrowed
}

/// The smaller of two limits, of which none at all is the largest.
fn fewer<T: Ord + Copy>(limit: Option<T>, wish: Option<T>) -> Option<T> {
    match (limit, wish) {
        (Some(limit), Some(wish)) => Some(limit.min(wish)),
        (limit, wish) => limit.or(wish),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::check;
    use crate::model::Seconds;

    fn project(app: &str, stage: &str, service: &str) -> Project {
        let file = format!(
            "version: 1\napp: {app}\nstages:\n  prod: {{ on: {{ push: main }}, protect: true }}\n  {stage}\n\
             services:\n  {service}: {{ kind: ecs, build: {{}} }}\n"
        );
        check("f.yml", file.as_bytes()).unwrap_or_else(|problems| panic!("{problems}"))
    }

    #[test]
    fn a_pull_request_decides_what_is_built_and_nothing_else() {
        let policy = project("shop", r#""pr-{number}": { on: { pull_request: {} }, expires: 7d, max: 20 }"#, "web");
        let wish = r#""pr-{number}": { on: { pull_request: { drafts: deploy } }, retain: true }"#;
        let goal = project("other", wish, "api");
        let joined = narrow(&policy, goal.clone());
        assert_eq!(joined.stages, policy.stages, "nothing was widened");
        assert_eq!(joined.app, policy.app);
        assert_eq!((joined.services, joined.digest), (goal.services, goal.digest));
    }

    #[test]
    fn a_pull_request_may_ask_for_less() {
        let policy = project("shop", r#""pr-{number}": { on: { pull_request: { drafts: deploy } }, max: 20 }"#, "web");
        let wish = r#""pr-{number}": { on: { pull_request: { forks: never } }, expires: 1d, max: 2, protect: true }"#;
        let joined = narrow(&policy, project("shop", wish, "web"));
        let rule = &joined.stages[1];
        assert_eq!((rule.expires, rule.max, rule.protect), (Some(Seconds(86_400)), Some(2), true));
        let strict = Trigger::PullRequest { drafts: DraftPolicy::Skip, forks: ForkPolicy::Never, label: None };
        assert_eq!(rule.trigger, strict);
        assert_eq!(joined.stages[0], policy.stages[0], "the rules that it does not name stay");
    }

    #[test]
    fn a_pull_request_makes_no_stage_of_its_own() {
        let policy = project("shop", r#""pr-{number}": { on: { pull_request: {} } }"#, "web");
        let goal = project("shop", r#""evil-{branch}": { on: { push: "*" } }"#, "web");
        assert_eq!(narrow(&policy, goal).stages, policy.stages);
    }

    #[test]
    fn a_pull_request_changes_nothing_of_who_may_command() {
        let policy = project("shop", "lab: { on: { manual: true }, allow: { deploy: { approvals: 2 } } }", "web");
        let own = "lab: { on: { manual: true }, allow: { deploy: { who: [read] } } }";
        let goal = format!(
            "version: 1\napp: shop\ncommands: {{ prefix: \"!\", bots: [1] }}\nstages:\n  {own}\n\
             services:\n  web: {{ kind: ecs, build: {{}} }}\n"
        );
        let goal = check("f.yml", goal.as_bytes()).unwrap_or_else(|problems| panic!("{problems}"));
        assert_ne!((&goal.commands, &goal.stages[0].allow), (&policy.commands, &policy.stages[1].allow));
        let joined = narrow(&policy, goal);
        assert_eq!((joined.commands, joined.stages), (policy.commands, policy.stages));
    }
}
