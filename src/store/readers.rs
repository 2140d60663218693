//! The connections that read: few, made when first wanted, closed after a while without use.

use std::time::Duration;

use sqlx::any::{AnyConnectOptions, AnyPoolOptions, AnyRow};
use sqlx::{AnyPool, Connection, Executor};

use super::Dialect;
use super::sql::Statement;

/// One without use for so long is closed.
const KEPT: Duration = Duration::from_mins(1);
/// One that was used within this time is not asked whether it is still there: that would be a
/// round trip more for every read.
const FRESH: Duration = Duration::from_secs(1);

/// Lends connections to reads.
pub(super) struct Readers(AnyPool);

impl Readers {
    pub(super) fn new(options: AnyConnectOptions, dialect: &'static Dialect) -> Self {
        let pool = AnyPoolOptions::new()
            .max_connections(dialect.readers)
            .min_connections(0)
            .idle_timeout(KEPT)
            .test_before_acquire(false)
            .before_acquire(move |connection, seen| {
                Box::pin(async move {
                    if dialect.test_readers && seen.idle_for > FRESH {
                        connection.ping().await?;
                    }
                    Ok(true)
                })
            })
            .after_connect(move |connection, _| {
                Box::pin(async move {
                    for pragma in dialect.on_read {
                        connection.execute(*pragma).await?;
                    }
                    Ok(())
                })
            });
        Self(pool.connect_lazy_with(options))
    }

    pub(super) async fn all(&self, select: Statement) -> Result<Vec<AnyRow>, sqlx::Error> {
        select.fetch_all(&self.0).await
    }

    pub(super) async fn optional(&self, select: Statement) -> Result<Option<AnyRow>, sqlx::Error> {
        select.fetch_optional(&self.0).await
    }

    /// Of a statement that always answers one row.
    pub(super) async fn one(&self, select: Statement) -> Result<AnyRow, sqlx::Error> {
        select.fetch_one(&self.0).await
    }
}
