//! `greenroom serve`: the GitHub App's server.

use clap::Args;

use super::{ExitStatus, Printer};
use crate::app::{self, App, ServerSecrets, ServerSettings};

/// Receive webhooks and keep stages true.
#[derive(Debug, Args)]
#[command(after_help = "\
Secrets come by the environment alone:
  GREENROOM_WEBHOOK_SECRET           the secret of the GitHub App's webhook
  GREENROOM_WEBHOOK_SECRET_PREVIOUS  still accepted while a new one is rolled out
  GREENROOM_GITHUB_PRIVATE_KEY       the App's private key as PEM, or the path of its file

Examples:
  greenroom serve --github-app-id 12345
  greenroom serve --github-app-id 12345 --target local --local-allow acme/shop
  GREENROOM_DATABASE_URL=postgres://greenroom@db/greenroom greenroom serve --github-app-id 12345")]
pub(super) struct Serve {
    #[command(flatten)]
    settings: ServerSettings,
}

impl Serve {
    pub(super) async fn run(self, printer: &mut Printer) -> anyhow::Result<ExitStatus> {
        app::start_log(&self.settings.log, self.settings.log_format)?;
        let stop = app::stop_on_signal()?;
        let app = App::open(&self.settings, ServerSecrets::from_environment()?).await?;
        let (door, proxy) = (app.address()?, app.proxy_address());
        let stages = proxy.map(|proxy| format!(", stages at http://<stage>.localhost:{}", proxy.port()));
        printer.note(&format!("webhooks at http://{door}/webhook{}", stages.unwrap_or_default()))?;
        app.run(stop).await?;
        Ok(ExitStatus::Ok)
    }
}
