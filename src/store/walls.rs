//! Who is who among repositories, and whose a host is.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use async_trait::async_trait;
use sqlx::{AnyConnection, Row, query as fixed};

use super::SqlStore;
use super::calls::unexpected;
use super::readers::Readers;
use super::row::{column, number, parsed, signed};
use super::sql::fault;
use super::write::{Answer, Write};
use crate::model::{KnownRepo, RepoId, RepoName, RepoOwner, RepoSeen, StageId};
use crate::port::{PortError, PortResult, Walls};

/// Repositories kept in memory; beyond, they are read again.
const KEPT: usize = 10_000;

/// A repository as it was seen, ready to be written.
pub(super) struct SeenRow {
    id: i64,
    owner: i64,
    name: String,
    login: String,
    stand_in: String,
}

/// What this process has taken down already: every delivery says again what is known.
#[derive(Default)]
pub(super) struct Seen(Mutex<HashMap<RepoName, (RepoSeen, KnownRepo)>>);

impl Seen {
    fn get(&self, seen: &RepoSeen) -> Option<KnownRepo> {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.get(&seen.name).filter(|(before, _)| before == seen).map(|(_, known)| known.clone())
    }

    fn keep(&self, seen: &RepoSeen, known: &KnownRepo) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() >= KEPT {
            kept.clear();
        }
        // Its earlier name is not its own any more.
        kept.retain(|_, (other, _)| other.id != seen.id);
        kept.insert(seen.name.clone(), (seen.clone(), known.clone()));
    }
}

fn row(seen: &RepoSeen) -> PortResult<SeenRow> {
    Ok(SeenRow {
        id: signed(seen.id.0)?,
        owner: signed(seen.owner.0)?,
        name: seen.name.to_string(),
        login: seen.name.owner().to_owned(),
        stand_in: KnownRepo::stand_in(seen).to_string(),
    })
}

/// Takes a repository down inside the open transaction.
///
/// Another server may do the same in the same moment: then nothing is inserted, and what it has
/// committed by now is seen by the next look.
pub(super) async fn identify(connection: &mut AnyConnection, seen: &SeenRow) -> Result<(), sqlx::Error> {
    let SeenRow { id, owner, name, login, stand_in } = seen;
    loop {
        let lose = fixed("UPDATE repository SET name = NULL WHERE name = $1 AND id <> $2").bind(name.clone()).bind(*id);
        lose.execute(&mut *connection).await?;
        let update = fixed("UPDATE repository SET name = $1, owner = $2 WHERE id = $3");
        let update = update.bind(name.clone()).bind(*owner).bind(*id).execute(&mut *connection).await?;
        if update.rows_affected() == 1 {
            return Ok(());
        }
        let account = fixed("INSERT INTO account (login, id) VALUES ($1, $2) ON CONFLICT DO NOTHING");
        account.bind(login.clone()).bind(*owner).execute(&mut *connection).await?;
        let account = fixed("SELECT id FROM account WHERE login = $1").bind(login.clone());
        let account: i64 = account.fetch_one(&mut *connection).await?.try_get(0)?;
        let namesake = fixed("SELECT id FROM repository WHERE key = $1").bind(name.clone());
        let is_taken = namesake.fetch_optional(&mut *connection).await?.is_some();
        // A name that was somebody's before gives no right to what they have here.
        let key = if is_taken || account != *owner { stand_in } else { name };
        let insert = "INSERT INTO repository (id, key, name, owner) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING";
        let insert = fixed(insert).bind(*id).bind(key.clone()).bind(name.clone()).bind(*owner);
        insert.execute(&mut *connection).await?;
    }
}

/// Takes hosts inside the open transaction; the first that another stage has, with its stage.
pub(super) async fn take_hosts(
    connection: &mut AnyConnection,
    stage: &str,
    hosts: &[String],
) -> Result<Option<(String, String)>, sqlx::Error> {
    let mut taken = Vec::new();
    for host in hosts {
        let owner = match take_host(connection, stage, host).await? {
            Taken::Now => {
                taken.push(host);
                continue;
            }
            Taken::By(owner) if owner == stage => continue,
            Taken::By(owner) => owner,
        };
        for host in taken {
            let back = fixed("DELETE FROM host WHERE host = $1 AND stage = $2");
            back.bind(host.clone()).bind(stage.to_owned()).execute(&mut *connection).await?;
        }
        return Ok(Some((host.clone(), owner)));
    }
    Ok(None)
}

enum Taken {
    Now,
    /// This stage has it.
    By(String),
}

/// Looks again where another server gives it back in the same moment.
async fn take_host(connection: &mut AnyConnection, stage: &str, host: &str) -> Result<Taken, sqlx::Error> {
    loop {
        let insert = fixed("INSERT INTO host (host, stage) VALUES ($1, $2) ON CONFLICT DO NOTHING");
        let insert = insert.bind(host.to_owned()).bind(stage.to_owned()).execute(&mut *connection).await?;
        if insert.rows_affected() == 1 {
            return Ok(Taken::Now);
        }
        let owner = fixed("SELECT stage FROM host WHERE host = $1").bind(host.to_owned());
        if let Some(owner) = owner.fetch_optional(&mut *connection).await? {
            return Ok(Taken::By(owner.try_get(0)?));
        }
    }
}

/// Gives back all hosts of a stage but these, inside the open transaction.
pub(super) async fn keep_hosts(
    connection: &mut AnyConnection,
    stage: &str,
    hosts: &[String],
) -> Result<(), sqlx::Error> {
    let own = fixed("SELECT host FROM host WHERE stage = $1").bind(stage.to_owned());
    for row in own.fetch_all(&mut *connection).await? {
        let host: String = row.try_get(0)?;
        if !hosts.contains(&host) {
            let back = fixed("DELETE FROM host WHERE host = $1 AND stage = $2");
            back.bind(host).bind(stage.to_owned()).execute(&mut *connection).await?;
        }
    }
    Ok(())
}

async fn known(readers: &Readers, key: &RepoName) -> PortResult<Option<KnownRepo>> {
    let select = fixed("SELECT id, name, owner FROM repository WHERE key = $1").bind(key.to_string());
    let Some(row) = readers.optional(select).await.map_err(|error| fault("a repository", error))? else {
        return Ok(None);
    };
    let account = fixed("SELECT id FROM account WHERE login = $1").bind(key.owner().to_owned());
    let account = readers.optional(account).await.map_err(|error| fault("an account", error))?;
    let named = account.map(|row| column::<i64>(&row, 0)).transpose()?;
    let is_named = named == Some(column::<i64>(&row, 2)?);
    Ok(Some(KnownRepo {
        id: RepoId(number(&row, 0)?),
        key: key.clone(),
        name: if column::<Option<String>>(&row, 1)?.is_some() { Some(parsed(&row, 1)?) } else { None },
        owner: if is_named { RepoOwner::AsNamed } else { RepoOwner::Another },
    }))
}

/// `acme/shop/pr-42`, as a stage is written in a column.
fn stage_of(text: &str) -> PortResult<StageId> {
    let parts = text.rsplit_once('/').and_then(|(repo, name)| Some((repo.parse().ok()?, name.parse().ok()?)));
    let (repo, name) = parts
        .ok_or_else(|| PortError::Bug { context: format!("{text:?} is no stage that has a host"), source: None })?;
    Ok(StageId { repo, name })
}

#[async_trait]
impl Walls for SqlStore {
    async fn identify(&self, seen: &RepoSeen) -> PortResult<KnownRepo> {
        if let Some(known) = self.seen.get(seen) {
            return Ok(known);
        }
        self.writer.write(Write::Identify(row(seen)?)).await?;
        let key = fixed("SELECT key FROM repository WHERE id = $1").bind(signed(seen.id.0)?);
        let row = self.readers.one(key).await.map_err(|error| fault("a repository's key", error))?;
        let known = known(&self.readers, &parsed(&row, 0)?).await?;
        let known = known.ok_or_else(|| PortError::retry("a repository that was just written is not there yet"))?;
        self.seen.keep(seen, &known);
        Ok(known)
    }

    async fn known(&self, key: &RepoName) -> PortResult<Option<KnownRepo>> {
        known(&self.readers, key).await
    }

    async fn take_hosts(&self, stage: &StageId, hosts: &[String]) -> PortResult<Option<(String, StageId)>> {
        if hosts.is_empty() {
            return Ok(None);
        }
        match self.writer.write(Write::TakeHosts { stage: stage.to_string(), hosts: hosts.to_vec() }).await? {
            Answer::Hosts(None) => Ok(None),
            Answer::Hosts(Some((host, owner))) => Ok(Some((host, stage_of(&owner)?))),
            other => Err(unexpected(&other)),
        }
    }

    async fn keep_hosts(&self, stage: &StageId, hosts: &[String]) -> PortResult<()> {
        self.writer.write(Write::KeepHosts { stage: stage.to_string(), hosts: hosts.to_vec() }).await.map(drop)
    }

    async fn host_owner(&self, host: &str) -> PortResult<Option<StageId>> {
        let owner = fixed("SELECT stage FROM host WHERE host = $1").bind(host.to_owned());
        let row = self.readers.optional(owner).await.map_err(|error| fault("whose a host is", error))?;
        row.map(|row| stage_of(&column::<String>(&row, 0)?)).transpose()
    }
}
