//! Telling a delivery from a known one without writing two random pages for each: `SQLite`'s way.
//!
//! A unique index over ids would be hit at a random page by every delivery, and the log of `SQLite`
//! takes whole pages: it would cost more than everything else about a delivery together. So the
//! newest rows' keys are kept in memory, in order, and a cursor goes round through all keys: every
//! so often those in the next small range are moved into `known`, where they share a few pages.
//!
//! # Guarantees
//!
//! - A key only leads to a row; whether it is the same delivery is decided by comparing the row.
//! - The memory can be lost at any time: `known_until` says from which row on it must be read again,
//!   and it moves only once the cursor has gone round.
//! - Another process may write to the same file: its rows are seen by their numbers.
//! - After a transaction that was not committed the memory is to be dropped.

use std::collections::{BTreeSet, HashSet};
use std::ops::Bound;

use sha2::{Digest, Sha256};
use sqlx::{AnyConnection, Row, query as fixed};

use super::sql::{query, runs, values_in_order};
use super::write::DeliveryRow;
use crate::port::Receipt;

/// How many rows come in while the cursor goes round once: about a megabyte of memory.
pub(super) const ROUND: u32 = 16_384;

/// How many keys one statement asks about, and in which steps.
const ASKED: usize = 64;
const ASKED_STEP: usize = 16;
/// So many rows come in before keys are moved: one statement then moves many.
const MOVED_AFTER: usize = 64;

/// The key under which a delivery is looked for: by its id alone. Equal bodies are no sign of a repeat,
/// because GitHub says what happens twice in one second in the same words.
pub(super) fn key(id: &str) -> i64 {
    beginning(&Sha256::digest(id.as_bytes()))
}

/// The keys that a row may have in the table: versions before looked for its body as well.
fn keys_ever(id: &str, body_hash: &[u8]) -> [i64; 2] {
    [key(id), beginning(body_hash)]
}

fn beginning(digest: &[u8]) -> i64 {
    digest.first_chunk().map_or(0, |bytes| i64::from_be_bytes(*bytes))
}

/// The keys that are not in the table yet.
pub(super) struct Known {
    round: u32,
    /// Key and row, in order.
    fresh: BTreeSet<(i64, i64)>,
    /// The newest row that was seen.
    last: i64,
    /// Keys from here on are the next to be moved.
    cursor: i64,
    /// The newest row when the cursor last stood at the beginning.
    at_start: i64,
    /// Rows that came in since the cursor last moved.
    owed: usize,
}

impl Known {
    /// Reads what the table lacks; `round` is [`ROUND`] except in tests.
    pub(super) async fn read(connection: &mut AnyConnection, round: u32) -> Result<Self, sqlx::Error> {
        let until: i64 = fixed("SELECT seq FROM known_until").fetch_one(&mut *connection).await?.try_get(0)?;
        let mut known = Self { round, fresh: BTreeSet::new(), last: until, cursor: i64::MIN, at_start: until, owed: 0 };
        known.catch_up(connection).await?;
        known.at_start = known.last;
        Ok(known)
    }

    /// Reads the rows that came after the last one seen.
    async fn catch_up(&mut self, connection: &mut AnyConnection) -> Result<(), sqlx::Error> {
        let newer = fixed("SELECT seq, id FROM inbox WHERE seq > $1 ORDER BY seq").bind(self.last);
        for row in newer.fetch_all(connection).await? {
            let (seq, id): (i64, String) = (row.try_get(0)?, row.try_get(1)?);
            self.fresh.insert((key(&id), seq));
            self.last = seq;
        }
        Ok(())
    }

    /// Takes deliveries in, and says of each what became of it. The opening is put before the first
    /// statement.
    pub(super) async fn receive(
        &mut self,
        connection: &mut AnyConnection,
        opening: &'static str,
        deliveries: &[&DeliveryRow],
    ) -> Result<Vec<Receipt>, sqlx::Error> {
        let all: Vec<i64> = deliveries.iter().map(|delivery| delivery.key).collect();
        let stored: HashSet<i64> =
            self.stored(connection, opening, &all).await?.into_iter().map(|(key, _)| key).collect();
        let mut receipts = vec![Receipt::Accepted; deliveries.len()];
        let (mut new, mut doubtful, mut batch) = (Vec::new(), Vec::new(), HashSet::new());
        for (place, delivery) in deliveries.iter().enumerate() {
            let key = delivery.key;
            let is_known = !batch.insert(key) || stored.contains(&key) || self.is_fresh(key);
            if is_known { doubtful.push(place) } else { new.push(*delivery) }
        }
        self.insert(connection, &new).await?;
        for place in doubtful {
            receipts[place] = self.compare(connection, deliveries[place]).await?;
        }
        self.settle(connection, deliveries.len()).await?;
        Ok(receipts)
    }

    /// What the table says about some keys; sees on the way whether another process has written.
    async fn stored(
        &mut self,
        connection: &mut AnyConnection,
        mut opening: &'static str,
        keys: &[i64],
    ) -> Result<Vec<(i64, i64)>, sqlx::Error> {
        const ASK: &str = "SELECT NULL, MAX(seq) FROM inbox UNION ALL SELECT key, seq FROM known WHERE key IN";
        let mut found = Vec::new();
        for run in keys.chunks(ASKED) {
            // Asked twice, a key answers once: filled up, few statements serve every number of keys.
            let places = if run.len() <= 2 { 2 } else { run.len().next_multiple_of(ASKED_STEP) };
            let head = format!("{}{ASK}", std::mem::take(&mut opening));
            let mut select = query(values_in_order(&head, places, 1, ""));
            for key in run.iter().chain(run.last().into_iter().cycle()).take(places) {
                select = select.bind(*key);
            }
            for row in select.fetch_all(&mut *connection).await? {
                match (row.try_get(0)?, row.try_get(1)?) {
                    (Some(key), Some(seq)) => found.push((key, seq)),
                    (None, Some(newest)) if newest > self.last => self.catch_up(&mut *connection).await?,
                    (None::<i64>, _) | (_, None::<i64>) => {}
                }
            }
        }
        Ok(found)
    }

    fn fresh_rows(&self, key: i64) -> impl Iterator<Item = i64> {
        self.fresh.range((key, i64::MIN)..=(key, i64::MAX)).map(|(_, seq)| *seq)
    }

    fn is_fresh(&self, key: i64) -> bool {
        self.fresh_rows(key).next().is_some()
    }

    async fn insert(&mut self, connection: &mut AnyConnection, new: &[&DeliveryRow]) -> Result<(), sqlx::Error> {
        for run in runs(new) {
            let head = "INSERT INTO inbox (seq, id, body, lane, state, at, content, reason) VALUES";
            let mut insert = query(values_in_order(head, 8, run.len(), ""));
            for row in run {
                self.last += 1;
                self.fresh.insert((row.key, self.last));
                insert = insert.bind(self.last).bind(&row.id).bind(&row.body).bind(&row.lane).bind(row.state);
                insert = insert.bind(row.at).bind(&row.content).bind(row.reason.as_deref());
            }
            insert.execute(&mut *connection).await?;
        }
        Ok(())
    }

    /// Looks at every row that the key leads to.
    async fn compare(&mut self, connection: &mut AnyConnection, row: &DeliveryRow) -> Result<Receipt, sqlx::Error> {
        let mut seqs: BTreeSet<i64> =
            self.stored(connection, "", &[row.key]).await?.into_iter().map(|(_, seq)| seq).collect();
        seqs.extend(self.fresh_rows(row.key));
        for seq in seqs {
            let there = fixed("SELECT id FROM inbox WHERE seq = $1").bind(seq);
            let Some(there) = there.fetch_optional(&mut *connection).await? else { continue };
            if there.try_get::<String, _>(0)? == row.id {
                return super::inbox::take_again(connection, row, Some(seq)).await;
            }
        }
        self.insert(connection, &[row]).await?;
        Ok(Receipt::Accepted)
    }

    /// Moves the keys of the next range into the table, and the cursor behind them.
    async fn settle(&mut self, connection: &mut AnyConnection, rows: usize) -> Result<(), sqlx::Error> {
        self.owed += rows;
        if self.owed < MOVED_AFTER.min(self.round as usize) {
            return Ok(());
        }
        let rows = std::mem::take(&mut self.owed);
        let width = (u64::MAX / u64::from(self.round)).saturating_mul(rows as u64);
        let next = self.cursor.checked_add_unsigned(width);
        let end = next.map_or(Bound::Unbounded, |next| Bound::Excluded((next, i64::MIN)));
        let moved: Vec<(i64, i64)> =
            self.fresh.range((Bound::Included((self.cursor, i64::MIN)), end)).copied().collect();
        for run in runs(&moved) {
            let mut insert =
                query(values_in_order("INSERT INTO known (key, seq) VALUES", 2, run.len(), "ON CONFLICT DO NOTHING"));
            for entry in run {
                self.fresh.remove(entry);
                insert = insert.bind(entry.0).bind(entry.1);
            }
            insert.execute(&mut *connection).await?;
        }
        self.cursor = next.unwrap_or(i64::MIN);
        if next.is_none() {
            fixed("UPDATE known_until SET seq = $1 WHERE seq < $1").bind(self.at_start).execute(connection).await?;
            self.at_start = self.last;
        }
        Ok(())
    }

    /// Forgets the keys of rows that are removed.
    pub(super) async fn forget(
        &mut self,
        connection: &mut AnyConnection,
        rows: &[(i64, String, Vec<u8>)],
    ) -> Result<(), sqlx::Error> {
        let gone: Vec<(i64, i64)> =
            rows.iter().flat_map(|(seq, id, body)| keys_ever(id, body).map(|key| (key, *seq))).collect();
        for run in runs(&gone) {
            let mut delete = query(values_in_order("DELETE FROM known WHERE (key, seq) IN (VALUES", 2, run.len(), ")"));
            for entry in run {
                self.fresh.remove(entry);
                delete = delete.bind(entry.0).bind(entry.1);
            }
            delete.execute(&mut *connection).await?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use rand::{RngExt, SeedableRng, rngs::SmallRng};
    use sqlx::Connection;

    use super::super::{inbox, migrations, sql, sqlite};
    use super::*;

    fn delivery(id: u32, body: u32) -> DeliveryRow {
        let id = format!("d{id}");
        DeliveryRow {
            key: key(&id),
            id,
            body: Sha256::digest(body.to_be_bytes()).to_vec(),
            lane: "repo:acme/shop".to_owned(),
            state: inbox::RECEIVED,
            at: 0,
            content: String::new(),
            reason: None,
        }
    }

    /// What the inbox holds, told by looking at every row: by its id, whether it is done.
    #[derive(Default)]
    struct Plain(BTreeMap<u32, bool>);

    impl Plain {
        fn receive(&mut self, id: u32) -> Receipt {
            if *self.0.entry(id).or_default() { Receipt::Duplicate } else { Receipt::Accepted }
        }
    }

    /// Two writers on one file, batches of all sizes, restarts, rollbacks and removals in any
    /// order: every answer is that of a plain search by id, whatever bodies are equal.
    #[tokio::test]
    async fn every_answer_is_that_of_a_plain_search() {
        sqlx::any::install_default_drivers();
        let folder = tempfile::tempdir().unwrap();
        let options = sqlite::options(&format!("sqlite://{}/known.db", folder.path().display())).unwrap();
        let mut connection = sql::connect(&options, sqlite::DIALECT.on_write).await.unwrap();
        migrations::migrator(sqlite::DIALECT.migrations).run(&mut connection).await.unwrap();
        let mut random = SmallRng::seed_from_u64(7);
        let mut writers = [None, None];
        let (mut plain, mut duplicates, mut moved) = (Plain::default(), 0, 0);
        for step in 0..600_u32 {
            let known = &mut writers[random.random_range(0..2)];
            let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await.unwrap();
            if known.is_none() || random.random_ratio(1, 20) {
                *known = Some(Known::read(&mut transaction, 40).await.unwrap());
            }
            let writer = known.as_mut().unwrap();
            let span = 20 + step;
            let sent: Vec<u32> = (0..random.random_range(1..12)).map(|_| random.random_range(0..span)).collect();
            let rows: Vec<DeliveryRow> = sent.iter().map(|id| delivery(*id, random.random_range(0..5))).collect();
            let receipts = writer.receive(&mut transaction, "", &rows.iter().collect::<Vec<_>>()).await.unwrap();
            if random.random_ratio(1, 10) {
                *known = None;
                transaction.rollback().await.unwrap();
                continue;
            }
            for (id, receipt) in sent.iter().zip(receipts) {
                assert_eq!(receipt, plain.receive(*id), "step {step}: {id} of {sent:?}");
                duplicates += u32::from(receipt == Receipt::Duplicate);
            }
            if random.random_ratio(1, 10) {
                fixed("UPDATE inbox SET state = 1 WHERE seq % 3 = 0").execute(&mut *transaction).await.unwrap();
                for row in fixed("SELECT id FROM inbox WHERE state = 1").fetch_all(&mut *transaction).await.unwrap() {
                    let id: String = row.get(0);
                    plain.0.insert(id[1..].parse().unwrap(), true);
                }
            }
            if random.random_ratio(1, 30) {
                let last: i64 = fixed("SELECT MAX(seq) FROM inbox").fetch_one(&mut *transaction).await.unwrap().get(0);
                let gone = inbox::handled(&mut transaction, last, 50).await.unwrap();
                writer.forget(&mut transaction, &gone).await.unwrap();
                inbox::remove(&mut transaction, &gone.iter().map(|row| row.0).collect::<Vec<_>>()).await.unwrap();
                plain.0.retain(|own, _| gone.iter().all(|(_, id, _)| *id != format!("d{own}")));
            }
            let rows: i64 = fixed("SELECT COUNT(*) FROM inbox").fetch_one(&mut *transaction).await.unwrap().get(0);
            assert_eq!(usize::try_from(rows), Ok(plain.0.len()), "step {step}: each is there once");
            transaction.commit().await.unwrap();
            moved = fixed("SELECT COUNT(*) FROM known").fetch_one(&mut connection).await.unwrap().get(0);
        }
        let until: i64 = fixed("SELECT seq FROM known_until").fetch_one(&mut connection).await.unwrap().get(0);
        assert!(
            duplicates > 100 && moved > 100 && until > 100,
            "{duplicates} duplicates, {moved} moved, until {until}"
        );
        let left = writers.iter().flatten().map(|writer| writer.fresh.len()).max();
        assert!(left < Some(4 * 40 + 100), "the memory stays small: {left:?} keys");
    }
}
