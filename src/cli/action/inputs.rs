//! The inputs of the action: by the environment, as `action.yml` gives them, or as flags. One that is empty is not
//! given; each error names the input.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use clap::Args;

use crate::app::{AwsArgs, TargetName, registry};
use crate::engine::Comments;
use crate::model::{Effect, Seconds, ServiceName, StageName, StepVerb, StepWish};

/// As they were given.
#[derive(Debug, Args)]
pub(super) struct Inputs {
    /// What to do: auto, deploy, destroy, plan, build, status, sweep, check.
    #[arg(
        long,
        env = "GREENROOM_ACTION_COMMAND",
        hide_env_values = true,
        default_value = "",
        hide_default_value = true
    )]
    command: String,
    /// Another stage than that of the event.
    #[arg(long, env = "GREENROOM_ACTION_STAGE", hide_env_values = true, default_value = "", hide_default_value = true)]
    stage: String,
    /// Only these services, separated by commas or white space.
    #[arg(
        long,
        env = "GREENROOM_ACTION_SERVICES",
        hide_env_values = true,
        default_value = "",
        hide_default_value = true
    )]
    services: String,
    /// The configuration that `check` reads.
    #[arg(
        long,
        env = "GREENROOM_ACTION_CONFIG",
        hide_env_values = true,
        default_value = "",
        hide_default_value = true
    )]
    config: String,
    /// The region of the state's bucket and of the role.
    #[arg(
        long,
        env = "GREENROOM_ACTION_AWS_REGION",
        hide_env_values = true,
        default_value = "",
        hide_default_value = true
    )]
    aws_region: String,
    /// The ARN of a role of AWS to be taken on by the job's identity.
    #[arg(long, env = "GREENROOM_ACTION_ROLE", hide_env_values = true, default_value = "", hide_default_value = true)]
    role: String,
    /// Whether the end is waited for: true or false.
    #[arg(long, env = "GREENROOM_ACTION_WAIT", hide_env_values = true, default_value = "", hide_default_value = true)]
    wait: String,
    /// The longest wait, such as 30m.
    #[arg(
        long,
        env = "GREENROOM_ACTION_TIMEOUT",
        hide_env_values = true,
        default_value = "",
        hide_default_value = true
    )]
    timeout: String,
    /// Whether the pull request gets its comment: true or false.
    #[arg(
        long,
        env = "GREENROOM_ACTION_COMMENT",
        hide_env_values = true,
        default_value = "",
        hide_default_value = true
    )]
    comment: String,
    /// Where stages run: aws, or local for the runner's own machine.
    #[arg(
        long,
        env = "GREENROOM_ACTION_TARGET",
        hide_env_values = true,
        default_value = "",
        hide_default_value = true
    )]
    target: String,
    /// Show what would be done, and do nothing: true or false.
    #[arg(
        long,
        env = "GREENROOM_ACTION_DRY_RUN",
        hide_env_values = true,
        default_value = "",
        hide_default_value = true
    )]
    dry_run: String,
    /// Where the state lies: `s3://bucket`, or a folder.
    #[arg(long, env = "GREENROOM_ACTION_STATE", hide_env_values = true, default_value = "", hide_default_value = true)]
    state: String,
    /// Where stages on this machine answer.
    #[arg(long, env = "GREENROOM_PROXY_LISTEN", hide_env_values = true, default_value_t = SocketAddr::from((Ipv4Addr::LOCALHOST, 8088)), value_name = "ADDRESS")]
    pub(super) proxy_listen: SocketAddr,
    /// A registry in place of ECR's own address, without scheme.
    #[arg(long, env = "GREENROOM_REGISTRY", value_name = "HOST/PATH", value_parser = registry, hide = true)]
    pub(super) registry: Option<String>,
    #[command(flatten)]
    pub(super) aws: AwsArgs,
}

/// Whether somebody waits for the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Patience {
    Waits,
    Leaves,
}

/// As they were understood.
#[derive(Debug, Clone)]
pub(super) struct Given {
    pub(super) wish: StepWish,
    pub(super) config: Option<PathBuf>,
    pub(super) patience: Patience,
    pub(super) timeout: Seconds,
    pub(super) comments: Comments,
    pub(super) target: TargetName,
    pub(super) state: Option<String>,
    pub(super) role: Option<String>,
    pub(super) region: Option<String>,
}

const TIMEOUT: Seconds = Seconds(30 * 60);
/// The longest that a job may take. Source: GitHub Docs, "Usage limits": 5 days on a runner of one's own.
const LONGEST: Seconds = Seconds(5 * 86_400);
const DEFAULT_TARGET: TargetName = {
    #[cfg(feature = "aws")]
    {
        TargetName::Aws
    }
    #[cfg(not(feature = "aws"))]
    {
        TargetName::Local
    }
};

impl Inputs {
    /// The command's word, for reports about inputs that are wrong.
    pub(super) fn command(&self) -> &'static str {
        StepVerb::of_word(self.command.trim()).unwrap_or(StepVerb::Auto).word()
    }

    /// Reads them, all that is wrong at once.
    pub(super) fn read(&self) -> Result<Given, String> {
        let mut wrong = Complaints::default();
        let verb = wrong.or("command", verb(&self.command), StepVerb::Auto);
        let stage = given(&self.stage).map(|name| StageName::new(name).map_err(|error| error.to_string())).transpose();
        let stage = wrong.or("stage", stage, None);
        wrong.or("services", services(&self.services), ());
        let is_patience = wrong.or("wait", flag(&self.wait, true), true);
        let patience = if is_patience { Patience::Waits } else { Patience::Leaves };
        let is_comments = wrong.or("comment", flag(&self.comment, true), true);
        let comments = if is_comments { Comments::Written } else { Comments::Left };
        let is_effect = wrong.or("dry-run", flag(&self.dry_run, false), true);
        let effect = if is_effect { Effect::Shown } else { Effect::Done };
        let timeout = wrong.or("timeout", timeout(&self.timeout), TIMEOUT);
        let target = given(&self.target).map_or(Ok(DEFAULT_TARGET), target);
        let target = wrong.or("target", target, DEFAULT_TARGET);
        if !wrong.0.is_empty() {
            return Err(wrong.0.join("; "));
        }
        let owned = |text: &str| given(text).map(str::to_owned);
        Ok(Given {
            wish: StepWish { verb, stage, services: Vec::new(), effect },
            config: given(&self.config).map(PathBuf::from),
            patience,
            timeout,
            comments,
            target,
            state: owned(&self.state),
            role: owned(&self.role),
            region: owned(&self.aws_region),
        })
    }
}

/// What is wrong with inputs, each by its name.
#[derive(Default)]
struct Complaints(Vec<String>);

impl Complaints {
    /// The value, or another one for what is wrong.
    fn or<T>(&mut self, input: &str, value: Result<T, String>, otherwise: T) -> T {
        value.unwrap_or_else(|problem| {
            self.0.push(format!("input `{input}`: {problem}"));
            otherwise
        })
    }
}

fn verb(text: &str) -> Result<StepVerb, String> {
    let Some(word) = given(text) else { return Ok(StepVerb::Auto) };
    StepVerb::of_word(word).ok_or_else(|| {
        let known: Vec<&str> = StepVerb::ALL.into_iter().map(StepVerb::word).collect();
        format!("{word:?} is none of {}", known.join(", "))
    })
}

/// A step has no way to leave services out yet.
fn services(text: &str) -> Result<(), String> {
    let mut words = text.split(|c: char| c == ',' || c.is_whitespace()).filter(|word| !word.is_empty()).peekable();
    if words.peek().is_none() {
        return Ok(());
    }
    for word in words {
        ServiceName::new(word).map_err(|error| error.to_string())?;
    }
    Err("a step brings a stage on whole: write `paths` for a service to leave it out when nothing of it changed, or \
         ask for it in a comment, `/deploy [stage] [service..]`"
        .to_owned())
}

fn timeout(text: &str) -> Result<Seconds, String> {
    let span = given(text).map_or(Ok(TIMEOUT), str::parse::<Seconds>)?;
    if span > LONGEST { Err(format!("{span} is longer than any job lives")) } else { Ok(span) }
}

fn given(text: &str) -> Option<&str> {
    Some(text.trim()).filter(|text| !text.is_empty())
}

fn flag(text: &str, otherwise: bool) -> Result<bool, String> {
    match text.trim() {
        "" => Ok(otherwise),
        "true" => Ok(true),
        "false" => Ok(false),
        other => Err(format!("{other:?} is neither true nor false")),
    }
}

fn target(text: &str) -> Result<TargetName, String> {
    match text {
        "local" => Ok(TargetName::Local),
        #[cfg(feature = "aws")]
        "aws" => Ok(TargetName::Aws),
        other => Err(format!("{other:?} is neither aws nor local")),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        inputs: Inputs,
    }

    fn read(args: &[&str]) -> Result<Given, String> {
        let args = ["greenroom"].iter().chain(args);
        Line::try_parse_from(args).expect("a command line").inputs.read()
    }

    #[test]
    fn what_is_empty_is_not_given() {
        let empty = ["--command=", "--stage=", "--wait=", "--timeout= ", "--target=", "--dry-run=", "--state="];
        let given = read(&empty).expect("nothing is wrong");
        assert_eq!((given.wish.verb, given.wish.stage, given.wish.effect), (StepVerb::Auto, None, Effect::Done));
        assert_eq!((given.patience, given.timeout, given.comments), (Patience::Waits, TIMEOUT, Comments::Written));
        assert_eq!((given.target, given.state, given.role), (DEFAULT_TARGET, None, None));
    }

    #[test]
    fn every_error_names_its_input() {
        let wrong = [
            ("--command=rm", "command"),
            ("--stage=../x", "stage"),
            ("--services=web", "services"),
            ("--services=W!", "services"),
            ("--wait=yes", "wait"),
            ("--timeout=soon", "timeout"),
            ("--timeout=6d", "timeout"),
            ("--comment=TRUE", "comment"),
            ("--target=azure", "target"),
            ("--dry-run=1", "dry-run"),
        ];
        for (argument, input) in wrong {
            let said = read(&[argument]).expect_err("it is wrong");
            assert!(said.starts_with(&format!("input `{input}`: ")), "{argument}: {said}");
        }
        let all: Vec<&str> = wrong
            .iter()
            .map(|(argument, _)| *argument)
            .filter(|a| *a != "--services=W!" && *a != "--timeout=6d")
            .collect();
        assert_eq!(read(&all).expect_err("all are wrong").matches("input `").count(), 8);
    }
}
