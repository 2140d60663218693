//! The steps of the schema, inside the binary. sqlx's macro would do this too, at the price of
//! compiling SQLite a second time: for the compiler's own use.

use sqlx::SqlSafeStr;
use sqlx::migrate::{Migration, MigrationType, Migrator};

/// One file of `migrations/<database>`: its number, what it is about, its SQL.
pub(super) type Step = (i64, &'static str, &'static str);

/// The steps of one database. Those of both have the same numbers and names.
macro_rules! steps {
    ($database:literal) => {
        &[
            (1, "first", include_str!(concat!("../../migrations/", $database, "/0001_first.sql"))),
            (2, "place", include_str!(concat!("../../migrations/", $database, "/0002_place.sql"))),
            (3, "commands", include_str!(concat!("../../migrations/", $database, "/0003_commands.sql"))),
            (4, "pusher", include_str!(concat!("../../migrations/", $database, "/0004_pusher.sql"))),
            (5, "walls", include_str!(concat!("../../migrations/", $database, "/0005_walls.sql"))),
            (6, "rumours", include_str!(concat!("../../migrations/", $database, "/0006_rumours.sql"))),
            (7, "turns", include_str!(concat!("../../migrations/", $database, "/0007_turns.sql"))),
            (8, "carried", include_str!(concat!("../../migrations/", $database, "/0008_carried.sql"))),
            (9, "conditions", include_str!(concat!("../../migrations/", $database, "/0009_conditions.sql"))),
            (10, "audit_cut", include_str!(concat!("../../migrations/", $database, "/0010_audit_cut.sql"))),
        ]
    };
}
pub(super) use steps;

pub(super) fn migrator(steps: &[Step]) -> Migrator {
    let migration = |&(version, about, sql): &Step| {
        Migration::new(version, about.into(), MigrationType::Simple, sql.into_sql_str(), false)
    };
    Migrator::with_migrations(steps.iter().map(migration).collect())
}
