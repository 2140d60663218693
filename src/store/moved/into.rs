//! Putting a repository into a database that may have an earlier moment of it, and others.

use std::collections::BTreeMap;

use sqlx::{AnyConnection, AssertSqlSafe, Executor as _, Row as _, query, query as fixed};

use super::out::{check_free, rows};
use super::tables::{Counted, Kind, TABLES, Table, cell};
use super::{Cell, MoveError, Moved};
use crate::store::Dialect;

/// By how much the numbers of a table rise.
type Shifts = BTreeMap<&'static str, i64>;

/// Writes inside the open transaction.
pub(super) async fn put_in(
    connection: &mut AnyConnection,
    dialect: &Dialect,
    moved: &Moved,
    now: i64,
) -> Result<(), MoveError> {
    let number = i64::try_from(moved.repository).map_err(|_| MoveError::Unreadable("its number".to_owned()))?;
    if !dialect.counters.lock.is_empty() {
        connection.execute(dialect.counters.lock).await?;
    }
    check_name(connection, moved, number).await?;
    check_free(connection, &moved.key, now).await?;
    check_hosts(connection, moved).await?;
    let fences = check_history(connection, moved, number).await?;
    let shifts = shifts(connection, dialect, moved).await?;
    for table in TABLES.iter().rev().filter(|table| table.name != "account") {
        let delete = format!("DELETE FROM {} WHERE {}", table.name, table.own);
        query(AssertSqlSafe(delete)).bind(moved.key.clone()).bind(number).execute(&mut *connection).await?;
    }
    for table in &TABLES {
        for row in moved.rows(table.name) {
            let row = renewed(table, row, &shifts, &fences);
            insert(connection, dialect, table, row).await?;
        }
    }
    Ok(())
}

async fn check_name(connection: &mut AnyConnection, moved: &Moved, number: i64) -> Result<(), MoveError> {
    let known = fixed("SELECT id, key FROM repository WHERE id = $1 OR key = $2").bind(number).bind(moved.key.clone());
    for row in known.fetch_all(connection).await? {
        let (id, there): (i64, String) = (row.try_get(0)?, row.try_get(1)?);
        if id != number {
            return Err(MoveError::KeyTaken(there));
        }
        if there != moved.key {
            return Err(MoveError::OtherKey { number: moved.repository, there, file: moved.key.clone() });
        }
    }
    Ok(())
}

async fn check_hosts(connection: &mut AnyConnection, moved: &Moved) -> Result<(), MoveError> {
    for row in moved.rows("host") {
        let Some(host) = cell("host", "host", row).and_then(Cell::text) else { continue };
        let owner = fixed("SELECT stage FROM host WHERE host = $1").bind(host.to_owned());
        let Some(owner) = owner.fetch_optional(&mut *connection).await? else { continue };
        let stage: String = owner.try_get(0)?;
        if stage.rsplit_once('/').map(|(repo, _)| repo) != Some(moved.key.as_str()) {
            return Err(MoveError::HostTaken { host: host.to_owned(), stage });
        }
    }
    Ok(())
}

/// Whether what is there is an earlier moment of the same history; answers its fences.
///
/// Every goal is an entry of the audit, whose hash covers all entries before it. Between two entries work
/// raises fences.
async fn check_history(
    connection: &mut AnyConnection,
    moved: &Moved,
    number: i64,
) -> Result<BTreeMap<String, i64>, MoveError> {
    let mut there = BTreeMap::new();
    for table in TABLES.iter().filter(|table| ["audit_end", "audit", "stage", "lane"].contains(&table.name)) {
        there.insert(table.name, rows(connection, table, &moved.key, number).await?);
    }
    let of = |name: &str| there.get(name).map_or(&[][..], Vec::as_slice);
    let links = |table: &'static str, rows: &[Vec<Cell>]| -> Vec<(Option<Cell>, Option<Cell>)> {
        rows.iter().map(|row| (cell(table, "number", row).cloned(), cell(table, "hash", row).cloned())).collect()
    };
    let (ours, theirs) = (links("audit_end", of("audit_end")), links("audit_end", moved.rows("audit_end")));
    if let Some(end) = ours.first()
        && !theirs.contains(end)
        && !links("audit", moved.rows("audit")).contains(end)
    {
        let is_ahead = theirs.first().is_none_or(|end| links("audit", of("audit")).contains(end));
        return Err(if is_ahead { MoveError::Ahead("its audit goes on".to_owned()) } else { MoveError::Another });
    }
    let goals = values("stage", "name", "generation", moved.rows("stage"));
    for (name, generation) in values("stage", "name", "generation", of("stage")) {
        if goals.get(&name).is_none_or(|goal| *goal < generation) {
            return Err(MoveError::Ahead(format!("the goal of {name}")));
        }
    }
    let fences = values("lane", "key", "fence", of("lane"));
    let newer = values("lane", "key", "fence", moved.rows("lane"));
    for (lane, fence) in &fences {
        if *fence > newer.get(lane).copied().unwrap_or_default() {
            return Err(MoveError::Ahead(format!("the work on {lane}")));
        }
    }
    Ok(fences)
}

fn values(table: &str, name: &str, value: &str, rows: &[Vec<Cell>]) -> BTreeMap<String, i64> {
    let pair = |row: &Vec<Cell>| {
        Some((cell(table, name, row)?.text()?.to_owned(), cell(table, value, row).and_then(Cell::number)?))
    };
    rows.iter().filter_map(pair).collect()
}

/// Sees that every number that comes is above every one that was given there.
async fn shifts(connection: &mut AnyConnection, dialect: &Dialect, moved: &Moved) -> Result<Shifts, sqlx::Error> {
    let mut shifts = Shifts::new();
    for table in TABLES.iter().filter(|table| table.counted == Counted::Yes) {
        let numbers = moved.rows(table.name).iter().filter_map(|row| row.first()?.number());
        let (least, most) = numbers.fold((i64::MAX, 0), |(least, most), number| (least.min(number), most.max(number)));
        let column = table.columns[0].0;
        let given = (dialect.counters.last)(table.name, column);
        let given: i64 = query(AssertSqlSafe(given)).fetch_one(&mut *connection).await?.try_get(0)?;
        let shift = if least == i64::MAX { 0 } else { given.saturating_add(1).saturating_sub(least).max(0) };
        if let Some(set) = (dialect.counters.set)(table.name, column, most.saturating_add(shift).max(given)) {
            connection.execute(AssertSqlSafe(set)).await?;
        }
        shifts.insert(table.name, shift);
    }
    Ok(shifts)
}

/// A row as it is written: numbers risen, and no lane held.
fn renewed(table: &Table, row: &[Cell], shifts: &Shifts, fences: &BTreeMap<String, i64>) -> Vec<Cell> {
    let mut row = row.to_vec();
    let shift = |name: &str| shifts.get(name).copied().unwrap_or_default();
    let deploys = shift("deploy");
    let rise = |cell: &mut Cell, by: i64| {
        if let Cell::Number(number) = cell {
            *number = number.saturating_add(by);
        }
    };
    match table.counted {
        Counted::Yes => rise(&mut row[0], shift(table.name)),
        Counted::ByDeploy => rise(&mut row[0], deploys),
        Counted::No => {}
    }
    match table.name {
        "lane" => {
            let there = row[0].text().and_then(|lane| fences.get(lane)).copied().unwrap_or_default();
            let own = row[table.place("fence")].number().unwrap_or_default();
            // Whoever still believes to hold it, here or there, writes nothing any more.
            row[table.place("fence")] = Cell::Number(own.max(there).saturating_add(1));
            row[table.place("lease_until")] = Cell::Number(0);
        }
        "release" if deploys != 0 => {
            let content = &mut row[table.place("content")];
            if let Some(text) = content.text().and_then(|text| with_deploy(text, deploys)) {
                *content = Cell::Text(text);
            }
        }
        "surface"
            if deploys != 0 && row[table.place("kind")].text().is_some_and(|kind| kind.starts_with("deployment")) =>
        {
            for (column, apart) in [("key", '-'), ("hash", ' ')] {
                let cell = &mut row[table.place(column)];
                if let Some(text) = cell.text().and_then(|text| later(text, apart, deploys)) {
                    *cell = Cell::Text(text);
                }
            }
        }
        _ => {}
    }
    row
}

/// A release names its deploy.
fn with_deploy(release: &str, by: i64) -> Option<String> {
    let mut release: serde_json::Value = serde_json::from_str(release).ok()?;
    let deploy = release.get("deploy")?.as_i64()?;
    release["deploy"] = deploy.saturating_add(by).into();
    Some(release.to_string())
}

/// `7-42`, a generation and a deploy; or `removed at 42`.
fn later(text: &str, apart: char, by: i64) -> Option<String> {
    let (before, deploy) = text.rsplit_once(apart)?;
    Some(format!("{before}{apart}{}", deploy.parse::<i64>().ok()?.saturating_add(by)))
}

async fn insert(
    connection: &mut AnyConnection,
    dialect: &Dialect,
    table: &Table,
    row: Vec<Cell>,
) -> Result<(), MoveError> {
    match table.name {
        "inbox" if is_there(connection, "SELECT 1 FROM inbox WHERE id = $1", &row[1..2]).await? => return Ok(()),
        // A number that another has by now is leased anew.
        "slot" if is_there(connection, "SELECT 1 FROM slot WHERE pool = $1 AND number = $2", &row[..2]).await? => {
            return Ok(());
        }
        _ => {}
    }
    let mut row = row;
    if table.name == "repository"
        && is_there(connection, "SELECT 1 FROM repository WHERE name = $1", &row[2..3]).await?
    {
        // GitHub is asked whose it is, before anything more is done under it.
        row[4] = std::mem::replace(&mut row[2], Cell::Null);
    }
    let places: Vec<String> = (1..=row.len()).map(|place| format!("${place}")).collect();
    let over = if table.counted == Counted::Yes { dialect.counters.given } else { "" };
    let tail = if table.name == "account" { " ON CONFLICT DO NOTHING" } else { "" };
    let insert = format!("INSERT INTO {} ({}){over} VALUES ({}){tail}", table.name, table.names(), places.join(", "));
    let mut insert = query(AssertSqlSafe(insert));
    for (cell, (_, kind)) in row.into_iter().zip(table.columns) {
        insert = match (cell, kind) {
            (Cell::Number(number), _) => insert.bind(number),
            (Cell::Text(text), Kind::Bytes) => {
                insert.bind(hex::decode(text).map_err(|error| MoveError::Unreadable(error.to_string()))?)
            }
            (Cell::Text(text), _) => insert.bind(text),
            (Cell::Null, Kind::Number) => insert.bind(None::<i64>),
            (Cell::Null, Kind::Text) => insert.bind(None::<String>),
            (Cell::Null, Kind::Bytes) => insert.bind(None::<Vec<u8>>),
        };
    }
    insert.execute(connection).await?;
    Ok(())
}

async fn is_there(connection: &mut AnyConnection, select: &'static str, values: &[Cell]) -> Result<bool, sqlx::Error> {
    let mut select = fixed(select);
    for value in values {
        select = match value {
            Cell::Number(number) => select.bind(*number),
            Cell::Text(text) => select.bind(text.clone()),
            Cell::Null => return Ok(false),
        };
    }
    Ok(select.fetch_optional(connection).await?.is_some())
}
