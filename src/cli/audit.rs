//! `greenroom audit`: who asked for what, and whether that record is whole.

use anyhow::Context as _;
use clap::{Args, Subcommand};
use serde::Serialize;
use serde_json::Value;

use super::stage::only_of;
use super::{ExitStatus, Printer};
use crate::app::{self, StoreSettings};
use crate::model::{AuditLine, AuditLink, AuditVerdict, RepoName, StageName, Tampering, Timestamp};
use crate::port::Store;

/// Show who asked for what, newest first.
#[derive(Debug, Args)]
#[command(
    args_conflicts_with_subcommands = true,
    disable_help_subcommand = true,
    after_help = "\
With --json come the details of each entry and its whole hash.

Examples:
  greenroom audit
  greenroom audit --repo acme/shop --stage pr-42 --limit 20
  greenroom audit verify
  greenroom --json audit --limit 1000 | jq -r '.[] | select(.action == \"refuse\") | .actor'"
)]
pub(super) struct Audit {
    #[command(subcommand)]
    what: Option<What>,
    /// Only that of this repository.
    #[arg(long, value_name = "OWNER/NAME")]
    repo: Option<RepoName>,
    /// Only what is about a stage of this name.
    #[arg(long, value_name = "STAGE")]
    stage: Option<StageName>,
    /// At most so many entries.
    #[arg(long, value_name = "NUMBER", default_value_t = 50)]
    limit: u32,
    #[command(flatten)]
    store: StoreSettings,
}

#[derive(Debug, Subcommand)]
enum What {
    Verify(Verify),
}

/// See whether an entry was changed, removed, added or moved by hand.
///
/// Each entry's hash covers the one before it. The last one is noted with every answer to a command, and
/// told by the server when it starts and stops: given here, it shows that the record was neither cut
/// nor made anew as a whole. The exit code is 1 when something is wrong.
#[derive(Debug, Args)]
struct Verify {
    /// Only that of this repository.
    #[arg(long, value_name = "OWNER/NAME")]
    repo: Option<RepoName>,
    /// A hash that was noted elsewhere, of which the record has to hold the entry; several if given
    /// several times.
    #[arg(long, value_name = "HASH")]
    head: Vec<String>,
    #[command(flatten)]
    store: StoreSettings,
}

/// An entry as `--json` prints it.
#[derive(Debug, Serialize)]
struct Shown {
    number: Option<i64>,
    at: Timestamp,
    repo: RepoName,
    actor: String,
    action: String,
    subject: String,
    details: Value,
    hash: Option<String>,
}

impl From<AuditLine> for Shown {
    fn from(line: AuditLine) -> Self {
        let AuditLine { link, entry } = line;
        let details = serde_json::from_str(&entry.details).unwrap_or(Value::String(entry.details));
        let (number, hash) = link.map(|link| (link.number, link.hash)).unzip();
        Self {
            number,
            at: entry.at,
            repo: entry.repo,
            actor: entry.actor,
            action: entry.action,
            subject: entry.subject,
            details,
            hash,
        }
    }
}

impl Audit {
    pub(super) async fn run(self, printer: &mut Printer) -> anyhow::Result<ExitStatus> {
        if let Some(What::Verify(verify)) = self.what {
            return verify.run(printer).await;
        }
        let store = app::open_existing_store(&self.store).await?;
        let repo = only_of(store.as_ref(), self.repo.as_ref()).await?;
        let stage = self.stage.as_ref().map(StageName::as_str);
        let lines = store.audit(repo.as_ref(), stage, self.limit).await.context("cannot read the audit")?;
        let shown: Vec<Shown> = lines.into_iter().map(Shown::from).collect();
        printer.result(&shown, |shown| table(shown))?;
        Ok(ExitStatus::Ok)
    }
}

impl Verify {
    async fn run(self, printer: &mut Printer) -> anyhow::Result<ExitStatus> {
        let store = app::open_existing_store(&self.store).await?;
        let repos = match only_of(store.as_ref(), self.repo.as_ref()).await? {
            Some(repo) => vec![repo],
            None => store.audited().await.context("cannot read the audit")?,
        };
        let mut verdicts = Vec::new();
        for repo in repos {
            let verdict = store.verify_audit(&repo).await;
            verdicts.push(verdict.with_context(|| format!("cannot read the audit of {repo}"))?);
        }
        printer.result(&verdicts, |verdicts| findings(verdicts))?;
        let mut is_whole = verdicts.iter().all(|verdict| verdict.first_bad.is_none());
        for head in &self.head {
            let place = store.audit_place(&head.to_lowercase()).await.context("cannot read the audit")?;
            if !place.is_some_and(|(repo, number)| holds(&verdicts, &repo, number)) {
                printer
                    .note(&format!("no entry has the hash {head}: what it was noted of was cut off or made anew"))?;
                is_whole = false;
            }
        }
        Ok(if is_whole { ExitStatus::Ok } else { ExitStatus::Failed })
    }
}

/// Whether the entry stands in a part of its chain that is whole.
fn holds(verdicts: &[AuditVerdict], repo: &RepoName, number: i64) -> bool {
    let verdict = verdicts.iter().find(|verdict| verdict.repo == *repo);
    verdict.is_some_and(|verdict| verdict.first_bad.is_none_or(|bad| number < bad.number))
}

/// Where the record of each repository ends, to be kept elsewhere: `audit of acme/shop: 12 entries, <hash>`.
pub(super) async fn ends(store: &dyn Store) -> anyhow::Result<Vec<String>> {
    let mut ends = Vec::new();
    for repo in store.audited().await.context("cannot read the audit")? {
        let end = store.audit_head(&repo).await.context("cannot read the audit")?;
        ends.extend(end.map(|AuditLink { number, hash }| format!("audit of {repo}: {number} entries, {hash}")));
    }
    Ok(ends)
}

fn table(shown: &[Shown]) -> String {
    if shown.is_empty() {
        return "nothing is recorded".to_owned();
    }
    let head = ["TIME", "NUMBER", "WHO", "WHAT", "STAGE"].map(str::to_owned);
    let row = |line: &Shown| {
        let number = line.number.map_or_else(|| "-".to_owned(), |number| number.to_string());
        let subject = format!("{}/{}", line.repo, line.subject);
        [line.at.to_string(), number, plain(&line.actor), plain(&line.action), plain(&subject)]
    };
    let rows: Vec<[String; 5]> = std::iter::once(head).chain(shown.iter().map(row)).collect();
    let widths: [usize; 5] =
        std::array::from_fn(|column| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0));
    let line = |row: &[String; 5]| {
        let padded: Vec<String> = row.iter().zip(widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        padded.join("  ").trim_end().to_owned()
    };
    rows.iter().map(line).collect::<Vec<_>>().join("\n")
}

/// Words from outside, without what would steer a terminal.
fn plain(text: &str) -> String {
    text.chars().map(|letter| if letter.is_control() { '\u{fffd}' } else { letter }).collect()
}

fn findings(verdicts: &[AuditVerdict]) -> String {
    if verdicts.is_empty() {
        return "nothing is recorded".to_owned();
    }
    verdicts.iter().map(finding).collect::<Vec<_>>().join("\n")
}

fn finding(verdict: &AuditVerdict) -> String {
    let AuditVerdict { repo, entries, before_chain, cut, last, first_bad } = verdict;
    if let Some(bad) = first_bad {
        let what = match bad.what {
            Tampering::Changed => "was changed, or does not follow from the one before it",
            Tampering::Missing => "is missing",
            Tampering::Added => "was added or moved by hand",
            Tampering::Unended => "is the last, and the record of the end is missing",
        };
        return format!("{repo}: entry {} {what}", bad.number);
    }
    match last {
        Some(last) if *cut > 0 => format!(
            "{repo}: the {cut} oldest entries were cut off; all {entries} entries follow one from the other and from \
             them; the last hash is {}",
            last.hash
        ),
        Some(last) => {
            format!("{repo}: all {entries} entries follow one from the other; the last hash is {}", last.hash)
        }
        None if *before_chain > 0 => {
            format!("{repo}: {before_chain} entries from before there was a chain; the next entry takes them in")
        }
        None => format!("{repo}: nothing is recorded"),
    }
}
