//! The workflows that fit a configuration, from those in `workflows/`.
//!
//! Guarantees: what is written is the file that lies there, with this app's account, region, roles, stages and
//! branches in the places of the example's; what has no place in it is named with its reason, and never guessed.

use crate::model::{BUILD_WORKFLOW, BuiltBy, Project, StagePattern, StageRule, Trigger};

/// The example that the files are written for.
const ACCOUNT: &str = "123456789012";
const REGION: &str = "eu-central-1";
const APP: &str = "role/greenroom-hello-";
const STAGE_BEGINS: &str = "  # greenroom: a stage\n";
const STAGE_ENDS: &str = "  # greenroom: end\n";
/// The longest name of a role.
///
/// Source: IAM User Guide, "IAM and AWS STS quotas", name length limits.
const LONGEST_ROLE: usize = 64;

const PREVIEW: (&str, &str) = ("preview.yml", include_str!("../../../workflows/preview.yml"));
const DEPLOY: (&str, &str) = ("deploy.yml", include_str!("../../../workflows/deploy.yml"));
const COMMANDS: (&str, &str) = ("commands.yml", include_str!("../../../workflows/commands.yml"));
const SWEEP: (&str, &str) = ("sweep.yml", include_str!("../../../workflows/sweep.yml"));
const BUILD: (&str, &str) = (BUILD_WORKFLOW, include_str!("../../../workflows/greenroom-build.yml"));

/// A file for `.github/workflows`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkflowFile {
    pub name: &'static str,
    pub text: String,
}

/// What fits, and what is left to do by hand, a line each.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Workflows {
    pub files: Vec<WorkflowFile>,
    pub left: Vec<String>,
}

/// The workflows for a configuration.
pub fn workflows(project: &Project) -> Workflows {
    let mut made = Workflows::default();
    let mut stages = Vec::new();
    for rule in &project.stages {
        match permanent(rule) {
            Ok(Some(stage)) => stages.push(stage),
            Ok(None) => {}
            Err(why) => made.left.push(why),
        }
    }
    if project.stages.iter().any(|rule| matches!(rule.trigger, Trigger::PullRequest { .. })) {
        made.add(project, PREVIEW, PREVIEW.1);
    }
    if !stages.is_empty() {
        made.add(project, DEPLOY, &deploy(&stages));
        let names: Vec<&str> = stages.iter().map(|stage| stage.name).collect();
        made.left.push(format!(
            "make an environment at GitHub for each permanent stage ({}), and say there who must approve and which \
             branch may",
            names.join(", ")
        ));
    }
    let prefix = project.commands.prefix.to_string();
    let asks = format!("contains(github.event.comment.body, {})", quoted(prefix.trim_end()));
    made.add(project, COMMANDS, &COMMANDS.1.replace("contains(github.event.comment.body, '/')", &asks));
    made.add(project, SWEEP, SWEEP.1);
    if project.builds.by == BuiltBy::Actions {
        made.add(project, BUILD, BUILD.1);
    }
    if project.aws.is_none() {
        made.left.push(
            "the configuration names no account: on AWS, put yours and its region in the place of 123456789012 and \
             eu-central-1; on a runner of your own, write `target: local` in the place of `role` and `aws-region`"
                .to_owned(),
        );
    } else {
        made.left.push(
            "greenroom bootstrap --repo OWNER/NAME, which makes the roles and the bucket, and prints what belongs under \
             `aws.roles`"
                .to_owned(),
        );
        made.left.push("greenroom bootstrap --repo OWNER/NAME --explain, which says who could become what".to_owned());
    }
    made.left.push("commit them to the default branch: comments and schedules run what is there".to_owned());
    made
}

/// A permanent stage that follows one branch.
struct Permanent<'a> {
    name: &'a str,
    branch: &'a str,
}

/// The stage of a rule, where one workflow can deploy it; why none can.
fn permanent(rule: &StageRule) -> Result<Option<Permanent<'_>>, String> {
    let branches = match (&rule.trigger, &rule.pattern) {
        (Trigger::Push { branches }, _) => branches,
        (Trigger::Manual, StagePattern::Named(name)) => {
            return Err(format!(
                "the stage {name} is deployed by comments alone, which may once `greenroom bootstrap --commands-may \
                 {name}` lets them"
            ));
        }
        (Trigger::Manual | Trigger::PullRequest { .. }, _) => return Ok(None),
    };
    let StagePattern::Named(name) = &rule.pattern else {
        return Err(
            "stages of branches have no workflow, because a role trusts named branches alone: open a pull request \
             instead"
                .to_owned(),
        );
    };
    match branches.only().filter(|_| !branches.leaves_out()) {
        Some(branch) => Ok(Some(Permanent { name: name.as_str(), branch })),
        None => Err(format!(
            "the stage {name} follows {branches} and has no workflow, because a role trusts one named branch alone"
        )),
    }
}

/// `deploy.yml` with a job for each stage.
fn deploy(stages: &[Permanent<'_>]) -> String {
    let text = DEPLOY.1;
    let parts = text.split_once(STAGE_BEGINS).and_then(|(head, rest)| Some((head, rest.split_once(STAGE_ENDS)?)));
    let Some((head, (job, end))) = parts else { return text.to_owned() };
    let mut branches: Vec<&str> = stages.iter().map(|stage| stage.branch).collect();
    branches.sort_unstable();
    branches.dedup();
    let heard: String =
        branches.iter().flat_map(|branch| ["      - ".to_owned(), pattern(branch), "\n".to_owned()]).collect();
    let jobs = stages.iter().map(|stage| {
        // A job's name begins with a letter.
        let id = if stage.name.starts_with(|c: char| c.is_ascii_digit()) { "stage-" } else { "" };
        job.replace("  prod:\n", &format!("  {id}{}:\n", stage.name))
            .replace("Deploy prod", &format!("Deploy {}", stage.name))
            .replace("name: prod\n", &format!("name: {}\n", stage.name))
            .replace("permanent-prod\n", &format!("permanent-{}\n", stage.name))
            .replace("'refs/heads/main'", &quoted(&format!("refs/heads/{}", stage.branch)))
    });
    let jobs: Vec<String> = jobs.collect();
    format!("{}{}{end}", head.replace("      - main\n", &heard), jobs.join("\n"))
}

/// A text in an expression.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// A branch in a filter, where it means itself.
///
/// Source: GitHub Docs, "Workflow syntax for GitHub Actions", filter pattern cheat sheet.
fn pattern(branch: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./".contains(c);
    if branch.chars().all(plain) && branch.starts_with(|c: char| c.is_ascii_alphabetic()) && !is_word(branch) {
        return branch.to_owned();
    }
    let mut own = String::new();
    for c in branch.chars() {
        if "+!?*[]\\".contains(c) {
            own.push('\\');
        }
        own.push(c);
    }
    serde_json::Value::String(own).to_string()
}

/// What YAML takes for something else than a text.
fn is_word(text: &str) -> bool {
    ["true", "false", "yes", "no", "on", "off", "null", "y", "n"].contains(&text.to_ascii_lowercase().as_str())
}

impl Workflows {
    fn add(&mut self, project: &Project, file: (&'static str, &str), text: &str) {
        let mut text = text.replace(APP, &format!("role/greenroom-{}-", project.app));
        if let Some(aws) = &project.aws {
            text = text.replace(ACCOUNT, &aws.account).replace(REGION, &aws.region);
        }
        let roles = text.lines().filter_map(|line| line.split_once(":role/").map(|(_, role)| role.trim()));
        let long: Vec<&str> = roles.filter(|role| role.len() > LONGEST_ROLE).collect();
        self.left.extend(long.iter().map(|role| {
            format!("{role} in {} is too long for a role: put the name there that `greenroom bootstrap` prints", file.0)
        }));
        self.files.push(WorkflowFile { name: file.0, text });
    }
}

#[cfg(test)]
#[path = "workflows_tests.rs"]
mod tests;
