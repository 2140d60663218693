//! What this machine remembers of its stages, as files.
//!
//! ```text
//! <data>/stages/<owner>/<name>/<stage>/<service>/
//!     route.json            the version that the traffic goes to
//!     containers            an empty file: this service ever ran as a container
//!     <version>/
//!         version.json      what was decided, written before anything is started
//!         source/           the program's own copy of its source
//!         home/  tmp/       its HOME and TMPDIR
//!         log-<copy>        what it printed, and log-<copy>.old what it printed before
//!         run-<copy>.json   which process keeps it
//!         end-<copy>.json   how it ended, written by that process
//!         lost-<copy>.json  starts of which it is not known that nothing is left
//!         falls.json        how often it came down since it is live
//!         migrate.json      what became of the one-off command; its files are those of a copy `migrate`
//! ```
//!
//! Guarantees: a file is there completely or not at all, also after a crash; a folder that holds
//! nothing is removed together with the last thing in it, so an absent stage has no path.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::unrest::Falls;
use crate::model::{
    Artifact, CommitSha, Failure, Generation, RepoName, ServiceName, ServiceSpec, StageId, StageName, Timestamp,
    VersionKey,
};
use crate::port::{PortError, PortResult};

/// One version of one service of one stage.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct VersionId {
    pub(super) stage: StageId,
    pub(super) service: ServiceName,
    pub(super) version: VersionKey,
}

/// How far a version has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Fate {
    /// Not yet seen healthy: an end of its program is a failure of the deploy.
    Unproven,
    /// Every copy was healthy once: a program that ends is started again.
    Proven,
    /// It goes: nothing of it is started any more.
    Retiring,
}

/// Everything needed to run a version again without asking anybody.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct VersionRecord {
    pub(super) version: VersionKey,
    pub(super) sha: CommitSha,
    pub(super) generation: Generation,
    pub(super) spec: ServiceSpec,
    pub(super) artifact: Artifact,
    pub(super) made_at: Timestamp,
    pub(super) fate: Fate,
    /// The port of each copy that runs as a process; its length is the number of copies.
    pub(super) ports: Vec<u16>,
}

/// Where the traffic of a service goes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct RouteRecord {
    pub(super) version: VersionKey,
    /// `None` for a worker: the version counts as serving all the same.
    pub(super) host: Option<String>,
    pub(super) since: Timestamp,
}

/// What became of a version's one-off command.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum MigrationRecord {
    /// Begun; whether it ended is unknown.
    Begun,
    Done,
    Failed(Box<Failure>),
}

/// The folder of all stages.
#[derive(Debug)]
pub(super) struct Disk {
    root: PathBuf,
}

impl Disk {
    pub(super) fn new(data_dir: &Path) -> Self {
        Self { root: data_dir.join("stages") }
    }

    pub(super) fn stage_dir(&self, stage: &StageId) -> PathBuf {
        self.root.join(stage.repo.owner()).join(stage.repo.name()).join(stage.name.as_str())
    }

    pub(super) fn service_dir(&self, stage: &StageId, service: &ServiceName) -> PathBuf {
        self.stage_dir(stage).join(service.as_str())
    }

    pub(super) fn version_dir(&self, id: &VersionId) -> PathBuf {
        self.service_dir(&id.stage, &id.service).join(&id.version.0)
    }

    /// The stages that have a folder.
    pub(super) fn stages(&self) -> PortResult<Vec<StageId>> {
        let mut found = Vec::new();
        for owner in names(&self.root)? {
            for name in names(&self.root.join(&owner))? {
                let Ok(repo) = RepoName::new(format!("{owner}/{name}")) else { continue };
                for stage in names(&self.root.join(&owner).join(&name))? {
                    if let Ok(name) = StageName::new(stage) {
                        found.push(StageId { repo: repo.clone(), name });
                    }
                }
            }
        }
        Ok(found)
    }

    /// The services of a stage that have a folder.
    pub(super) fn services(&self, stage: &StageId) -> PortResult<Vec<ServiceName>> {
        Ok(names(&self.stage_dir(stage))?.into_iter().filter_map(|name| ServiceName::new(name).ok()).collect())
    }

    /// The versions of a service that have a folder.
    pub(super) fn versions(&self, stage: &StageId, service: &ServiceName) -> PortResult<Vec<VersionId>> {
        let folder = self.service_dir(stage, service);
        let of = |name: String| VersionId { stage: stage.clone(), service: service.clone(), version: VersionKey(name) };
        Ok(names(&folder)?.into_iter().filter(|name| folder.join(name).is_dir()).map(of).collect())
    }

    pub(super) fn read_version(&self, id: &VersionId) -> PortResult<Option<VersionRecord>> {
        read_json(&self.version_dir(id).join("version.json"))
    }

    pub(super) fn write_version(&self, id: &VersionId, record: &VersionRecord) -> PortResult<()> {
        let folder = self.version_dir(id);
        create_private(&folder)?;
        write_json(&folder.join("version.json"), record)
    }

    pub(super) fn read_route(&self, stage: &StageId, service: &ServiceName) -> PortResult<Option<RouteRecord>> {
        read_json(&self.service_dir(stage, service).join("route.json"))
    }

    pub(super) fn write_route(&self, stage: &StageId, service: &ServiceName, route: &RouteRecord) -> PortResult<()> {
        write_json(&self.service_dir(stage, service).join("route.json"), route)
    }

    pub(super) fn remove_route(&self, stage: &StageId, service: &ServiceName) -> PortResult<()> {
        let folder = self.service_dir(stage, service);
        absent_is_fine(fs::remove_file(folder.join("route.json")))
            .map_err(|e| fault("removing a route", &folder, &e))?;
        self.prune(&folder)
    }

    pub(super) fn read_migration(&self, id: &VersionId) -> PortResult<Option<MigrationRecord>> {
        read_json(&self.version_dir(id).join("migrate.json"))
    }

    pub(super) fn write_migration(&self, id: &VersionId, record: &MigrationRecord) -> PortResult<()> {
        write_json(&self.version_dir(id).join("migrate.json"), record)
    }

    /// How the version fared since it is live, if it did not stay up.
    pub(super) fn read_falls(&self, id: &VersionId) -> PortResult<Option<Falls>> {
        read_json(&self.version_dir(id).join("falls.json"))
    }

    pub(super) fn write_falls(&self, id: &VersionId, falls: &Falls) -> PortResult<()> {
        write_json(&self.version_dir(id).join("falls.json"), falls)
    }

    /// Remembers that the service ran as a container, until its files go.
    pub(super) fn mark_containers(&self, stage: &StageId, service: &ServiceName) -> PortResult<()> {
        let folder = self.service_dir(stage, service);
        create_private(&folder)?;
        fs::write(folder.join("containers"), b"").map_err(|e| fault("writing a mark", &folder, &e))
    }

    pub(super) fn has_containers(&self, stage: &StageId) -> PortResult<bool> {
        Ok(self.services(stage)?.iter().any(|service| self.service_dir(stage, service).join("containers").exists()))
    }

    /// Removes a version's folder, and the folders above it that hold nothing more.
    pub(super) fn remove_version(&self, id: &VersionId) -> PortResult<()> {
        self.remove_tree(&self.version_dir(id))?;
        let service = self.service_dir(&id.stage, &id.service);
        if names(&service)?.iter().all(|name| name == "containers") {
            return self.remove_tree(&service);
        }
        Ok(())
    }

    /// Removes all that is left of a service.
    pub(super) fn remove_service(&self, stage: &StageId, service: &ServiceName) -> PortResult<()> {
        self.remove_tree(&self.service_dir(stage, service))
    }

    /// Removes the stage's folder if nothing is in it.
    pub(super) fn prune_stage(&self, stage: &StageId) -> PortResult<()> {
        self.prune(&self.stage_dir(stage))
    }

    fn remove_tree(&self, folder: &Path) -> PortResult<()> {
        absent_is_fine(fs::remove_dir_all(folder)).map_err(|e| fault("removing files", folder, &e))?;
        folder.parent().map_or(Ok(()), |parent| self.prune(parent))
    }

    /// Removes `folder` and the folders above it up to the root, as far as they are empty.
    fn prune(&self, folder: &Path) -> PortResult<()> {
        let mut folder = folder;
        while folder.starts_with(&self.root) && folder != self.root {
            match fs::remove_dir(folder) {
                Ok(()) => {}
                Err(e) if e.kind() == io::ErrorKind::NotFound => {}
                Err(e) if e.kind() == io::ErrorKind::DirectoryNotEmpty => return Ok(()),
                Err(e) => return Err(fault("removing an empty folder", folder, &e)),
            }
            match folder.parent() {
                Some(parent) => folder = parent,
                None => return Ok(()),
            }
        }
        Ok(())
    }
}

/// Makes a folder that only this user may read: a stage's files may hold what the app knows.
pub(super) fn create_private(folder: &Path) -> PortResult<()> {
    use std::os::unix::fs::DirBuilderExt;
    fs::DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(|e| fault("making a folder", folder, &e))
}

/// Writes a whole file or leaves the old one.
pub(super) fn write_json<T: Serialize>(path: &Path, value: &T) -> PortResult<()> {
    let bytes = serde_json::to_vec(value).map_err(|e| PortError::bug("writing a record", e))?;
    let temporary = path.with_extension("tmp");
    let write = || -> io::Result<()> {
        let mut file = fs::File::create(&temporary)?;
        file.write_all(&bytes)?;
        file.sync_data()?;
        fs::rename(&temporary, path)
    };
    write().map_err(|e| fault("writing", path, &e))
}

/// Reads a file, if it is there. A file that cannot be read as `T` is our own fault.
pub(super) fn read_json<T: DeserializeOwned>(path: &Path) -> PortResult<Option<T>> {
    match fs::read(path) {
        Ok(bytes) => match serde_json::from_slice(&bytes) {
            Ok(value) => Ok(Some(value)),
            Err(e) => Err(PortError::bug(format!("reading {}", path.display()), e)),
        },
        Err(e) if matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => Ok(None),
        Err(e) => Err(fault("reading", path, &e)),
    }
}

/// The names in a folder in order; an absent folder has none.
fn names(folder: &Path) -> PortResult<Vec<String>> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(e) if matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => return Ok(Vec::new()),
        Err(e) => return Err(fault("reading the folder", folder, &e)),
    };
    let mut names = Vec::new();
    for entry in entries {
        let entry = entry.map_err(|e| fault("reading the folder", folder, &e))?;
        names.extend(entry.file_name().into_string());
    }
    names.sort();
    Ok(names)
}

fn absent_is_fine(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

/// A disk that is full or refuses may be mended while we wait.
fn fault(what: &str, path: &Path, error: &io::Error) -> PortError {
    PortError::retry(format!("{what} {}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id() -> VersionId {
        VersionId {
            stage: StageId { repo: "acme/shop".parse().unwrap(), name: "pr-1".parse().unwrap() },
            service: "web".parse().unwrap(),
            version: VersionKey("v1".into()),
        }
    }

    #[test]
    fn nothing_is_left_when_the_last_version_goes() {
        let data = tempfile::tempdir().unwrap();
        let disk = Disk::new(data.path());
        create_private(&disk.version_dir(&id()).join("source")).unwrap();
        disk.mark_containers(&id().stage, &id().service).unwrap();
        let route = RouteRecord { version: id().version, host: None, since: Timestamp(0) };
        disk.write_route(&id().stage, &id().service, &route).unwrap();

        disk.remove_version(&id()).unwrap();
        assert_eq!(disk.read_route(&id().stage, &id().service).unwrap(), Some(route));
        assert_eq!(disk.stages().unwrap(), [id().stage]);

        disk.remove_service(&id().stage, &id().service).unwrap();
        assert_eq!(disk.stages().unwrap(), []);
        assert_eq!(names(&data.path().join("stages")).unwrap(), Vec::<String>::new());
    }

    #[test]
    fn a_torn_record_is_an_error_and_not_an_absence() {
        let data = tempfile::tempdir().unwrap();
        let disk = Disk::new(data.path());
        create_private(&disk.version_dir(&id())).unwrap();
        assert_eq!(disk.read_version(&id()).unwrap(), None);
        fs::write(disk.version_dir(&id()).join("version.json"), "{\"fate\":").unwrap();
        assert!(matches!(disk.read_version(&id()), Err(PortError::Bug { .. })));
    }
}
