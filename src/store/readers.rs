//! The connections that read: few, made when first wanted, closed after a while without use.
//!
//! The pool is deadpool's and not sqlx's own: that one asks every connection that comes back
//! whether it is still there, which doubles the answers that each read waits for, and asks without a
//! limit, so that servers which vanish without a word take the whole pool with them in time
//! (launchbadge/sqlx, issue 4349).

use std::sync::Arc;
use std::time::Duration;

use deadpool::Runtime;
use deadpool::managed::{Manager, Metrics, Object, Pool, PoolError, QueueMode, RecycleError, RecycleResult, WeakPool};
use futures_util::future::BoxFuture;
use sqlx::any::{AnyConnectOptions, AnyRow};
use sqlx::{AnyConnection, Connection};

use super::Dialect;
use super::sql::{Statement, connect, is_lost};
use super::state::Shelf;

/// One without use for so long is closed.
const KEPT: Duration = Duration::from_mins(1);
/// One that was lent within this time is not asked whether it is still there.
const FRESH: Duration = Duration::from_secs(1);
/// The longest wait for a connection, and for its first sign of life.
const PATIENCE: Duration = Duration::from_secs(30);
/// The longest wait for an old connection's sign of life; then there is a new one.
const SIGN_OF_LIFE: Duration = Duration::from_secs(5);

/// Lends connections to reads.
pub(super) struct Readers(Source);

enum Source {
    Database(Pool<Lender>),
    /// To a copy of what lies in an object.
    Object(Arc<Shelf>),
}

pub(super) struct Lender {
    options: AnyConnectOptions,
    dialect: &'static Dialect,
}

impl Manager for Lender {
    type Type = AnyConnection;
    type Error = sqlx::Error;

    async fn create(&self) -> Result<AnyConnection, sqlx::Error> {
        connect(&self.options, self.dialect.on_read).await
    }

    async fn recycle(&self, connection: &mut AnyConnection, metrics: &Metrics) -> RecycleResult<sqlx::Error> {
        if self.dialect.test_readers && metrics.last_used() > FRESH {
            connection.ping().await.map_err(RecycleError::Backend)?;
        }
        Ok(())
    }
}

impl Readers {
    /// Must be called inside a tokio runtime, which closes what nobody uses.
    pub(super) fn new(options: AnyConnectOptions, dialect: &'static Dialect) -> Result<Self, sqlx::Error> {
        let pool = pool(options, dialect)?;
        tokio::spawn(close_unused(pool.weak()));
        Ok(Self(Source::Database(pool)))
    }

    /// Those of a state.
    pub(super) fn of_object(shelf: Arc<Shelf>) -> Self {
        Self(Source::Object(shelf))
    }

    pub(super) async fn all(&self, select: Statement) -> Result<Vec<AnyRow>, sqlx::Error> {
        let mut connection = self.lend().await?;
        let rows = select.fetch_all(&mut *connection).await;
        take_back(connection, rows)
    }

    pub(super) async fn optional(&self, select: Statement) -> Result<Option<AnyRow>, sqlx::Error> {
        let mut connection = self.lend().await?;
        let row = select.fetch_optional(&mut *connection).await;
        take_back(connection, row)
    }

    /// Of a statement that always answers one row.
    pub(super) async fn one(&self, select: Statement) -> Result<AnyRow, sqlx::Error> {
        let mut connection = self.lend().await?;
        let row = select.fetch_one(&mut *connection).await;
        take_back(connection, row)
    }

    async fn lend(&self) -> Result<Object<Lender>, sqlx::Error> {
        match &self.0 {
            Source::Database(pool) => lend(pool).await,
            Source::Object(shelf) => lend_of_copy(Arc::clone(shelf)).await,
        }
    }
}

/// Connections to one database.
pub(super) fn pool(options: AnyConnectOptions, dialect: &'static Dialect) -> Result<Pool<Lender>, sqlx::Error> {
    Pool::builder(Lender { options, dialect })
        .max_size(dialect.readers)
        // What was lent last is lent first, so that a quiet time leaves few in use.
        .queue_mode(QueueMode::Lifo)
        .wait_timeout(Some(PATIENCE))
        .create_timeout(Some(PATIENCE))
        .recycle_timeout(Some(SIGN_OF_LIFE))
        .runtime(Runtime::Tokio1)
        .build()
        .map_err(|error| sqlx::Error::Configuration(error.into()))
}

/// In a box of its own: the compiler cannot see through so many futures in each other that they may change
/// threads.
fn lend_of_copy(shelf: Arc<Shelf>) -> BoxFuture<'static, Result<Object<Lender>, sqlx::Error>> {
    Box::pin(async move {
        let (copy, pool) = shelf.view().await?;
        let lent = lend(&pool).await;
        // Until here: its file goes with it.
        drop(copy);
        lent
    })
}

async fn lend(pool: &Pool<Lender>) -> Result<Object<Lender>, sqlx::Error> {
    pool.get().await.map_err(|error| match error {
        PoolError::Backend(error) => error,
        PoolError::Timeout(_) => sqlx::Error::PoolTimedOut,
        PoolError::Closed | PoolError::NoRuntimeSpecified | PoolError::PostCreateHook(_) => sqlx::Error::PoolClosed,
    })
}

/// A connection that is lost is not lent again.
fn take_back<T>(connection: Object<Lender>, answer: Result<T, sqlx::Error>) -> Result<T, sqlx::Error> {
    if answer.as_ref().is_err_and(is_lost) {
        drop(Object::take(connection));
    }
    answer
}

async fn close_unused(pool: WeakPool<Lender>) {
    loop {
        tokio::time::sleep(KEPT).await;
        let Some(pool) = pool.upgrade() else { return };
        for connection in pool.retain(|_, metrics| metrics.last_used() < KEPT).removed {
            if let Err(error) = connection.close().await {
                tracing::debug!(%error, "closing a connection that nobody uses");
            }
        }
    }
}
