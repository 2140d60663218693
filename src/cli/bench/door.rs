//! `greenroom bench door`: how fast webhooks are taken in, and that none that was acknowledged is
//! lost when the server is killed right after.

use std::collections::{BTreeMap, HashSet};
use std::fmt::Write as _;
use std::rc::Rc;
use std::sync::Arc;

use anyhow::Context as _;
use clap::Args;
use secrecy::{ExposeSecret as _, SecretString};
use serde::Serialize;
use tempfile::TempDir;

use super::child::{Measured, Order, own_cpu_micros};
use super::figures::{Mark, Spread, build, marks, megabytes, ratio};
use super::load::{self, Outcome};
use super::mail::{Mail, Wish};
use crate::app::{SystemClock, chance_secret, chance_seed};
use crate::cli::{ExitStatus, Printer};
use crate::model::{Lane, Wake};
use crate::port::{Clock as _, IntakeWrite, Store};
use crate::store;

/// Twice a minimal Probot app under the same load on two cores, which acknowledges from memory.
const MARK_RATE: f64 = 21_800.0;
const MARK_P99: f64 = 7.0;
/// How many inbox rows are read and settled at once.
const PAGE: u32 = 10_000;

/// Signed, distinct deliveries against the real door and the real database.
#[derive(Debug, Args)]
pub(super) struct Door {
    /// How many deliveries are sent.
    #[arg(long, default_value_t = 100_000, value_name = "N")]
    deliveries: usize,
    /// Over how many connections, each sending one after the other.
    #[arg(long, default_value_t = 32, value_name = "N")]
    connections: usize,
    /// How large a body is, 23 kB at least.
    #[arg(long, default_value_t = 22_000, value_name = "BYTES")]
    bytes: usize,
    /// How many repositories the deliveries are about.
    #[arg(long, default_value_t = 20, value_name = "N")]
    repositories: usize,
    #[command(flatten)]
    place: Place,
}

/// Where the bench's database is.
#[derive(Debug, Args)]
pub(super) struct Place {
    /// A database without stages, which is written to; a new `SQLite` file when left out.
    #[arg(long, value_name = "URL")]
    database: Option<SecretString>,
}

/// An address, and the folder of a file that is removed with it.
pub(super) struct Database {
    pub(super) url: SecretString,
    pub(super) kind: &'static str,
    _folder: Option<TempDir>,
}

impl Place {
    pub(super) fn open(self) -> anyhow::Result<Database> {
        let Some(url) = self.database else {
            let folder = tempfile::tempdir().context("cannot make a folder for the database")?;
            let url = format!("sqlite://{}", folder.path().join("bench.db").display());
            return Ok(Database { url: url.into(), kind: "sqlite", _folder: Some(folder) });
        };
        let kind = if url.expose_secret().starts_with("sqlite") { "sqlite" } else { "postgres" };
        Ok(Database { url, kind, _folder: None })
    }
}

impl Database {
    /// Refuses one in which somebody's stages are: the bench would take their lanes.
    pub(super) async fn must_be_unused(&self) -> anyhow::Result<()> {
        let counts = store::open(self.url.expose_secret()).await?.counts(SystemClock.now()).await?;
        if counts.stages == 0 && counts.inbox_waiting == 0 {
            return Ok(());
        }
        Err(ExitStatus::Usage.error("this database is in use: give the bench an empty one of its own"))
    }

    /// What an acknowledged write has gone through.
    pub(super) fn durability(&self) -> &'static str {
        match self.kind {
            "sqlite" => "write-ahead log, synchronous=FULL: fsync before every answer",
            _ => "the server's own synchronous_commit",
        }
    }
}

#[derive(Serialize)]
struct Report {
    bench: &'static str,
    build: &'static str,
    database: &'static str,
    durability: &'static str,
    deliveries: usize,
    connections: usize,
    repositories: usize,
    body_bytes: usize,
    acknowledged: usize,
    /// Other answers by status.
    others: BTreeMap<u16, u64>,
    seconds: f64,
    per_second: f64,
    latency_ms: Spread,
    cpu_micros_per_delivery: f64,
    /// What sending it took of the same machine.
    load_cpu_micros_per_delivery: f64,
    peak_memory_mb: f64,
    /// Acknowledged deliveries found in the database after the server was killed.
    verified: usize,
    marks: Vec<Mark>,
}

impl Door {
    pub(super) fn run(self, printer: &mut Printer) -> anyhow::Result<ExitStatus> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let report = runtime.block_on(self.measure(printer))?;
        printer.result(&report, human)?;
        let whole = report.verified == report.acknowledged && report.acknowledged == report.deliveries;
        Ok(if whole { ExitStatus::Ok } else { ExitStatus::Failed })
    }

    async fn measure(self, printer: &mut Printer) -> anyhow::Result<Report> {
        let secret = chance_secret();
        let database = self.place.open()?;
        database.must_be_unused().await?;
        printer.note(&format!("signing {} deliveries", self.deliveries))?;
        let wish =
            Wish { count: self.deliveries, bytes: self.bytes, repositories: self.repositories, seed: chance_seed() };
        let mail = Rc::new(Mail::write(wish, &secret).await?);
        let order = Order {
            database: database.url.expose_secret().to_owned(),
            webhook_secret: secret.expose_secret().to_owned(),
            github: None,
        };
        let (server, address) = Measured::server(&order)?;
        let before = (server.cpu_micros()?, own_cpu_micros()?);
        let Outcome { acknowledged, micros, others, took } =
            load::send(mail.clone(), address, self.connections).await?;
        let (cpu, load_cpu) = (server.cpu_micros()? - before.0, own_cpu_micros()? - before.1);
        let peak = server.peak_bytes()?;
        server.kill()?;
        printer.note("the server is killed; looking for what it had acknowledged")?;
        let store = store::open(database.url.expose_secret()).await?;
        let found = take_all(store).await?;
        let verified = acknowledged.iter().filter(|place| found.contains(&mail.letters[**place].id)).count();
        let count = acknowledged.len() as u64;
        let rate = ratio(count * 1_000_000, u64::try_from(took.as_micros()).unwrap_or(u64::MAX));
        let latency = Spread::of_micros(micros);
        Ok(Report {
            bench: "door",
            build: build(),
            database: database.kind,
            durability: database.durability(),
            deliveries: self.deliveries,
            connections: self.connections,
            repositories: self.repositories,
            body_bytes: mail.letters.first().map_or(0, |letter| mail.body_bytes(letter)),
            acknowledged: acknowledged.len(),
            others,
            seconds: took.as_secs_f64(),
            per_second: rate,
            latency_ms: latency,
            cpu_micros_per_delivery: ratio(cpu, count),
            load_cpu_micros_per_delivery: ratio(load_cpu, count),
            peak_memory_mb: megabytes(peak),
            verified,
            marks: vec![
                Mark::above("acknowledged per second", MARK_RATE, rate),
                Mark::at_most("p99 in ms", MARK_P99, latency.p99),
            ],
        })
    }
}

/// Takes every waiting delivery out of the database, as the engine would, and answers their ids.
async fn take_all(store: Arc<dyn Store>) -> anyhow::Result<HashSet<String>> {
    const LEASE_MILLIS: i64 = 60_000;
    let mut ids = HashSet::new();
    while let Some(claimed) = store.claim(SystemClock.now(), LEASE_MILLIS).await? {
        if matches!(claimed.held.lane(), Lane::Repo(_)) {
            loop {
                let rows = store.inbox(&claimed.held, PAGE).await?;
                if rows.is_empty() {
                    break;
                }
                let done = rows.iter().map(|row| row.seq).collect();
                ids.extend(rows.into_iter().map(|row| String::from(row.id)));
                store.apply_intake(&claimed.held, IntakeWrite { done, ..IntakeWrite::default() }).await?;
            }
        }
        store.release(claimed.held, Wake::OnBell, 0).await?;
    }
    Ok(ids)
}

fn human(report: &Report) -> String {
    let mut text = String::new();
    // Writing to a String cannot fail.
    let _ = writeln!(
        text,
        "door: {:.0} deliveries a second acknowledged from {} ({} connections, {} repositories, {} bytes, {} build)",
        report.per_second, report.database, report.connections, report.repositories, report.body_bytes, report.build
    );
    let Spread { p50, p90, p99, max } = report.latency_ms;
    let _ = writeln!(text, "  latency: p50 {p50:.2} ms, p90 {p90:.2} ms, p99 {p99:.2} ms, max {max:.2} ms");
    let _ = writeln!(
        text,
        "  server: {:.1} µs of CPU a delivery, at most {:.1} MB of memory; beside it the load: {:.1} µs",
        report.cpu_micros_per_delivery, report.peak_memory_mb, report.load_cpu_micros_per_delivery
    );
    let _ = writeln!(text, "  durability: {}", report.durability);
    let _ = writeln!(text, "  after kill -9: {} of {} acknowledged are there", report.verified, report.acknowledged);
    for (status, count) in &report.others {
        let _ = writeln!(text, "  {count} were answered {status}");
    }
    text + &marks(&report.marks)
}
