//! Sources: fetched once for a stage and commit, unpacked in the background thread that may block.

use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use tokio::io::AsyncReadExt;
use tokio::runtime::Handle;

use super::content::tree_hash;
use super::demand::Demand;
use super::folders::{Arrival, Folders, digest_beside};
use super::unpack::{UnpackError, UnpackLimits, unpack};
use crate::model::{CommitSha, FailureKind, StageId};
use crate::port::{PortError, PortResult, Tarball, TarballStream};

/// Asks for a source, unpacks, hashes and publishes it; stops early once nobody waits for it.
pub(super) async fn arrive(
    folders: Folders,
    limits: UnpackLimits,
    stage: StageId,
    sha: CommitSha,
    tarball: Tarball,
    demand: Demand,
) -> PortResult<PathBuf> {
    let tarball = tokio::select! {
        biased;
        () = demand.gone() => return Err(PortError::retry("nobody waits for the source any more")),
        opened = tarball => opened?,
    };
    let reader = BlockingReader { inner: tarball, handle: Handle::current(), demand: demand.clone() };
    blocking(move || {
        let disk = |error: io::Error| disk_error("the source", &error);
        let Some(arrival) = Arrival::begin(&folders, &stage, &sha).map_err(disk)? else {
            return Err(PortError::retry("another process is fetching the same source"));
        };
        let tree = arrival.tree();
        let unpacked = unpack(io::BufReader::with_capacity(64 << 10, reader), &tree, &limits, &demand)
            .map_err(|error| explain(error, &sha))
            .and_then(|()| tree_hash(&tree, &demand).map_err(disk));
        match unpacked {
            Ok(digest) => arrival.complete(&format!("sha256:{digest}")).map_err(disk),
            Err(error) => {
                if let Err(left) = arrival.give_up() {
                    tracing::warn!(%stage, error = %left, "a partial source could not be removed yet");
                }
                Err(error)
            }
        }
    })
    .await
}

/// The content hash of a source as it arrived, whatever a running program wrote into it since.
pub(super) fn digest_of(tree: &Path, demand: &Demand) -> io::Result<String> {
    match fs::read_to_string(digest_beside(tree)) {
        Ok(digest) if digest.starts_with("sha256:") => Ok(digest),
        _ => Ok(format!("sha256:{}", tree_hash(tree, demand)?)),
    }
}

/// Runs what may block the thread.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> PortResult<T> + Send + 'static,
) -> PortResult<T> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => Err(PortError::bug("a thread of the builder ended early", error)),
    }
}

/// What a refusal of this machine's disk means: a full disk may be emptied, so it is tried again.
pub(super) fn disk_error(what: &str, error: &io::Error) -> PortError {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            PortError::retry(format!("the server's disk is full, {what} could not be written"))
        }
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => PortError::failed(
            FailureKind::Environment,
            format!("The server may not write {what}: {error}"),
            "Give the server's user write access to its data folder.",
        ),
        _ => PortError::retry(format!("{what}: {error}")),
    }
}

fn explain(error: UnpackError, sha: &CommitSha) -> PortError {
    match error {
        UnpackError::Refused(reason) => PortError::failed(
            FailureKind::Source,
            format!("The archive of {} {reason}", sha.short()),
            "Take it out of the commit, or out of the archive with `export-ignore` in `.gitattributes`.",
        ),
        UnpackError::Broken(error) => {
            PortError::retry(format!("the source of {} broke off on its way: {error}", sha.short()))
        }
        UnpackError::Write { path, source } => {
            let name = path.file_name().unwrap_or_default().display().to_string();
            disk_error(&format!("`{name}` of the source"), &source)
        }
    }
}

/// An asynchronous stream for code that blocks. Only for threads outside the runtime's own.
struct BlockingReader {
    inner: TarballStream,
    handle: Handle,
    demand: Demand,
}

impl Read for BlockingReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.handle.block_on(self.demand.or_gone(self.inner.read(buffer)))
    }
}
