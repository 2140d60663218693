//! Who is who among repositories, and whose a host is.

use async_trait::async_trait;
use sqlx::{AnyConnection, Row, query as fixed};

use super::SqlStore;
use super::calls::unexpected;
use super::carried::{self, HolderRow};
use super::readers::Readers;
use super::row::{column, number, parsed, signed};
use super::sql::{Statement, fault};
use super::write::{Answer, Write};
use crate::model::{KnownRepo, RepoId, RepoName, RepoOwner, RepoSeen, StageId, Timestamp, UserId};
use crate::port::{PortError, PortResult, Walls};

/// A repository as it was seen, ready to be written.
pub(super) struct SeenRow {
    id: i64,
    owner: i64,
    name: String,
    login: String,
    stand_in: String,
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
    let SeenRow { id, owner, name, .. } = seen;
    loop {
        let lose = fixed("UPDATE repository SET name = NULL WHERE name = $1 AND id <> $2").bind(name.clone()).bind(*id);
        lose.execute(&mut *connection).await?;
        let update = fixed("UPDATE repository SET name = $1, owner = $2, rumour = NULL WHERE id = $3");
        let update = update.bind(name.clone()).bind(*owner).bind(*id).execute(&mut *connection).await?;
        if update.rows_affected() == 1 {
            // It may have been handed to an account of which nothing was seen before.
            return acquaint(connection, seen).await;
        }
        meet(connection, seen, Some(name), None).await?;
    }
}

/// Notes what a repository was called in passing, inside the open transaction. One that was never met has
/// the name that nobody has; whose it is otherwise, GitHub is asked.
pub(super) async fn hear(connection: &mut AnyConnection, seen: &SeenRow) -> Result<(), sqlx::Error> {
    let SeenRow { id, owner, name, .. } = seen;
    loop {
        let doubt = "UPDATE repository SET rumour = $1 WHERE id = $2 AND (name IS NULL OR name <> $1 OR owner <> $3)";
        fixed(doubt).bind(name.clone()).bind(*id).bind(*owner).execute(&mut *connection).await?;
        let known = fixed("SELECT id FROM repository WHERE id = $1").bind(*id);
        if known.fetch_optional(&mut *connection).await?.is_some() {
            return Ok(());
        }
        let namesake = fixed("SELECT id FROM repository WHERE name = $1").bind(name.clone());
        let (name, rumour) = match namesake.fetch_optional(&mut *connection).await? {
            None => (Some(name), None),
            Some(_) => (None, Some(name)),
        };
        meet(connection, seen, name, rumour).await?;
    }
}

/// Takes down the account that owns a repository; a login that was another's before stays that one's.
async fn acquaint(connection: &mut AnyConnection, seen: &SeenRow) -> Result<(), sqlx::Error> {
    let account = fixed("INSERT INTO account (login, id) VALUES ($1, $2) ON CONFLICT DO NOTHING");
    account.bind(seen.login.clone()).bind(seen.owner).execute(connection).await.map(drop)
}

/// Gives a repository that was never met its key.
async fn meet(
    connection: &mut AnyConnection,
    seen: &SeenRow,
    name: Option<&String>,
    rumour: Option<&String>,
) -> Result<(), sqlx::Error> {
    acquaint(connection, seen).await?;
    let account = fixed("SELECT id FROM account WHERE login = $1").bind(seen.login.clone());
    let account: i64 = account.fetch_one(&mut *connection).await?.try_get(0)?;
    let namesake = fixed("SELECT id FROM repository WHERE key = $1").bind(seen.name.clone());
    let is_taken = namesake.fetch_optional(&mut *connection).await?.is_some();
    // A name that was somebody's before gives no right to what they have here.
    let key = if is_taken || account != seen.owner { &seen.stand_in } else { &seen.name };
    let insert =
        "INSERT INTO repository (id, key, name, owner, rumour) VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING";
    let insert = fixed(insert).bind(seen.id).bind(key.clone()).bind(name.cloned()).bind(seen.owner);
    insert.bind(rumour.cloned()).execute(&mut *connection).await.map(drop)
}

/// Forgets a rumour inside the open transaction, unless there is another one by now.
pub(super) async fn dismiss(connection: &mut AnyConnection, id: i64, rumour: &str) -> Result<(), sqlx::Error> {
    let dismiss = fixed("UPDATE repository SET rumour = NULL WHERE id = $1 AND rumour = $2");
    dismiss.bind(id).bind(rumour.to_owned()).execute(&mut *connection).await.map(drop)
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

pub(super) enum Taken {
    Now,
    /// This stage has it.
    By(String),
}

/// Looks again where another server gives it back in the same moment.
pub(super) async fn take_host(connection: &mut AnyConnection, stage: &str, host: &str) -> Result<Taken, sqlx::Error> {
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

/// By which column a repository is looked for.
const BY_KEY: &str = "SELECT id, key, name, owner, rumour FROM repository WHERE key = $1";
const BY_ID: &str = "SELECT id, key, name, owner, rumour FROM repository WHERE id = $1";
const CALLED: &str = "SELECT key FROM repository WHERE name = $1";
/// Every look at a repository looks for its account too.
const LOGINS: &str = "SELECT login FROM account WHERE id = $1 ORDER BY login";

/// A repository with the number of the account that owns it.
type Found = (KnownRepo, UserId);

async fn found(readers: &Readers, select: Statement) -> PortResult<Option<Found>> {
    let Some(row) = readers.optional(select).await.map_err(|error| fault("a repository", error))? else {
        return Ok(None);
    };
    let key: RepoName = parsed(&row, 1)?;
    let logins = fixed(LOGINS).bind(column::<i64>(&row, 3)?);
    let logins = readers.all(logins).await.map_err(|error| fault("an account", error))?;
    let holders: Vec<String> = logins.iter().map(|row| column(row, 0)).collect::<PortResult<_>>()?;
    let is_named = holders.iter().any(|login| login == key.owner());
    let name = |place| match column::<Option<String>>(&row, place)? {
        Some(_) => parsed(&row, place).map(Some),
        None => Ok(None),
    };
    let known = KnownRepo {
        id: RepoId(number(&row, 0)?),
        key,
        name: name(2)?,
        rumour: name(4)?,
        owner: if is_named { RepoOwner::AsNamed } else { RepoOwner::Another },
        holders,
    };
    Ok(Some((known, UserId(number(&row, 3)?))))
}

async fn by_id(readers: &Readers, id: RepoId) -> PortResult<Option<Found>> {
    found(readers, fixed(BY_ID).bind(signed(id.0)?)).await
}

/// Whether that is what is known.
fn agrees((known, owner): &Found, seen: &RepoSeen) -> bool {
    known.name.as_ref() == Some(&seen.name) && *owner == seen.owner
}

fn not_there() -> PortError {
    PortError::retry("a repository that was just written is not there yet")
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
        if let Some(there) = by_id(&self.readers, seen.id).await?
            && agrees(&there, seen)
            && there.0.rumour.is_none()
        {
            return Ok(there.0);
        }
        let written = self.writer.write(Write::Identify(row(seen)?)).await;
        // Whatever came of it: who had the name before may have been heard by it.
        self.heard.forget(seen);
        written?;
        Ok(by_id(&self.readers, seen.id).await?.ok_or_else(not_there)?.0)
    }

    async fn hear(&self, seen: &RepoSeen, now: Timestamp) -> PortResult<RepoName> {
        if let Some(key) = self.heard.get(seen, now) {
            return Ok(key);
        }
        let era = self.heard.era();
        let there = match by_id(&self.readers, seen.id).await? {
            Some(there) if agrees(&there, seen) => there,
            _ => {
                self.writer.write(Write::Hear(row(seen)?)).await?;
                by_id(&self.readers, seen.id).await?.ok_or_else(not_there)?
            }
        };
        if agrees(&there, seen) {
            self.heard.keep(seen, &there.0.key, now, era);
        }
        Ok(there.0.key)
    }

    async fn dismiss(&self, repo: &KnownRepo, rumour: &RepoName) -> PortResult<()> {
        let (id, rumour) = (signed(repo.id.0)?, rumour.to_string());
        self.writer.write(Write::Dismiss { id, rumour }).await.map(drop)
    }

    async fn known(&self, key: &RepoName) -> PortResult<Option<KnownRepo>> {
        let found = found(&self.readers, fixed(BY_KEY).bind(key.to_string())).await?;
        // Another server took down that its name is somebody else's by now.
        if let Some((lost, _)) = found.as_ref().filter(|(known, _)| known.name.is_none()) {
            self.heard.forget_number(lost.id);
        }
        Ok(found.map(|(known, _)| known))
    }

    async fn called(&self, name: &RepoName) -> PortResult<Option<RepoName>> {
        let select = fixed(CALLED).bind(name.to_string());
        let row = self.readers.optional(select).await.map_err(|error| fault("a repository", error))?;
        row.map(|row| parsed(&row, 0)).transpose()
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

    async fn are_hosts_carried(&self) -> PortResult<bool> {
        carried::are_hosts_carried(&self.readers).await
    }

    async fn stage_ids(&self) -> PortResult<Vec<StageId>> {
        carried::stage_ids(&self.readers).await
    }

    async fn carry_hosts(&self, holders: &[(StageId, Vec<String>)]) -> PortResult<Vec<(StageId, String, StageId)>> {
        let row =
            |(stage, hosts): &(StageId, Vec<String>)| HolderRow { stage: stage.to_string(), hosts: hosts.clone() };
        match self.writer.write(Write::CarryHosts(holders.iter().map(row).collect())).await? {
            Answer::Carried(contested) => contested
                .into_iter()
                .map(|(stage, host, owner)| Ok((stage_of(&stage)?, host, stage_of(&owner)?)))
                .collect(),
            other => Err(unexpected(&other)),
        }
    }
}

#[cfg(test)]
mod tests {
    use sqlx::ConnectOptions as _;
    use sqlx::any::AnyConnectOptions;

    use super::*;

    #[tokio::test]
    async fn no_look_at_a_repository_looks_at_every_account_or_repository() {
        let folder = tempfile::tempdir().expect("a folder");
        let url = format!("sqlite://{}", folder.path().join("greenroom.db").display());
        let _store = super::super::open(&url).await.expect("a database");
        let options: AnyConnectOptions = url.parse().expect("an address");
        let mut connection = options.connect().await.expect("a connection");
        for select in [LOGINS, BY_KEY, BY_ID, CALLED] {
            let explain = sqlx::query(sqlx::AssertSqlSafe(format!("EXPLAIN QUERY PLAN {select}"))).bind(1_i64);
            let rows = explain.fetch_all(&mut connection).await.expect("a plan");
            let plan: Vec<String> = rows.iter().map(|row| row.try_get("detail").expect("a sentence")).collect();
            assert!(plan.iter().any(|line| line.starts_with("SEARCH")), "{select}: {plan:#?}");
            assert!(!plan.iter().any(|line| line.starts_with("SCAN")), "{select}: {plan:#?}");
        }
    }
}
