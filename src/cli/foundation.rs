//! `greenroom foundation`: what stages on AWS share, made or taken away by hand.

use std::path::PathBuf;

use anyhow::Context as _;
use clap::{Args, Subcommand, ValueEnum};
use serde::Serialize;

use super::{ExitStatus, Printer, foundation_text};
use crate::app::AwsArgs;
use crate::app::foundation::{self, Ground};
use crate::config;
use crate::decide::resolve;
use crate::model::{
    Addressing, CommitSha, Dns, Domain, FoundationReport, LocalCommands, Place, Project, RepoName, ResourceChange,
    Scheme, StageId, StageKind, StageName, StagePattern,
};

/// Make, change or remove what stages on AWS share.
///
/// The first stage that needs a foundation makes it by itself. By hand it is made beforehand,
/// brought to a newer release's template or to other settings, and taken away.
#[derive(Debug, Args)]
#[command(
    subcommand_required = true,
    after_help = "\
Credentials come by the standard AWS_* chain.

Examples:
  greenroom foundation plan --zone preview.example.com --dns route53
  greenroom foundation status
  greenroom foundation deploy --config .github/greenroom.yml
  greenroom foundation deploy --config .github/greenroom.yml --stage prod --repo acme/shop
  greenroom foundation destroy"
)]
pub(super) struct Foundation {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Show what `deploy` would change, without doing it.
    Plan(Where),
    /// Show where it is, what stands on it, and the records that are to be made by hand.
    Status(Where),
    /// Make it, or bring it to this release's template and these settings.
    Deploy(Where),
    /// Take it away, once no stage uses it.
    Destroy(Where),
}

#[derive(Debug, Args)]
struct Where {
    /// A configuration file that tells the zone, the account and the region.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["zone", "dns", "certificate"])]
    config: Option<PathBuf>,
    /// The zone under which stages answer; those that are there already stay.
    #[arg(long, value_name = "ZONE")]
    zone: Option<String>,
    /// Who serves the zone.
    #[arg(long, value_name = "WHO", default_value = "none", requires = "zone")]
    dns: DnsName,
    /// The ARN of a certificate for the zone, instead of one that is made.
    #[arg(long, value_name = "ARN", requires = "zone")]
    certificate: Option<String>,
    /// The foundation of this permanent stage, instead of the one that previews share.
    #[arg(long, value_name = "STAGE", requires = "repo")]
    stage: Option<StageName>,
    /// The stage's repository.
    #[arg(long, value_name = "OWNER/NAME")]
    repo: Option<RepoName>,
    #[command(flatten)]
    aws: AwsArgs,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum DnsName {
    Route53,
    Cloudflare,
    None,
}

/// What `--json` prints.
#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Document {
    Plan {
        #[serde(flatten)]
        foundation: FoundationReport,
        changes: Vec<ResourceChange>,
    },
    Status(FoundationReport),
    Deployed(FoundationReport),
    Destroyed {
        destroyed: bool,
    },
}

impl Foundation {
    pub(super) async fn run(self, printer: &mut Printer) -> anyhow::Result<ExitStatus> {
        let (What::Plan(place) | What::Status(place) | What::Deploy(place) | What::Destroy(place)) = &self.what;
        let ground = place.ground()?;
        let aws = &place.aws;
        let mut unheard = None;
        let mut note = |text: &str| {
            if let Err(error) = printer.note(text) {
                unheard = Some(error);
            }
        };
        let document = match &self.what {
            What::Plan(_) => {
                let (foundation, changes) = foundation::plan(aws, &ground).await?;
                Document::Plan { foundation, changes }
            }
            What::Status(_) => Document::Status(foundation::report(aws, &ground).await?),
            What::Deploy(_) => {
                foundation::deploy(aws, &ground, &mut note).await?;
                Document::Deployed(foundation::report(aws, &ground).await?)
            }
            What::Destroy(_) => {
                foundation::destroy(aws, &ground, &mut note).await?;
                Document::Destroyed { destroyed: true }
            }
        };
        if let Some(error) = unheard {
            return Err(error.into());
        }
        printer.result(&document, human)?;
        Ok(ExitStatus::Ok)
    }
}

impl Where {
    fn ground(&self) -> anyhow::Result<Ground> {
        // Previews share one foundation: whose it is counts for nothing but the name of a session.
        let repo = self.repo.clone().map_or_else(|| "greenroom/foundation".parse(), Ok)?;
        let name = self.stage.clone().map_or_else(|| "previews".parse(), Ok)?;
        let stage = StageId { repo, name };
        let place = match &self.config {
            Some(path) => {
                let bytes = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
                let project = config::check(&path.display().to_string(), &bytes)
                    .map_err(|problems| ExitStatus::Usage.error(problems.to_string()))?;
                self.place_in(&project, &stage)?
            }
            None => self.place_of_zone(&stage),
        };
        Ok(Ground { stage, place })
    }

    fn place_of_zone(&self, stage: &StageId) -> Place {
        let dns = match self.dns {
            DnsName::Route53 => Dns::Route53,
            DnsName::Cloudflare => Dns::Cloudflare,
            DnsName::None => Dns::None,
        };
        let certificate = self.certificate.clone();
        let domain = self.zone.clone().map(|zone| Domain { zone, dns, certificate });
        let kind = if self.stage.is_some() { StageKind::Permanent } else { StageKind::Ephemeral };
        let base = domain.as_ref().map(|domain| match kind {
            StageKind::Ephemeral => domain.zone.clone(),
            _ => format!("{}.{}", stage.name, domain.zone),
        });
        Place { kind, domain, base, ..Place::default() }
    }

    /// Where the engine would put the stage.
    fn place_in(&self, project: &Project, stage: &StageId) -> anyhow::Result<Place> {
        let rule = project.stages.iter().find(|rule| match (&rule.pattern, &self.stage) {
            (StagePattern::Named(name), Some(wanted)) => name == wanted,
            (pattern, None) => pattern.is_ephemeral(),
            (_, Some(_)) => false,
        });
        let rule = rule.ok_or_else(|| {
            let what =
                self.stage.as_ref().map_or("no stages that come and go".to_owned(), |name| format!("no stage {name}"));
            ExitStatus::Usage.error(format!("the configuration has {what}"))
        })?;
        let addressing = Addressing {
            scheme: Scheme::HttpsIfCertified,
            zone: String::new(),
            port: None,
            local_commands: LocalCommands::Ignore,
        };
        Ok(resolve(project, rule, stage, &CommitSha::new("0".repeat(40))?, None, &addressing).place)
    }
}

fn human(document: &Document) -> String {
    match document {
        Document::Plan { foundation, changes } => foundation_text::plan(foundation, changes),
        Document::Status(foundation) => foundation_text::status(foundation),
        Document::Deployed(foundation) => foundation_text::deployed(foundation),
        Document::Destroyed { .. } => "nothing of it is left".to_owned(),
    }
}
