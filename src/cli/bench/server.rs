//! The measured side: the real door and store, and the real engine when there is a GitHub for it,
//! told what to do on standard input and alive until that closes.

use std::io::{self, BufRead as _, Write as _};
use std::net::Ipv4Addr;
use std::sync::Arc;

use anyhow::Context as _;
use secrecy::SecretString;
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::child::{GitHubOrder, Order, Ready};
use crate::app::{self, LogFormat, SystemClock};
use crate::cli::{ExitStatus, run_async};
use crate::engine::{Engine, EngineSettings, Ports};
use crate::github::{GitHub, GitHubSettings, WriteLimits};
use crate::model::Wall;
use crate::port::{Clock, Store};
use crate::sandbox::{SandboxBuilder, SandboxCloud};
use crate::server::{self, DoorMetrics, DoorState, Limits};
use crate::store;
use crate::wire::Secrets;

pub(super) fn run() -> anyhow::Result<ExitStatus> {
    app::start_log("warn", LogFormat::Text)?;
    let mut line = String::new();
    io::stdin().lock().read_line(&mut line).context("no order on standard input")?;
    let order: Order = serde_json::from_str(&line).context("an order that cannot be read")?;
    run_async(serve(order))?;
    Ok(ExitStatus::Ok)
}

async fn serve(order: Order) -> anyhow::Result<()> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let store = store::open(&order.database).await?;
    let bell = Arc::new(Notify::new());
    let stop = CancellationToken::new();
    let engine = match order.github {
        Some(github) => Some(engine(github, store.clone(), clock.clone(), bell.clone())?),
        None => None,
    };
    let engine = engine.map(|engine| tokio::spawn(engine.run(stop.clone())));
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let ready = serde_json::to_string(&Ready { door: listener.local_addr()? })?;
    writeln!(io::stdout(), "{ready}")?;
    let door = DoorState {
        store,
        clock,
        secrets: Arc::new(Secrets::new(SecretString::from(order.webhook_secret), None)?),
        bell,
        metrics: Arc::new(DoorMetrics::new(prometheus::Registry::new())?),
        limits: Limits::default(),
    };
    server::serve(listener, door, input_closed().cancelled_owned()).await?;
    stop.cancel();
    if let Some(engine) = engine {
        engine.await.context("the engine panicked")?;
    }
    Ok(())
}

/// The engine with the real GitHub adapter, for whom the limits that GitHub sets are lifted.
fn engine(
    order: GitHubOrder,
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    bell: Arc<Notify>,
) -> anyhow::Result<Arc<Engine>> {
    let key = SecretString::from(order.private_key);
    let mut settings = GitHubSettings::new(order.api_url, order.app_id, key, clock.clone(), 0);
    settings.write_limits = WriteLimits { per_minute: usize::MAX, per_hour: usize::MAX };
    let github = Arc::new(GitHub::new(&settings)?);
    let ports = Ports {
        store,
        forge: github.clone(),
        app: Some(github),
        cloud: Arc::new(SandboxCloud::default()),
        builder: Arc::new(SandboxBuilder::default()),
        clock,
    };
    let allow = "greenroom-bench/*".parse().map_err(anyhow::Error::msg)?;
    let settings = EngineSettings { wall: Wall { allow, ..Wall::default() }, ..EngineSettings::default() };
    Ok(Arc::new(Engine::new(ports, settings, bell)))
}

/// Cancelled when whoever measures has closed our standard input, or is gone.
fn input_closed() -> CancellationToken {
    let closed = CancellationToken::new();
    let token = closed.clone();
    // A thread that nobody waits for: a runtime would wait for its blocking tasks to end.
    std::thread::spawn(move || {
        // An input that cannot be read is as good as closed.
        let _ = io::copy(&mut io::stdin().lock(), &mut io::sink());
        token.cancel();
    });
    closed
}
