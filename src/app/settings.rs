//! The server's settings: flags or environment, nothing else. Secrets come by the environment
//! alone, because a flag can be read in the list of processes.

use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::path::PathBuf;

use anyhow::{Context as _, bail};
use clap::{Args, ValueEnum};
use secrecy::SecretString;

use super::given::{address, app_id, folder, registry};
use super::variable;
use crate::model::{RepoList, Seconds, Wall, ZoneList};
use crate::wire;

/// Where the database is.
#[derive(Debug, Clone, Args)]
pub struct StoreSettings {
    /// The database: `sqlite://<file>`, or `postgres://<user>@<host>/<name>` for several servers.
    #[arg(
        long,
        env = "GREENROOM_DATABASE_URL",
        default_value = "sqlite://greenroom.db",
        hide_env_values = true,
        value_name = "URL",
        value_parser = address
    )]
    pub database_url: SecretString,
}

/// Where stages run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum TargetName {
    /// On AWS: ECS behind a load balancer.
    #[cfg(feature = "aws")]
    Aws,
    /// On this machine.
    Local,
}

/// Where stages run when nothing is said.
const DEFAULT_TARGET: &str = if cfg!(feature = "aws") { "aws" } else { "local" };

/// How many NAT gateways a foundation has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum NatGatewayCount {
    /// Programs have public addresses of their own, into which nothing is let.
    #[value(name = "0")]
    Zero,
    #[value(name = "1")]
    One,
    /// One in each zone.
    #[value(name = "2")]
    Two,
}

/// What previews run on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum PreviewCapacityName {
    Fargate,
    /// Much cheaper; AWS may take a task away with two minutes' notice.
    FargateSpot,
}

/// How stages on AWS are made. Credentials come by the standard `AWS_*` chain.
#[derive(Debug, Clone, Args)]
pub struct AwsArgs {
    /// Begins every name on AWS; another one for each Greenroom in an account.
    #[arg(long, env = "GREENROOM_AWS_NAME", default_value = "greenroom", value_name = "NAME", value_parser = aws_name)]
    pub aws_name: String,
    /// NAT gateways of a foundation; without one, programs have public addresses that let nothing in.
    #[arg(long, env = "GREENROOM_AWS_NAT_GATEWAYS", default_value = "0", value_name = "0|1|2")]
    pub aws_nat_gateways: NatGatewayCount,
    /// What previews run on.
    #[arg(long, env = "GREENROOM_AWS_PREVIEW_CAPACITY", default_value = "fargate", value_name = "CAPACITY")]
    pub aws_preview_capacity: PreviewCapacityName,
    /// The ARN of a policy that bounds every role that is made.
    #[arg(long, env = "GREENROOM_AWS_PERMISSIONS_BOUNDARY", value_name = "ARN")]
    pub aws_permissions_boundary: Option<String>,
}

impl Default for AwsArgs {
    fn default() -> Self {
        Self {
            aws_name: "greenroom".to_owned(),
            aws_nat_gateways: NatGatewayCount::Zero,
            aws_preview_capacity: PreviewCapacityName::Fargate,
            aws_permissions_boundary: None,
        }
    }
}

fn aws_name(text: &str) -> Result<String, String> {
    let fits = text.len() <= 20 && text.starts_with(|c: char| c.is_ascii_lowercase());
    if fits && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-') {
        return Ok(text.to_owned());
    }
    Err("up to 20 lower-case letters, digits and hyphens, a letter first".into())
}

/// What keeps the repositories of one server apart.
#[derive(Debug, Clone, Default, Args)]
pub struct WallArgs {
    /// Repositories that are served: owner/name or owner/*; without it, none.
    #[arg(long, alias = "local-allow", env = "GREENROOM_ALLOW", value_name = "REPOSITORIES")]
    pub allow: Option<RepoList>,
    /// Zones that only these repositories may use: zone=owner/name,...
    #[arg(long, env = "GREENROOM_ZONES", value_name = "ZONES")]
    pub zones: Option<ZoneList>,
}

impl WallArgs {
    /// What is said of it to the operator where nobody is served.
    pub const EMPTY: &'static str =
        "no repository is served: name those whose writers you trust in GREENROOM_ALLOW, as owner/name or owner/*";

    /// The wall as the engine wants it. The variable that only this machine had is not read any more.
    pub fn wall(&self) -> anyhow::Result<Wall> {
        if self.allow.is_none() && variable("GREENROOM_LOCAL_ALLOW").is_some() {
            bail!("GREENROOM_LOCAL_ALLOW is now GREENROOM_ALLOW, and counts for every target: set that instead");
        }
        Ok(Wall { allow: self.allow.clone().unwrap_or_default(), zones: self.zones.clone().unwrap_or_default() })
    }
}

/// No build takes less, and a builder that is held for longer is held for good.
const BUILD_DEADLINES: RangeInclusive<Seconds> = Seconds(60)..=Seconds(24 * 60 * 60);

fn build_deadline(text: &str) -> Result<Seconds, String> {
    let span: Seconds = text.parse()?;
    if BUILD_DEADLINES.contains(&span) {
        return Ok(span);
    }
    Err(format!("from {} to {}", BUILD_DEADLINES.start(), BUILD_DEADLINES.end()))
}

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// What `greenroom serve` can be told.
#[derive(Debug, Clone, Args)]
pub struct ServerSettings {
    /// Where webhooks are received; `/healthz` is beside them.
    #[arg(long, env = "GREENROOM_LISTEN", default_value = "127.0.0.1:3000", value_name = "ADDRESS")]
    pub listen: SocketAddr,
    /// Where operators ask for `/metrics` and `/readyz`; nobody else should reach it.
    #[arg(long, env = "GREENROOM_OPS_LISTEN", default_value = "127.0.0.1:3001", value_name = "ADDRESS")]
    pub ops_listen: SocketAddr,
    #[command(flatten)]
    pub store: StoreSettings,
    /// A folder of the server's own, for sources and stages on this machine.
    #[arg(long, env = "GREENROOM_DATA", default_value = "greenroom-data", value_name = "FOLDER", value_parser = folder)]
    pub data: PathBuf,
    /// GitHub's API, another one for an Enterprise Server.
    #[arg(long, env = "GREENROOM_GITHUB_API_URL", default_value = "https://api.github.com", value_name = "URL")]
    pub github_api_url: String,
    /// The number of the GitHub App.
    #[arg(long, env = "GREENROOM_GITHUB_APP_ID", value_name = "ID", value_parser = app_id)]
    pub github_app_id: u64,
    /// Where stages run.
    #[arg(long, env = "GREENROOM_TARGET", default_value = DEFAULT_TARGET)]
    pub target: TargetName,
    /// A registry in place of ECR's own address, without scheme; on one machine, where the build cache is kept.
    #[arg(long, env = "GREENROOM_REGISTRY", value_name = "HOST/PATH", value_parser = registry)]
    pub registry: Option<String>,
    #[command(flatten)]
    pub aws: AwsArgs,
    /// Where stages on this machine answer.
    #[arg(long, env = "GREENROOM_PROXY_LISTEN", default_value = "127.0.0.1:8088", value_name = "ADDRESS")]
    pub proxy_listen: SocketAddr,
    #[command(flatten)]
    pub wall: WallArgs,
    /// How long one build may take before it is given up.
    #[arg(long, env = "GREENROOM_BUILD_DEADLINE", default_value = "1h", value_name = "TIME", value_parser = build_deadline)]
    pub build_deadline: Seconds,
    /// What is logged: error, warn, info, debug, or filters such as greenroom=debug.
    #[arg(long, env = "GREENROOM_LOG", default_value = "info", value_name = "FILTER")]
    pub log: String,
    /// How log lines look.
    #[arg(long, env = "GREENROOM_LOG_FORMAT", default_value = "text")]
    pub log_format: LogFormat,
}

/// What nobody may see.
#[derive(Debug)]
pub struct ServerSecrets {
    pub webhook: SecretString,
    /// Still accepted while a new secret is rolled out.
    pub webhook_previous: Option<SecretString>,
    /// The App's private key as PEM.
    pub private_key: SecretString,
}

/// A variable that holds a secret.
#[derive(Debug, Clone, Copy)]
pub struct SecretVariable {
    pub variable: &'static str,
    pub required: bool,
    pub meaning: &'static str,
}

/// What is read from the environment alone, for the reference.
pub const SECRETS: [SecretVariable; 4] = [
    SecretVariable {
        variable: "GREENROOM_GITHUB_PRIVATE_KEY",
        required: true,
        meaning: "The App's private key as PEM or base64 of it, or the path of its file",
    },
    SecretVariable {
        variable: "GREENROOM_WEBHOOK_SECRET",
        required: true,
        meaning: "The secret of the App's webhook, 16 characters or more",
    },
    SecretVariable {
        variable: "GREENROOM_WEBHOOK_SECRET_PREVIOUS",
        required: false,
        meaning: "The secret before it, still accepted while a new one is rolled out",
    },
    SecretVariable {
        variable: "GREENROOM_SECRET_<ID>_<NAME>",
        required: false,
        meaning: "What a stage on this machine gets for a secret written `env:<NAME>` in the repository with this number",
    },
];

/// The App's private key from the environment: as PEM, or from the file that it names.
pub fn private_key() -> anyhow::Result<SecretString> {
    let given = variable("GREENROOM_GITHUB_PRIVATE_KEY").context(
        "GREENROOM_GITHUB_PRIVATE_KEY is not set: give the App's private key as PEM or base64 of it, or the path of its file",
    )?;
    super::private_key::read(&given)
}

impl ServerSecrets {
    /// Reads them from the environment. Without a webhook secret there is no server.
    pub fn from_environment() -> anyhow::Result<Self> {
        let Some(webhook) = variable("GREENROOM_WEBHOOK_SECRET").filter(|secret| !secret.trim().is_empty()) else {
            bail!(
                "GREENROOM_WEBHOOK_SECRET is not set: without it anybody could send webhooks. \
                 Set it to the secret in the GitHub App's webhook settings"
            );
        };
        let private_key = private_key()?;
        let previous = variable("GREENROOM_WEBHOOK_SECRET_PREVIOUS").filter(|secret| !secret.is_empty());
        let secrets = Self { webhook: webhook.into(), webhook_previous: previous.map(Into::into), private_key };
        secrets.tell_edges();
        Ok(secrets)
    }

    /// A secret that came from a file brought the file's line break along, or what that has around its values,
    /// and no signature is made with that.
    fn tell_edges(&self) {
        let current = ("GREENROOM_WEBHOOK_SECRET", Some(&self.webhook));
        for (name, secret) in [current, ("GREENROOM_WEBHOOK_SECRET_PREVIOUS", self.webhook_previous.as_ref())] {
            if secret.is_some_and(wire::has_edges) {
                tracing::warn!(
                    "{name} begins or ends with white space, such as the line break at the end of a file, or stands \
                     in quotation marks: the secret counts with and without them; take them away"
                );
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_build_is_given_up_at_once_and_none_holds_a_builder_for_good() {
        for (text, span) in [("60s", 60), ("90m", 5_400), ("24h", 86_400)] {
            assert_eq!(build_deadline(text), Ok(Seconds(span)), "{text}");
        }
        for text in ["0s", "59s", "25h", "365d", "soon"] {
            assert!(build_deadline(text).is_err(), "{text}");
        }
    }
}
