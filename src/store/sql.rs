//! Connections, statements over many rows at once, and the sorting of the database's errors.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use sqlx::any::{AnyArguments, AnyConnectOptions};
use sqlx::query::Query;
use sqlx::{Any, AnyConnection, AssertSqlSafe, ConnectOptions as _, Executor as _};

use crate::port::PortError;

/// How many rows one statement takes. Few different sizes, because each is a prepared statement of
/// its own, and fine enough that a batch of the usual sizes needs one or two of them.
const SIZES: [usize; 28] =
    [64, 48, 32, 28, 24, 23, 22, 21, 20, 19, 18, 17, 16, 15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1];

/// Cuts rows into runs of the sizes that statements are prepared for.
pub(super) fn runs<T>(mut rows: &[T]) -> impl Iterator<Item = &[T]> {
    std::iter::from_fn(move || {
        let size = SIZES.into_iter().find(|size| *size <= rows.len())?;
        let (run, rest) = rows.split_at(size);
        rows = rest;
        Some(run)
    })
}

/// Parts rows so that no part has a key twice, in their order: one `INSERT .. ON CONFLICT DO UPDATE`
/// must not meet a row twice (PostgreSQL: 21000, `cardinality_violation`).
pub(super) fn rounds<T: Copy, K: Ord>(rows: &[T], key: impl Fn(T) -> K) -> Vec<Vec<T>> {
    let (mut times, mut rounds) = (BTreeMap::new(), Vec::new());
    for row in rows {
        let time: &mut usize = times.entry(key(*row)).or_default();
        if rounds.len() == *time {
            rounds.push(Vec::new());
        }
        rounds[*time].push(*row);
        *time += 1;
    }
    rounds
}

/// How a statement names the places of its values.
#[derive(Clone, Copy)]
enum Places {
    /// `$1`
    Numbered,
    /// `?`
    InOrder,
}

/// `{head} ($1,$2),($3,$4) {tail}`
pub(super) fn values(head: &str, columns: usize, rows: usize, tail: &str) -> String {
    write(head, columns, rows, tail, Places::Numbered)
}

/// `{head} ($1,$2,$3) {tail}`
pub(super) fn list(head: &str, count: usize, tail: &str) -> String {
    write(head, count, 1, tail, Places::Numbered)
}

/// `{head} (?,?),(?,?) {tail}`, for SQLite alone, and much faster there when the places are many:
/// it knows numbered ones by name and searches all names for each.
pub(super) fn values_in_order(head: &str, columns: usize, rows: usize, tail: &str) -> String {
    write(head, columns, rows, tail, Places::InOrder)
}

fn write(head: &str, columns: usize, rows: usize, tail: &str, places: Places) -> String {
    let mut sql = String::with_capacity(head.len() + tail.len() + rows * columns * 5 + 2);
    sql.push_str(head);
    for row in 0..rows {
        sql.push(if row == 0 { ' ' } else { ',' });
        for column in 0..columns {
            sql.push(if column == 0 { '(' } else { ',' });
            match places {
                Places::InOrder => sql.push('?'),
                // Writing to a String cannot fail.
                Places::Numbered => drop(write!(sql, "${}", row * columns + column + 1)),
            }
        }
        sql.push(')');
    }
    sql.push(' ');
    sql.push_str(tail);
    sql
}

/// A new connection, prepared with these statements.
pub(super) async fn connect(options: &AnyConnectOptions, first: &[&'static str]) -> Result<AnyConnection, sqlx::Error> {
    let mut connection = options.connect().await?;
    for statement in first {
        connection.execute(*statement).await?;
    }
    Ok(connection)
}

/// A statement with the values that are bound to it.
pub(super) type Statement = Query<'static, Any, AnyArguments>;

/// A query whose text was made by [`values`] or [`list`], from constants and numbers alone.
pub(super) fn query(sql: String) -> Statement {
    sqlx::query(AssertSqlSafe(sql))
}

/// Whether the same call may succeed a little later.
///
/// SQLite: result codes BUSY, LOCKED, IOERR, FULL, and CANTOPEN, which is what a lack of descriptors
/// comes to. PostgreSQL: appendix A, classes 08
/// (connection), 53 (resources) and 57P (shutdown), and 40001, 40P01, 55P03 (concurrency).
pub(super) fn is_passing(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Database(database) => database.code().is_some_and(|code| {
            if code.len() == 5 {
                ["08", "53", "57P"].iter().any(|class| code.starts_with(class))
                    || ["40001", "40P01", "55P03"].contains(&&*code)
            } else {
                code.parse::<u32>().is_ok_and(|code| [5, 6, 10, 13, 14].contains(&(code & 0xff)))
            }
        }),
        _ => is_lost(error),
    }
}

/// Whether the connection is of no more use.
pub(super) fn is_lost(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(_) | sqlx::Error::WorkerCrashed | sqlx::Error::PoolTimedOut | sqlx::Error::Protocol(_) => true,
        sqlx::Error::Database(database) => {
            database.code().is_some_and(|code| code.len() == 5 && (code.starts_with("08") || code.starts_with("57P")))
        }
        _ => false,
    }
}

/// What a failed statement means to the caller.
pub(super) fn fault(context: &str, error: sqlx::Error) -> PortError {
    let error = match error {
        // Of what the database is fetched from, on its way through the driver's error.
        sqlx::Error::Configuration(error) => match error.downcast::<PortError>() {
            Ok(error) => return *error,
            Err(error) => sqlx::Error::Configuration(error),
        },
        error => error,
    };
    if is_passing(&error) {
        PortError::retry(format!("the database does not take this now ({context}): {error}"))
    } else {
        PortError::bug(format!("database: {context}"), error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_cover_every_row_once_in_order() {
        for count in 0..300_usize {
            let rows: Vec<usize> = (0..count).collect();
            let cut: Vec<&[usize]> = runs(&rows).collect();
            assert_eq!(cut.concat(), rows);
            assert!(cut.len() <= 4 + count / 64, "{count} rows in {} statements", cut.len());
        }
    }

    #[test]
    fn no_round_has_a_key_twice() {
        assert_eq!(
            rounds(&["a1", "b1", "a2", "c1", "a3", "b2"], |row| &row[..1]),
            [vec!["a1", "b1", "c1"], vec!["a2", "b2"], vec!["a3"]]
        );
        assert!(rounds(&[], |row: &str| row.len()).is_empty());
    }

    #[test]
    fn places_are_numbered_through() {
        assert_eq!(
            values("INSERT INTO t VALUES", 2, 2, "ON CONFLICT"),
            "INSERT INTO t VALUES ($1,$2),($3,$4) ON CONFLICT"
        );
        assert_eq!(list("k IN", 3, ""), "k IN ($1,$2,$3) ");
        assert_eq!(values_in_order("VALUES", 2, 2, "x"), "VALUES (?,?),(?,?) x");
    }
}
