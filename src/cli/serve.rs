//! `greenroom serve`: the GitHub App's server.

use clap::Args;

use super::{ExitStatus, Printer, audit};
use crate::app::{self, App, ServerSecrets, ServerSettings};
use crate::port::Store;

/// Receive webhooks and keep stages true.
#[derive(Debug, Args)]
#[command(after_help = "\
Secrets come by the environment alone:
  GREENROOM_WEBHOOK_SECRET           the secret of the GitHub App's webhook
  GREENROOM_WEBHOOK_SECRET_PREVIOUS  still accepted while a new one is rolled out
  GREENROOM_GITHUB_PRIVATE_KEY       the App's private key as PEM, in base64 too, or its file

Examples:
  greenroom serve --github-app-id 12345 --allow acme/shop,acme/web
  greenroom serve --github-app-id 12345 --allow acme/shop --target local
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
        printer.note(&format!("metrics at http://{}/metrics", app.ops_address()?))?;
        printer.note(&format!("webhooks at http://{door}/webhook{}", stages.unwrap_or_default()))?;
        let store = app.store();
        tell_ends(&*store, printer).await?;
        app.run(stop).await?;
        tell_ends(&*store, printer).await?;
        Ok(ExitStatus::Ok)
    }
}

/// Where the audit ends, in words that are kept outside of the database.
async fn tell_ends(store: &dyn Store, printer: &mut Printer) -> anyhow::Result<()> {
    for end in audit::ends(store).await? {
        printer.note(&end)?;
    }
    Ok(())
}
