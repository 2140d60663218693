//! Taking a repository out of a database, as it stands at one moment.

use std::collections::BTreeMap;

use sqlx::any::AnyRow;
use sqlx::{AnyConnection, AssertSqlSafe, Row as _, query, query as fixed};

use super::tables::{Kind, TABLES, Table, schema};
use super::{Cell, FORMAT, MoveError, Moved};
use crate::model::{RepoId, RepoName};

/// Which repository is meant.
#[derive(Debug, Clone)]
pub(super) enum Which {
    Number(RepoId),
    /// As GitHub calls it, or as it is known.
    Name(RepoName),
}

/// Reads inside the open transaction.
pub(super) async fn take_out(connection: &mut AnyConnection, which: &Which, now: i64) -> Result<Moved, MoveError> {
    let (number, key) = find(connection, which).await?;
    check_free(connection, &key, now).await?;
    let mut tables = BTreeMap::new();
    for table in &TABLES {
        let rows = rows(connection, table, &key, number).await?;
        tables.insert(table.name.to_owned(), rows);
    }
    let repository = u64::try_from(number).map_err(|_| MoveError::NotThere(number.to_string()))?;
    let version = env!("CARGO_PKG_VERSION").to_owned();
    Ok(Moved { format: FORMAT, schema: schema(), version, repository, key, tables })
}

async fn find(connection: &mut AnyConnection, which: &Which) -> Result<(i64, String), MoveError> {
    let (select, shown) = match which {
        Which::Number(number) => {
            let id = i64::try_from(number.0).unwrap_or_default();
            (fixed("SELECT id, key FROM repository WHERE id = $1").bind(id), number.0.to_string())
        }
        Which::Name(name) => {
            let by_name = "SELECT id, key FROM repository WHERE name = $1 OR (name IS NULL AND key = $1)";
            (fixed(by_name).bind(name.to_string()), name.to_string())
        }
    };
    let row = select.fetch_optional(connection).await?.ok_or(MoveError::NotThere(shown))?;
    Ok((row.try_get(0)?, row.try_get(1)?))
}

/// Sees that nobody is at work on it.
pub(super) async fn check_free(connection: &mut AnyConnection, key: &str, now: i64) -> Result<(), MoveError> {
    let held = fixed("SELECT key FROM lane WHERE party = $1 AND lease_until > $2 ORDER BY key").bind(key.to_owned());
    match held.bind(now).fetch_optional(connection).await? {
        Some(row) => Err(MoveError::Held(row.try_get(0)?)),
        None => Ok(()),
    }
}

/// What a table has of a repository.
pub(super) async fn rows(
    connection: &mut AnyConnection,
    table: &Table,
    key: &str,
    number: i64,
) -> Result<Vec<Vec<Cell>>, sqlx::Error> {
    let Table { name, own, order, .. } = table;
    let select = format!("SELECT {} FROM {name} WHERE {own} ORDER BY {order}", table.names());
    let rows = query(AssertSqlSafe(select)).bind(key.to_owned()).bind(number).fetch_all(connection).await?;
    rows.iter().map(|row| read(table, row)).collect()
}

fn read(table: &Table, row: &AnyRow) -> Result<Vec<Cell>, sqlx::Error> {
    let cell = |(place, (_, kind)): (usize, &(&str, Kind))| {
        Ok(match kind {
            Kind::Number => row.try_get::<Option<i64>, _>(place)?.map_or(Cell::Null, Cell::Number),
            Kind::Text => row.try_get::<Option<String>, _>(place)?.map_or(Cell::Null, Cell::Text),
            Kind::Bytes => {
                let bytes = row.try_get::<Option<Vec<u8>>, _>(place)?;
                bytes.map_or(Cell::Null, |bytes| Cell::Text(hex::encode(bytes)))
            }
        })
    };
    table.columns.iter().enumerate().map(cell).collect()
}
