//! PostgreSQL for integration tests: a database of one's own in a server that somebody started.

use sqlx::{ConnectOptions, Connection, Executor};

/// Where the tests find a server; its role must be allowed to create databases.
pub(crate) const URL_VARIABLE: &str = "GREENROOM_TEST_POSTGRES_URL";

/// The address of a new, empty database. It is left behind for whoever looks into a failure: the
/// server of the tests is thrown away as a whole.
///
/// # Panics
///
/// When no server is named or it does not answer: a test that cannot run has failed.
pub(crate) async fn fresh_database() -> String {
    #[expect(clippy::disallowed_methods, reason = "a test has no app.rs to read the environment for it")]
    let server = std::env::var(URL_VARIABLE).unwrap_or_else(|_| {
        panic!("{URL_VARIABLE} is not set: run the tests with the README's test command, which starts PostgreSQL")
    });
    let name = format!("greenroom_{:032x}", rand::random::<u128>());
    let options: sqlx::postgres::PgConnectOptions = server.parse().expect("the variable holds a postgres:// address");
    let mut connection = options.connect().await.expect("the PostgreSQL of the tests answers");
    let create = format!("CREATE DATABASE {name}");
    connection.execute(sqlx::AssertSqlSafe(create)).await.expect("the role may create databases");
    connection.close().await.expect("the connection closes");
    let mut url = url::Url::parse(&server).expect("the variable holds a postgres:// address");
    url.set_path(&name);
    url.into()
}
