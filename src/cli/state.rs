//! `greenroom state`: a repository moves between a workflow's state and a server.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufReader, BufWriter};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::{Args, Subcommand};
use secrecy::ExposeSecret as _;
use serde::Serialize;

use super::{ExitStatus, Printer};
use crate::app::{self, StoreSettings, SystemClock};
use crate::model::{RepoId, RepoName, StateLocation};
use crate::port::Clock as _;
use crate::store::{self, MoveError, MovePlace, Moved};

/// Move a repository between a workflow's state, a server's database and a file.
///
/// What was deployed stays as it is: nothing is deployed anew, comments and deployments are gone on with.
#[derive(Debug, Args)]
#[command(
    disable_help_subcommand = true,
    after_help = "\
While a run or a server is at work on the repository nothing is moved. Afterwards only one of the two
may go on with it: remove the workflow, or the repository from the App's installation.

Examples:
  greenroom state export shop.state --state s3://greenroom-state-123456789012-eu-west-1 --number 774
  greenroom state import shop.state
  greenroom state export shop.state --repo acme/shop
  greenroom state import shop.state --state /var/lib/greenroom"
)]
pub(super) struct State {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    Export(Export),
    Import(Import),
}

/// Write a repository to a file; it stays where it is as well.
#[derive(Debug, Args)]
struct Export {
    /// The file, which must not be there yet.
    file: PathBuf,
    /// The repository, in a server's database.
    #[arg(long, value_name = "OWNER/NAME", required_unless_present = "state", conflicts_with = "state")]
    repo: Option<RepoName>,
    /// The state of a workflow: `s3://bucket/prefix`, or a folder.
    #[arg(long, value_name = "PLACE", requires = "number")]
    state: Option<StateLocation>,
    /// GitHub's number of the repository, as `gh api repos/OWNER/NAME --jq .id` tells it.
    #[arg(long, value_name = "NUMBER", requires = "state")]
    number: Option<u64>,
    #[command(flatten)]
    store: StoreSettings,
}

/// Put a repository from a file to where nothing newer and nothing else of it is.
#[derive(Debug, Args)]
struct Import {
    /// The file that `greenroom state export` wrote.
    file: PathBuf,
    /// The state of a workflow, in the place of a server's database: `s3://bucket/prefix`, or a folder.
    #[arg(long, value_name = "PLACE")]
    state: Option<StateLocation>,
    #[command(flatten)]
    store: StoreSettings,
}

/// What was moved.
#[derive(Debug, Serialize)]
struct Told {
    number: u64,
    repo: String,
    /// How many there are of what.
    rows: BTreeMap<String, usize>,
}

impl State {
    pub(super) async fn run(self, printer: &mut Printer) -> anyhow::Result<ExitStatus> {
        let (moved, words) = match self.what {
            What::Export(export) => (export.run().await?, "written to the file"),
            What::Import(import) => (import.run().await?, "put in"),
        };
        let rows = moved.counts().into_iter().map(|(table, rows)| (table.to_owned(), rows)).collect();
        let told = Told { number: moved.repository().0, repo: moved.key().to_owned(), rows };
        printer.result(&told, |told| {
            let count = |table: &str| told.rows.get(table).copied().unwrap_or_default();
            let (stages, deploys, entries) = (count("stage"), count("deploy"), count("audit"));
            let repo = &told.repo;
            format!("{repo} is {words}: {stages} stages, {deploys} deploys, {entries} entries of the audit")
        })?;
        Ok(ExitStatus::Ok)
    }
}

impl Export {
    async fn run(self) -> anyhow::Result<Moved> {
        let place = match (self.state, self.number) {
            (Some(location), Some(number)) => MovePlace::State(app::state_settings(location, RepoId(number)).await),
            _ => MovePlace::Database { url: app::existing(&self.store), repo: self.repo },
        };
        let moved = store::export(&place, SystemClock.now()).await.map_err(explained)?;
        write(&self.file, &moved).with_context(|| format!("cannot write {}", self.file.display()))?;
        Ok(moved)
    }
}

impl Import {
    async fn run(self) -> anyhow::Result<Moved> {
        let file = File::open(&self.file).with_context(|| format!("cannot read {}", self.file.display()))?;
        let moved = Moved::read(BufReader::new(file)).map_err(explained)?;
        let place = match self.state {
            Some(location) => MovePlace::State(app::state_settings(location, moved.repository()).await),
            None => MovePlace::Database { url: self.store.database_url.expose_secret().to_owned(), repo: None },
        };
        store::import(&place, &moved, SystemClock.now()).await.map_err(explained)?;
        Ok(moved)
    }
}

/// All of it or nothing, for its owner alone; a file that is there is left.
fn write(path: &Path, moved: &Moved) -> anyhow::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    moved.write(BufWriter::new(file.as_file_mut()))?;
    file.as_file().sync_all()?;
    file.persist_noclobber(path)?;
    Ok(())
}

fn explained(error: MoveError) -> anyhow::Error {
    match error {
        MoveError::NotThere(_) | MoveError::Newer(_) | MoveError::Unreadable(_) => {
            ExitStatus::Usage.error(error.to_string())
        }
        // How the command ends is told by the port's own error.
        MoveError::Port(error) => error.into(),
        other => other.into(),
    }
}
