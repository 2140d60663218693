//! What an older version left, taken down once, whoever starts first.

use sqlx::{AnyConnection, query as fixed};

use super::readers::Readers;
use super::row::column;
use super::sql::fault;
use super::walls::{Taken, take_host};
use crate::model::StageId;
use crate::port::PortResult;

/// A stage with hosts that it has.
pub(super) struct HolderRow {
    pub(super) stage: String,
    pub(super) hosts: Vec<String>,
}

/// A host that another stage has: who wants it, the host, whose it is.
pub(super) type Contested = (String, String, String);

/// Takes all these hosts inside the open transaction, each for the first that names it, unless that was
/// done before: then nothing changes. Another server that does it at this moment is waited for.
pub(super) async fn carry_hosts(
    connection: &mut AnyConnection,
    holders: &[HolderRow],
) -> Result<Vec<Contested>, sqlx::Error> {
    let mark = fixed("INSERT INTO carried (what) VALUES ('hosts') ON CONFLICT DO NOTHING");
    let mut contested = Vec::new();
    if mark.execute(&mut *connection).await?.rows_affected() == 0 {
        return Ok(contested);
    }
    for HolderRow { stage, hosts } in holders {
        for host in hosts {
            match take_host(connection, stage, host).await? {
                Taken::By(owner) if owner != *stage => contested.push((stage.clone(), host.clone(), owner)),
                Taken::By(_) | Taken::Now => {}
            }
        }
    }
    Ok(contested)
}

pub(super) async fn are_hosts_carried(readers: &Readers) -> PortResult<bool> {
    let mark = fixed("SELECT what FROM carried WHERE what = 'hosts'");
    let mark = readers.optional(mark).await.map_err(|error| fault("what was carried over", error))?;
    Ok(mark.is_some())
}

/// Every stage by its key. One whose key cannot be read is nobody's that we know.
pub(super) async fn stage_ids(readers: &Readers) -> PortResult<Vec<StageId>> {
    let keys = fixed("SELECT repo, name FROM stage ORDER BY repo, name");
    let rows = readers.all(keys).await.map_err(|error| fault("the keys of stages", error))?;
    let mut ids = Vec::with_capacity(rows.len());
    for row in &rows {
        let (repo, name): (String, String) = (column(row, 0)?, column(row, 1)?);
        match (repo.parse(), name.parse()) {
            (Ok(repo), Ok(name)) => ids.push(StageId { repo, name }),
            _ => tracing::error!(%repo, %name, "{repo}/{name} is the key of a stage, and cannot be read as one"),
        }
    }
    Ok(ids)
}
