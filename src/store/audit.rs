//! The audit: written as a chain by the lane of its repository, read, and followed again.
//!
//! The lane's row is locked while a transaction writes here, and its fence was checked, so two
//! servers cannot both continue from the same entry.

use sqlx::any::AnyRow;
use sqlx::{AnyConnection, Row, query as fixed};

use super::readers::Readers;
use super::receipt;
use super::row::{column, parsed};
use super::sql::{fault, query, runs, values};
use crate::model::{AuditCheck, AuditEntry, AuditLine, AuditLink, AuditVerdict, RepoName, Timestamp};
use crate::port::PortResult;

/// How many entries are followed at a time.
const PAGE: i64 = 1000;
/// So many of the newest receipts are asked what they noted.
const NOTED: u32 = 10_000;

/// Adds entries of one repository inside the open transaction.
pub(super) async fn append(connection: &mut AnyConnection, entries: &[AuditEntry]) -> Result<(), sqlx::Error> {
    let Some(AuditEntry { repo, .. }) = entries.first() else { return Ok(()) };
    let mut end = end_to_continue(connection, repo).await?;
    for run in runs(entries) {
        let head = "INSERT INTO audit (at, repo, actor, action, subject, details, number, hash) VALUES";
        let mut insert = query(values(head, 8, run.len(), ""));
        for entry in run {
            end = end.next(entry);
            insert = insert.bind(entry.at.0).bind(entry.repo.as_str()).bind(&entry.actor).bind(&entry.action);
            insert = insert.bind(&entry.subject).bind(&entry.details).bind(end.number).bind(end.hash.clone());
        }
        insert.execute(&mut *connection).await?;
    }
    let record = fixed(
        "INSERT INTO audit_end (repo, number, hash) VALUES ($1, $2, $3) \
         ON CONFLICT (repo) DO UPDATE SET number = excluded.number, hash = excluded.hash",
    );
    record.bind(repo.as_str()).bind(end.number).bind(end.hash).execute(connection).await.map(drop)
}

/// The end of the chain; at its start, what an older version wrote is taken in first.
async fn end_to_continue(connection: &mut AnyConnection, repo: &RepoName) -> Result<AuditLink, sqlx::Error> {
    let end = fixed("SELECT number, hash FROM audit_end WHERE repo = $1").bind(repo.as_str());
    if let Some(row) = end.fetch_optional(&mut *connection).await? {
        return Ok(AuditLink { number: row.try_get(0)?, hash: row.try_get(1)? });
    }
    let mut link = AuditLink::start(repo);
    let newest = fixed("SELECT MAX(number) FROM audit WHERE repo = $1").bind(repo.as_str());
    if let Some(number) = newest.fetch_one(&mut *connection).await?.try_get::<Option<i64>, _>(0)? {
        // Somebody removed the record of the end. Work goes on, but what comes next follows from
        // nothing: that cannot be covered up by waiting.
        link.number = number;
        return Ok(link);
    }
    let older = fixed("SELECT id, at, actor, action, subject, details FROM audit WHERE repo = $1 ORDER BY id");
    for row in older.bind(repo.as_str()).fetch_all(&mut *connection).await? {
        link = link.next(&AuditEntry {
            at: Timestamp(row.try_get(1)?),
            repo: repo.clone(),
            actor: row.try_get(2)?,
            action: row.try_get(3)?,
            subject: row.try_get(4)?,
            details: row.try_get(5)?,
        });
        let update = fixed("UPDATE audit SET number = $1, hash = $2 WHERE id = $3");
        let update = update.bind(link.number).bind(link.hash.clone()).bind(row.try_get::<i64, _>(0)?);
        update.execute(&mut *connection).await?;
    }
    Ok(link)
}

fn line(row: &AnyRow) -> PortResult<AuditLine> {
    let (number, hash) = (column::<Option<i64>>(row, 1)?, column::<Option<String>>(row, 2)?);
    Ok(AuditLine {
        link: number.zip(hash).map(|(number, hash)| AuditLink { number, hash }),
        entry: AuditEntry {
            at: Timestamp(column(row, 3)?),
            repo: parsed(row, 4)?,
            actor: column(row, 5)?,
            action: column(row, 6)?,
            subject: column(row, 7)?,
            details: column(row, 8)?,
        },
    })
}

/// The newest first; without a repository those of all, without a subject those about anything.
pub(super) async fn newest(
    readers: &Readers,
    repo: Option<&RepoName>,
    subject: Option<&str>,
    limit: u32,
) -> PortResult<Vec<AuditLine>> {
    let newest = fixed(
        "SELECT id, number, hash, at, repo, actor, action, subject, details FROM audit \
         WHERE ($1 = '' OR repo = $1) AND ($2 = '' OR subject = $2) ORDER BY id DESC LIMIT $3",
    );
    let newest = newest.bind(repo.map_or_else(String::new, ToString::to_string));
    let newest = newest.bind(subject.unwrap_or_default().to_owned()).bind(i64::from(limit));
    let rows = readers.all(newest).await.map_err(|error| fault("the audit", error))?;
    rows.iter().map(line).collect()
}

/// The repositories of which something is recorded.
pub(super) async fn repos(readers: &Readers) -> PortResult<Vec<RepoName>> {
    // A receipt is of a comment that is on record: one without a record is a record that was removed.
    let repos =
        fixed("SELECT repo FROM audit UNION SELECT repo FROM audit_end UNION SELECT repo FROM receipt ORDER BY repo");
    let rows = readers.all(repos).await.map_err(|error| fault("the audited repositories", error))?;
    rows.iter().map(|row| parsed(row, 0)).collect()
}

/// Follows the whole chain of a repository.
pub(super) async fn verify(readers: &Readers, repo: &RepoName) -> PortResult<AuditVerdict> {
    loop {
        let noted = receipt::newest(readers, repo, NOTED).await?.into_iter().filter_map(|receipt| receipt.audit);
        let (before, cut) = (head(readers, repo).await?, cut(readers, repo).await?);
        let check = AuditCheck::new(repo, before.clone()).cut_at(cut.clone()).with_noted(noted);
        let check = follow(readers, repo, check).await?;
        let after = head(readers, repo).await?;
        // A chain that began in between took in entries that were read before as not chained; of one that was
        // cut in between, entries went that were still to be read.
        if (before.is_some() || after.is_none()) && cut == self::cut(readers, repo).await? {
            return Ok(check.verdict(after.as_ref()));
        }
    }
}

async fn follow(readers: &Readers, repo: &RepoName, mut check: AuditCheck) -> PortResult<AuditCheck> {
    let mut after = i64::MIN;
    loop {
        let page = fixed(
            "SELECT id, number, hash, at, repo, actor, action, subject, details FROM audit \
             WHERE repo = $1 AND id > $2 ORDER BY id LIMIT $3",
        );
        let page = page.bind(repo.to_string()).bind(after).bind(PAGE);
        let rows = readers.all(page).await.map_err(|error| fault("the audit", error))?;
        let Some(last) = rows.last() else { return Ok(check) };
        after = column(last, 0)?;
        for row in &rows {
            check.take(&line(row)?);
        }
    }
}

/// Where a chain was cut.
async fn cut(readers: &Readers, repo: &RepoName) -> PortResult<Option<AuditLink>> {
    let cut = fixed("SELECT number, hash FROM audit_cut WHERE repo = $1").bind(repo.to_string());
    let row = readers.optional(cut).await.map_err(|error| fault("where the audit was cut", error))?;
    row.map(|row| Ok(AuditLink { number: column(&row, 0)?, hash: column(&row, 1)? })).transpose()
}

/// The recorded end of a chain.
pub(super) async fn head(readers: &Readers, repo: &RepoName) -> PortResult<Option<AuditLink>> {
    let end = fixed("SELECT number, hash FROM audit_end WHERE repo = $1").bind(repo.to_string());
    let row = readers.optional(end).await.map_err(|error| fault("the end of the audit", error))?;
    row.map(|row| Ok(AuditLink { number: column(&row, 0)?, hash: column(&row, 1)? })).transpose()
}

/// The entry with this hash.
pub(super) async fn place(readers: &Readers, hash: &str) -> PortResult<Option<(RepoName, i64)>> {
    let place = fixed("SELECT repo, number FROM audit WHERE hash = $1 ORDER BY id LIMIT 1").bind(hash.to_owned());
    let row = readers.optional(place).await.map_err(|error| fault("the audit", error))?;
    row.map(|row| Ok((parsed(&row, 0)?, column(&row, 1)?))).transpose()
}
