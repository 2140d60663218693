//! PostgreSQL: for several processes that share the work.
//!
//! Row locks are taken in the order of the lanes' keys, so that two processes do not wait for each
//! other in a circle; where they do all the same, PostgreSQL ends one and it is tried again.

use sqlx::ConnectOptions;
use sqlx::any::AnyConnectOptions;

use super::migrations::steps;
use super::{Dedupe, Dialect, OpenError};

pub(super) static DIALECT: Dialect = Dialect {
    name: "PostgreSQL",
    begin: "BEGIN",
    begin_along: "",
    commit_along: "",
    lock: " FOR UPDATE",
    // A claim never waits for a lane that another process is changing: it takes the next one.
    lock_free: " FOR UPDATE OF lane SKIP LOCKED",
    free_lanes: None,
    dedupe: Dedupe::Indices,
    over_socket: true,
    on_read: &[],
    on_write: &[],
    readers: 4,
    test_readers: true,
    migrations: steps!("postgres"),
    advice: "is the server running, and are host, user, password and database in GREENROOM_DATABASE_URL right?",
};

/// What sqlx calls the number of prepared statements that a connection keeps.
const STATEMENTS: &str = "statement-cache-capacity";
/// One for each size of each kind of write, and then some. With fewer, busy writers would have their
/// statements prepared again and again: an answer of the server's to wait for, and a plan to make.
const STATEMENTS_KEPT: &str = "512";

/// The options of an address; what it says of prepared statements itself counts.
pub(super) fn options(url: &str) -> Result<AnyConnectOptions, OpenError> {
    let mut options: AnyConnectOptions =
        url.parse().map_err(|_| OpenError::Address("the address of the server cannot be read".into()))?;
    if options.database_url.query_pairs().all(|(name, _)| name != STATEMENTS) {
        options.database_url.query_pairs_mut().append_pair(STATEMENTS, STATEMENTS_KEPT);
    }
    Ok(options.disable_statement_logging())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statements_are_kept_unless_the_address_says_how_many() {
        let query = |url| options(url).unwrap().database_url.query().map(str::to_owned);
        let kept = |capacity: &str| Some(format!("sslmode=disable&statement-cache-capacity={capacity}"));
        assert_eq!(query("postgres://h/x?sslmode=disable"), kept("512"));
        assert_eq!(query("postgres://h/x?sslmode=disable&statement-cache-capacity=7"), kept("7"));
        assert_eq!(query("postgres://h/x"), Some("statement-cache-capacity=512".to_owned()));
    }
}
