//! PostgreSQL: for several processes that share the work.
//!
//! Row locks are taken in the order of the lanes' keys, so that two processes do not wait for each
//! other in a circle; where they do all the same, PostgreSQL ends one and it is tried again.

use sqlx::ConnectOptions;
use sqlx::any::AnyConnectOptions;
use sqlx::postgres::PgSslMode;

use super::migrations::steps;
use super::{Counters, Dedupe, Dialect, OpenError};

pub(super) static DIALECT: Dialect = Dialect {
    name: "PostgreSQL",
    begin: "BEGIN",
    begin_reading: "BEGIN ISOLATION LEVEL REPEATABLE READ",
    begin_along: "",
    commit_along: "",
    lock: " FOR UPDATE",
    // A claim never waits for a lane that another process is changing: it takes the next one.
    lock_free: " FOR UPDATE OF lane SKIP LOCKED",
    free_lanes: None,
    dedupe: Dedupe::Indices,
    counters: Counters {
        lock: "LOCK TABLE lane, inbox, deploy, witness, audit IN SHARE ROW EXCLUSIVE MODE",
        given: " OVERRIDING SYSTEM VALUE",
        last: |table, column| format!("SELECT nextval(pg_get_serial_sequence('{table}', '{column}'))"),
        set: |table, column, number| {
            Some(format!("SELECT setval(pg_get_serial_sequence('{table}', '{column}'), {number})"))
        },
    },
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

/// What the driver reads of an address. It logs any other parameter with its value, and a password under a
/// name with a slip in it is one. Source: sqlx-postgres, `PgConnectOptions::parse_from_url`.
const KNOWN: [&str; 18] = [
    "sslmode",
    "ssl-mode",
    "sslrootcert",
    "ssl-root-cert",
    "ssl-ca",
    "sslcert",
    "ssl-cert",
    "sslkey",
    "ssl-key",
    STATEMENTS,
    "host",
    "hostaddr",
    "port",
    "dbname",
    "user",
    "password",
    "application_name",
    "options",
];

/// The options of an address; what it says of prepared statements itself counts.
pub(super) fn options(url: &str) -> Result<AnyConnectOptions, OpenError> {
    let mut options: AnyConnectOptions =
        url.parse().map_err(|_| OpenError::Address("the address of the server cannot be read".into()))?;
    leave_unknown(&mut options);
    // The driver would say the wrong one again.
    let mut modes = options.database_url.query_pairs().filter(|(name, _)| matches!(&**name, "sslmode" | "ssl-mode"));
    if modes.any(|(_, mode)| mode.parse::<PgSslMode>().is_err()) {
        return Err(OpenError::Address("its sslmode is none that PostgreSQL has".into()));
    }
    if options.database_url.query_pairs().all(|(name, _)| name != STATEMENTS) {
        options.database_url.query_pairs_mut().append_pair(STATEMENTS, STATEMENTS_KEPT);
    }
    Ok(options.disable_statement_logging())
}

/// What the driver does not know does nothing: it does not get it.
fn leave_unknown(options: &mut AnyConnectOptions) {
    let pairs: Vec<(String, String)> = options.database_url.query_pairs().into_owned().collect();
    let known: Vec<&(String, String)> = pairs.iter().filter(|pair| is_known(&pair.0)).collect();
    let unknown = pairs.len() - known.len();
    if unknown > 0 {
        tracing::warn!(
            "GREENROOM_DATABASE_URL has parameters that are not known ({unknown}): they are left out, and not shown"
        );
        options.database_url.query_pairs_mut().clear().extend_pairs(known);
    }
}

fn is_known(name: &str) -> bool {
    KNOWN.contains(&name) || name.starts_with("options[")
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

    #[test]
    fn what_the_driver_would_log_it_does_not_get() {
        let query = |url: &str| options(url).unwrap().database_url.query().map(str::to_owned);
        let kept = Some("sslmode=disable&statement-cache-capacity=512".to_owned());
        for more in ["sslpassword=hunter2", "Password=hunter2", "hunter2@h/x", "schema=public"] {
            assert_eq!(query(&format!("postgres://me@h/x?{more}&sslmode=disable")), kept, "{more}");
        }
        let own = "options[search_path]=a";
        assert_eq!(query(&format!("postgres://h/x?{own}")), Some(format!("{own}&statement-cache-capacity=512")));
        for (given, passed_on) in [("password=a%20%26b&x=1", "password=a+%26b"), ("x=1", "")] {
            let and = if passed_on.is_empty() { "" } else { "&" };
            let expected = format!("{passed_on}{and}statement-cache-capacity=512");
            assert_eq!(query(&format!("postgres://h/x?{given}")), Some(expected), "{given}");
        }
    }

    #[test]
    fn a_wrong_mode_is_not_said_again() {
        let why = options("postgres://h/x?sslmode=hunter2").expect_err("no mode").to_string();
        assert!(why.contains("sslmode") && !why.contains("hunter2"), "{why}");
        assert!(options("postgres://h/x?ssl-mode=Verify-Full").is_ok());
    }
}
