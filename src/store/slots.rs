//! Leased numbers: the lowest free one of a pool, one for each holder.

use std::collections::BTreeSet;

use async_trait::async_trait;
use sqlx::{AnyConnection, Row, query as fixed};

use super::SqlStore;
use super::readers::Readers;
use super::row::column;
use super::sql::fault;
use super::write::{Answer, Write};
use crate::port::{PortError, PortResult, Slots};

/// Takes a number inside the open transaction.
///
/// Another server may take the same one in the same moment: then nothing is inserted, and what it
/// has committed by now is seen by the next look.
pub(super) async fn take(
    connection: &mut AnyConnection,
    pool: &str,
    holder: &str,
    avoid: &BTreeSet<u32>,
    last: u32,
) -> Result<Option<u32>, sqlx::Error> {
    loop {
        let rows = fixed("SELECT number, holder FROM slot WHERE pool = $1").bind(pool.to_owned());
        let mut taken = BTreeSet::new();
        for row in rows.fetch_all(&mut *connection).await? {
            let number = u32::try_from(row.try_get::<i64, _>(0)?).unwrap_or(u32::MAX);
            if row.try_get::<String, _>(1)? == holder {
                return Ok(Some(number));
            }
            taken.insert(number);
        }
        let Some(free) = (1..=last).find(|number| !taken.contains(number) && !avoid.contains(number)) else {
            return Ok(None);
        };
        let insert = fixed("INSERT INTO slot (pool, number, holder) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING");
        let insert = insert.bind(pool.to_owned()).bind(i64::from(free)).bind(holder.to_owned());
        if insert.execute(&mut *connection).await?.rows_affected() == 1 {
            return Ok(Some(free));
        }
    }
}

/// Frees a number inside the open transaction.
pub(super) async fn free(connection: &mut AnyConnection, pool: &str, holder: &str) -> Result<(), sqlx::Error> {
    let delete = fixed("DELETE FROM slot WHERE pool = $1 AND holder = $2");
    delete.bind(pool.to_owned()).bind(holder.to_owned()).execute(connection).await.map(drop)
}

async fn list(readers: &Readers, name: &str) -> PortResult<Vec<(u32, String)>> {
    let rows = fixed("SELECT number, holder FROM slot WHERE pool = $1 ORDER BY number").bind(name.to_owned());
    let rows = readers.all(rows).await.map_err(|error| fault("slots", error))?;
    rows.iter().map(|row| Ok((u32::try_from(column::<i64>(row, 0)?).unwrap_or(u32::MAX), column(row, 1)?))).collect()
}

#[async_trait]
impl Slots for SqlStore {
    async fn take_slot(&self, pool: &str, holder: &str, avoid: &BTreeSet<u32>, last: u32) -> PortResult<Option<u32>> {
        let write = Write::TakeSlot { pool: pool.into(), holder: holder.into(), avoid: avoid.clone(), last };
        match self.writer.write(write).await? {
            Answer::Slot(number) => Ok(number),
            other => Err(PortError::Bug { context: format!("the writer answered {other:?} to a slot"), source: None }),
        }
    }

    async fn free_slot(&self, pool: &str, holder: &str) -> PortResult<()> {
        self.writer.write(Write::FreeSlot { pool: pool.into(), holder: holder.into() }).await.map(drop)
    }

    async fn slots(&self, pool: &str) -> PortResult<Vec<(u32, String)>> {
        list(&self.readers, pool).await
    }
}
