//! What is shown of stages, inside one transaction.

use sqlx::AnyConnection;

use super::sql::{query, rounds, runs, values};
use super::write::SurfaceRow;

pub(super) async fn save(connection: &mut AnyConnection, surfaces: &[&SurfaceRow]) -> Result<(), sqlx::Error> {
    for round in rounds(surfaces, |surface| (&surface.stage, surface.kind, &surface.key)) {
        for run in runs(&round) {
            let mut upsert = query(values(
                "INSERT INTO surface (stage, kind, key, external, hash, at) VALUES",
                6,
                run.len(),
                "ON CONFLICT (stage, kind, key) DO UPDATE SET \
                 external = excluded.external, hash = excluded.hash, at = excluded.at",
            ));
            for surface in run {
                upsert = upsert.bind(&surface.stage).bind(surface.kind).bind(&surface.key);
                upsert = upsert.bind(surface.external.as_deref()).bind(&surface.hash).bind(surface.at);
            }
            upsert.execute(&mut *connection).await?;
        }
    }
    Ok(())
}
