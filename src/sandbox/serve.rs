//! Starting and stopping: the listener, the postman, and the handle that both live behind.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use secrecy::SecretString;
use tokio::net::TcpListener;
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinHandle;

use super::fault::Faults;
use super::hook::Hooks;
use super::key::{AppKey, PRIVATE_KEY_PEM};
use super::meter::{Limits, Meter};
use super::record::{Account, AccountKind};
use super::runs::Actions;
use super::transcript::{Recording, Transcript};
use super::world::{APP_ID, APP_SLUG, App, CLIENT_ID, Level, World};
use super::{gate, postman};
use crate::model::RepoName;
use crate::port::Clock;

/// Where webhooks go.
#[derive(Debug, Clone)]
pub struct WebhookTarget {
    /// Plain HTTP: `http://127.0.0.1:3000/webhook`.
    pub url: String,
    pub secret: SecretString,
}

/// How a sandbox behaves.
#[derive(Clone)]
pub struct SandboxSettings {
    pub clock: Arc<dyn Clock>,
    /// Ids, commit names and tokens follow from it.
    pub seed: u64,
    /// Until there is one, events are neither sent nor recorded.
    pub webhook: Option<WebhookTarget>,
    /// How many deliveries are under way at once; 1 keeps them in order.
    pub deliveries_at_once: usize,
    pub recording: Recording,
    /// Of one installation.
    pub requests_per_hour: u64,
    /// Content-creating requests; `None` is without limit.
    pub writes_per_minute: Option<u64>,
    pub writes_per_hour: Option<u64>,
}

impl SandboxSettings {
    /// GitHub's own limits, everything recorded, deliveries in order, no webhook yet.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self {
            clock,
            seed: 0,
            webhook: None,
            deliveries_at_once: 1,
            recording: Recording::Full,
            requests_per_hour: 5000,
            writes_per_minute: Some(80),
            writes_per_hour: Some(500),
        }
    }

    /// For benchmarks: without limits, and counting only.
    #[must_use]
    pub fn unlimited(self) -> Self {
        Self {
            recording: Recording::Counts,
            requests_per_hour: u64::MAX,
            writes_per_minute: None,
            writes_per_hour: None,
            ..self
        }
    }
}

/// A verb that cannot be carried out.
#[derive(Debug, thiserror::Error)]
pub enum SandboxError {
    #[error("{0} does not exist in the sandbox")]
    Unknown(String),
    #[error("{0}")]
    Refused(String),
}

/// What the listener, the postman and the handle share.
pub(super) struct Shared {
    world: Mutex<World>,
    /// Rung whenever an attempt to deliver ends.
    pub(super) quiet: Notify,
}

impl Shared {
    pub(super) fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A running GitHub. It stops when it is dropped.
pub struct Sandbox {
    pub(super) shared: Arc<Shared>,
    base: String,
    tasks: [JoinHandle<()>; 2],
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

impl Sandbox {
    /// Starts on a free port of the loopback address.
    pub async fn start(settings: SandboxSettings) -> io::Result<Self> {
        let listener = TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).await?;
        Self::start_on(listener, settings)
    }

    /// Starts on a listener that is there already.
    pub fn start_on(listener: TcpListener, settings: SandboxSettings) -> io::Result<Self> {
        let base = format!("http://{}", listener.local_addr()?);
        let (outbox, letters) = mpsc::unbounded_channel();
        let at_once = settings.deliveries_at_once.max(1);
        let hooks = Hooks::new(settings.webhook.clone(), outbox, settings.recording == Recording::Full);
        let world = new_world(base.clone(), settings, hooks)
            .ok_or_else(|| io::Error::other("the sandbox's own key cannot be read"))?;
        let shared = Arc::new(Shared { world: Mutex::new(world), quiet: Notify::new() });
        let carry = tokio::spawn(postman::run(letters, shared.clone(), at_once));
        let router = gate::router(shared.clone());
        let answer = tokio::spawn(async move {
            if let Err(error) = axum::serve(listener, router).await {
                tracing::error!(%error, "the sandbox GitHub stopped listening");
            }
        });
        Ok(Self { shared, base, tasks: [carry, answer] })
    }

    /// `http://127.0.0.1:1234`, in place of `https://api.github.com`.
    pub fn api_url(&self) -> &str {
        &self.base
    }

    /// The page of a pull request for a browser.
    pub fn pull_url(&self, repo: &RepoName, number: crate::model::PullNumber) -> String {
        format!("{}/{repo}/pull/{number}", self.base)
    }

    /// The app's id.
    pub fn app_id(&self) -> u64 {
        APP_ID
    }

    /// The app's private key. The same for every sandbox; it opens nothing else.
    pub fn private_key_pem(&self) -> SecretString {
        SecretString::from(PRIVATE_KEY_PEM)
    }
}

/// What the app is told of.
const EVENTS: [&str; 9] = [
    "delete",
    "issue_comment",
    "pull_request",
    "pull_request_review",
    "pull_request_review_comment",
    "push",
    "repository",
    "workflow_job",
    "workflow_run",
];

fn new_world(base: String, settings: SandboxSettings, hooks: Hooks) -> Option<World> {
    let now = settings.clock.now();
    let bot = Arc::new(Account { id: 2, login: format!("{APP_SLUG}[bot]"), kind: AccountKind::Bot });
    let owner = Arc::new(Account { id: 1, login: "greenroom".into(), kind: AccountKind::Organization });
    let grants = [
        ("administration", Level::Write),
        ("checks", Level::Write),
        ("contents", Level::Read),
        ("deployments", Level::Write),
        ("environments", Level::Write),
        ("issues", Level::Write),
        ("members", Level::Read),
        ("metadata", Level::Read),
        ("pull_requests", Level::Write),
        ("statuses", Level::Read),
        ("actions", Level::Write),
    ];
    let app = App {
        key: AppKey::new(APP_ID, CLIENT_ID)?,
        bot: bot.clone(),
        owner: owner.clone(),
        grants: grants.into_iter().map(|(name, level)| (name.to_owned(), level)).collect(),
        events: EVENTS.map(str::to_owned).to_vec(),
        created_at: now,
        installations: BTreeMap::new(),
    };
    let limits = Limits {
        requests_per_hour: settings.requests_per_hour,
        writes_per_minute: settings.writes_per_minute,
        writes_per_hour: settings.writes_per_hour,
    };
    Some(World {
        base,
        seed: settings.seed,
        serial: 0,
        accounts: [bot, owner].into_iter().map(|account| (account.login.clone(), account)).collect(),
        repos: BTreeMap::new(),
        moved: BTreeMap::new(),
        commits: HashMap::new(),
        roles: BTreeMap::new(),
        teams: BTreeMap::new(),
        foreign_apps: BTreeMap::new(),
        app,
        tokens: HashMap::new(),
        hooks,
        faults: Faults::default(),
        transcript: Transcript::new(settings.recording),
        meter: Meter::new(limits, now),
        actions: Actions::default(),
        clock: settings.clock,
    })
}
