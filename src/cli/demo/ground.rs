//! Where the demo happens: a sandbox GitHub, the real server and a local target, all in this
//! process, on free ports of loopback, in one temporary folder.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use secrecy::SecretString;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::shop;
use crate::app::{
    self, App, AwsArgs, LogFormat, ServerSecrets, ServerSettings, StoreSettings, SystemClock, TargetName, WallArgs,
};
use crate::decide::BUILD_DEADLINE;
use crate::engine::stage_view;
use crate::model::{RepoName, StageId};
use crate::port::{Clock as _, Store};
use crate::sandbox::{Sandbox, SandboxSettings, WebhookTarget};
use crate::view::StageView;

/// How long the server may take to stop; what it started is ended by the folder after that.
const STOP: Duration = Duration::from_secs(10);

/// The world of the demo.
pub(super) struct Ground {
    pub(super) github: Sandbox,
    pub(super) repo: RepoName,
    store: Arc<dyn Store>,
}

/// The running server.
pub(super) struct Server {
    stop: CancellationToken,
    task: JoinHandle<anyhow::Result<()>>,
}

/// Starts everything, with the app's repository there and no pull request yet.
pub(super) async fn open(folder: &Path) -> anyhow::Result<(Ground, Server)> {
    let settings = SandboxSettings::new(Arc::new(SystemClock));
    let github = Sandbox::start(settings).await.context("cannot start the sandbox GitHub")?;
    let own = rustix::process::getpid().as_raw_nonzero().get();
    let repo = github.create_repo(shop::REPO, shop::first_files(&app::this_program()?, own)?)?;
    let secret = app::chance_secret();
    let app = App::open(&server_settings(folder, &github), server_secrets(&github, &secret)).await?;
    github.set_webhook(WebhookTarget { url: format!("http://{}/webhook", app.address()?), secret });
    let (store, stop) = (app.store(), CancellationToken::new());
    let task = tokio::spawn(app.run(stop.clone()));
    Ok((Ground { github, repo, store }, Server { stop, task }))
}

fn server_settings(folder: &Path, github: &Sandbox) -> ServerSettings {
    let any_port = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    ServerSettings {
        listen: any_port,
        ops_listen: any_port,
        store: StoreSettings {
            database_url: SecretString::from(format!("sqlite://{}", folder.join("greenroom.db").display())),
        },
        data: folder.join("data"),
        github_api_url: github.api_url().to_owned(),
        github_app_id: github.app_id(),
        target: TargetName::Local,
        registry: None,
        aws: AwsArgs::default(),
        proxy_listen: any_port,
        wall: WallArgs { allow: shop::REPO.parse().ok(), zones: None },
        log: String::new(),
        build_deadline: BUILD_DEADLINE,
        log_format: LogFormat::Text,
    }
}

fn server_secrets(github: &Sandbox, webhook: &SecretString) -> ServerSecrets {
    ServerSecrets { webhook: webhook.clone(), webhook_previous: None, private_key: github.private_key_pem() }
}

impl Ground {
    /// What the stage looks like now; `None` before it exists.
    pub(super) async fn view(&self, stage: &StageId) -> anyhow::Result<Option<StageView>> {
        Ok(stage_view(self.store.as_ref(), stage, SystemClock.now()).await?)
    }
}

impl Server {
    /// Ends only if the server does so without having been asked.
    pub(super) async fn ended(&mut self) -> anyhow::Error {
        match (&mut self.task).await {
            Ok(Ok(())) => anyhow::anyhow!("the server stopped by itself"),
            Ok(Err(error)) => error.context("the server stopped"),
            Err(panic) => anyhow::Error::new(panic).context("the server panicked"),
        }
    }

    /// Stops it; what its stages run goes on running.
    pub(super) async fn stop(mut self) {
        self.stop.cancel();
        if !self.task.is_finished() && tokio::time::timeout(STOP, &mut self.task).await.is_err() {
            tracing::warn!("the server did not stop in time");
            self.task.abort();
        }
    }
}
