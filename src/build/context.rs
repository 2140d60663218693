//! The build context, packed here: what is hashed is what is sent.
//!
//! # Guarantees
//!
//! - One archive decides both. Its bytes are hashed, and a builder gets those bytes or none: where the
//!   source has changed meanwhile, nothing is sent.
//! - It holds the Dockerfile and, for the engine's first builder, the ignore file, so that nothing
//!   which Docker still leaves out by itself is outside of the hash.
//! - Equal sources have equal archives: entries are sorted and belong to nobody, and what they keep of
//!   their permissions is whether they are executable.
//!
//! The first builder takes the Dockerfile and `.dockerignore` out of an archive where the latter names
//! them; `BuildKit` reads no ignore file in an archive. Both were seen with Docker 20.10.

mod archive;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::demand::Demand;
use super::docker::Tools;
use super::ignore::{self, Ignore};
use super::source::disk_error;
use crate::model::FailureKind;
use crate::port::{PortError, PortResult};

const IGNORE_FILE: &str = ".dockerignore";

/// What lies at one path of a context.
#[derive(Debug, PartialEq, Eq)]
enum Entry {
    Folder,
    File {
        /// Where its bytes are.
        at: PathBuf,
        mode: Mode,
    },
    /// A file that is not in the source in this form.
    Text(Vec<u8>),
    Link(PathBuf),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    Plain,
    Executable,
}

impl Entry {
    /// `None` for what no archive of a commit holds: sockets, pipes, devices.
    fn of(at: PathBuf) -> io::Result<Option<Self>> {
        let meta = fs::symlink_metadata(&at)?;
        Ok(match meta.file_type() {
            kind if kind.is_dir() => Some(Self::Folder),
            kind if kind.is_symlink() => Some(Self::Link(fs::read_link(&at)?)),
            kind if kind.is_file() => {
                let mode = if meta.permissions().mode() & 0o100 == 0 { Mode::Plain } else { Mode::Executable };
                Some(Self::File { at, mode })
            }
            _ => None,
        })
    }
}

/// What is sent to a builder.
#[derive(Debug)]
pub(super) struct Context {
    entries: BTreeMap<PathBuf, Entry>,
    dockerfile: String,
    /// Seconds since 1970.
    time: u64,
    digest: String,
}

/// Where a Dockerfile lies: as the configuration names it, and with all links followed.
#[derive(Debug, Clone, Copy)]
pub(super) struct Dockerfile<'a> {
    pub(super) named: &'a Path,
    pub(super) real: &'a Path,
}

/// Why there is no context.
enum Trouble {
    Disk(io::Error),
    /// The ignore file, and what is wrong with it.
    Ignore(String, String),
}

impl From<io::Error> for Trouble {
    fn from(error: io::Error) -> Self {
        Self::Disk(error)
    }
}

impl From<Trouble> for PortError {
    fn from(trouble: Trouble) -> Self {
        match trouble {
            Trouble::Disk(error) => disk_error("the build context", &error),
            Trouble::Ignore(file, reason) => Self::failed(
                FailureKind::Build,
                format!("`{file}` cannot be followed: {reason}"),
                format!("Correct `{file}`: `docker build` has to know what it leaves out."),
            ),
        }
    }
}

impl Context {
    /// Decides what belongs to the context in `root`, whose links are followed, and hashes it. Blocks
    /// while it reads.
    pub(super) fn read(root: &Path, dockerfile: Dockerfile<'_>, tools: Tools, demand: &Demand) -> PortResult<Self> {
        let entries = collect(root, dockerfile, tools, demand)?;
        let mut context = Self { entries, dockerfile: String::new(), time: 0, digest: String::new() };
        context.dockerfile = context.add_dockerfile(root, dockerfile.real, tools)?;
        context.add_folders();
        let measure = |context: &Self| context.pack(io::sink(), demand).map_err(Trouble::Disk);
        context.time = time_of(measure(&context)?);
        context.digest = hex::encode(measure(&context)?);
        Ok(context)
    }

    /// Where the Dockerfile is in it.
    pub(super) fn dockerfile(&self) -> &str {
        &self.dockerfile
    }

    /// The Dockerfile as it is sent, up to one byte more than that many. Blocks while it reads.
    pub(super) fn dockerfile_text(&self, most_bytes: usize) -> PortResult<Vec<u8>> {
        let Some(Entry::File { at, .. }) = self.entries.get(Path::new(&self.dockerfile)) else {
            return Err(PortError::retry("the Dockerfile went while it was read"));
        };
        let mut text = Vec::new();
        let read = File::open(at).and_then(|file| file.take(most_bytes as u64 + 1).read_to_end(&mut text));
        read.map_err(Trouble::Disk)?;
        Ok(text)
    }

    /// SHA-256 of the archive, hexadecimal.
    pub(super) fn digest(&self) -> &str {
        &self.digest
    }

    /// The archive as a file without a name, to be read from its beginning. Blocks while it is written.
    pub(super) fn spool(&self, folder: &Path, demand: &Demand) -> PortResult<File> {
        let spooled = || -> io::Result<_> {
            let mut file = tempfile::tempfile_in(folder)?;
            let digest = self.pack(&mut file, demand)?;
            file.rewind()?;
            Ok((file, hex::encode(digest)))
        };
        let (file, digest) = spooled().map_err(Trouble::Disk)?;
        if digest == self.digest {
            return Ok(file);
        }
        Err(PortError::retry("the source changed while it was read"))
    }

    /// Writes the archive, and answers its hash.
    fn pack(&self, into: impl Write, demand: &Demand) -> io::Result<[u8; 32]> {
        let hashing = Hashing { inner: io::BufWriter::with_capacity(64 << 10, into), hash: Sha256::new(), demand };
        let mut archive = archive::Archive::begin(hashing, self.time)?;
        for (path, entry) in &self.entries {
            match entry {
                Entry::Folder => archive.folder(path)?,
                Entry::File { at, mode } => {
                    let file = File::open(at)?;
                    let size = file.metadata()?.len();
                    archive.file(path, *mode, size, file)?;
                }
                Entry::Text(text) => archive.file(path, Mode::Plain, text.len() as u64, text.as_slice())?,
                Entry::Link(target) => archive.link(path, target)?,
            }
        }
        let mut hashing = archive.finish()?;
        hashing.inner.flush()?;
        Ok(hashing.hash.finalize().into())
    }

    /// Sees that the Dockerfile is there, whatever the ignore file says, and answers its path.
    fn add_dockerfile(&mut self, root: &Path, dockerfile: &Path, tools: Tools) -> PortResult<String> {
        let (path, is_outside) = match dockerfile.strip_prefix(root) {
            Ok(path) => (path.to_owned(), false),
            Err(_) => (self.free_name(), true),
        };
        let Some(name) = path.to_str().map(str::to_owned) else {
            return Err(PortError::failed(
                FailureKind::Build,
                format!("The name of `{}` is not UTF-8", path.display()),
                "Rename the Dockerfile.",
            ));
        };
        if let Some(entry) = Entry::of(dockerfile.to_owned()).map_err(Trouble::Disk)? {
            self.entries.insert(path, entry);
        }
        if is_outside && tools == Tools::Legacy {
            // As Docker does it: what its builder is told to leave out cannot be copied.
            let rules = read_ignore(root, Path::new(IGNORE_FILE))?.unwrap_or_else(|| IGNORE_FILE.into());
            let rules = [&rules, b"\n".as_slice(), name.as_bytes(), b"\n"].concat();
            self.entries.insert(IGNORE_FILE.into(), Entry::Text(rules));
        }
        Ok(name)
    }

    /// A name for a Dockerfile from elsewhere.
    fn free_name(&self) -> PathBuf {
        let mut name = PathBuf::from(".dockerfile");
        while self.entries.contains_key(&name) {
            name.as_mut_os_string().push(".other");
        }
        name
    }

    /// A folder that is left out is there all the same for what is readmitted below it.
    fn add_folders(&mut self) {
        let mut missing = BTreeSet::new();
        for path in self.entries.keys() {
            // Above a folder that is known, all are known.
            let above = path.ancestors().skip(1).take_while(|folder| {
                *folder != Path::new("") && !self.entries.contains_key(*folder) && !missing.contains(*folder)
            });
            let above: Vec<PathBuf> = above.map(Path::to_owned).collect();
            missing.extend(above);
        }
        self.entries.extend(missing.into_iter().map(|folder| (folder, Entry::Folder)));
    }
}

/// Everything below `root` that the ignore file does not leave out.
fn collect(
    root: &Path,
    dockerfile: Dockerfile<'_>,
    tools: Tools,
    demand: &Demand,
) -> Result<BTreeMap<PathBuf, Entry>, Trouble> {
    let (file, text) = ignore_file(root, dockerfile, tools)?;
    let refuse = |reason| Trouble::Ignore(file.clone(), reason);
    let ignore = Ignore::parse(&text).map_err(refuse)?;
    let mut entries = BTreeMap::new();
    let mut folders = vec![(PathBuf::new(), Vec::new())];
    while let Some((folder, outer)) = folders.pop() {
        for entry in fs::read_dir(root.join(&folder))? {
            demand.check()?;
            let path = folder.join(entry?.file_name());
            let Some(entry) = Entry::of(root.join(&path))? else { continue };
            let verdict = ignore.judge(&path, &outer).map_err(refuse)?;
            if entry == Entry::Folder {
                let is_open = match tools {
                    Tools::Legacy => ignore.readmits_below(&path),
                    Tools::Buildx => ignore.readmits(),
                };
                if is_open || !verdict.is_excluded {
                    folders.push((path.clone(), verdict.matches));
                }
            }
            if !verdict.is_excluded {
                entries.insert(path, entry);
            }
        }
    }
    // The first builder has to have it, so that it can leave out what it names.
    if tools == Tools::Legacy
        && let Some(entry) = present(Entry::of(root.join(IGNORE_FILE)))?.flatten()
    {
        entries.insert(IGNORE_FILE.into(), entry);
    }
    Ok(entries)
}

/// The ignore file's name and text. `BuildKit` prefers one named after the Dockerfile: Docker's
/// documentation, "Build context", section "Filename and location".
fn ignore_file(root: &Path, dockerfile: Dockerfile<'_>, tools: Tools) -> Result<(String, Vec<u8>), Trouble> {
    let mut own = dockerfile.named.as_os_str().to_owned();
    own.push(IGNORE_FILE);
    let own = match tools {
        Tools::Legacy => None,
        Tools::Buildx => read_ignore(root, Path::new(&own))?.map(|text| (own.display().to_string(), text)),
    };
    match own {
        Some(own) => Ok(own),
        None => Ok((IGNORE_FILE.to_owned(), read_ignore(root, Path::new(IGNORE_FILE))?.unwrap_or_default())),
    }
}

/// Reads an ignore file, as far as one may be read; `None` where there is none.
fn read_ignore(root: &Path, path: &Path) -> Result<Option<Vec<u8>>, Trouble> {
    let at = root.join(path);
    match present(fs::metadata(&at))? {
        None => Ok(None),
        Some(meta) if !meta.is_file() => {
            Err(Trouble::Ignore(path.display().to_string(), "it is not a file".to_owned()))
        }
        Some(_) => {
            let mut text = Vec::new();
            File::open(&at)?.take(ignore::MOST_BYTES as u64 + 1).read_to_end(&mut text)?;
            Ok(Some(text))
        }
    }
}

fn present<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        other => other.map(Some),
    }
}

/// The time that all entries have: another one for another content, because servers take a file of
/// equal time and size for the same one (the `ETag` of nginx); one for all of them, because `make`
/// builds anew what is older than what it is made from; and none before 1980, which zip cannot write.
fn time_of(digest: [u8; 32]) -> u64 {
    const START_OF_1985: u64 = 473_385_600;
    let [a, b, c, d, ..] = digest;
    // Up to January of 2019.
    START_OF_1985 + u64::from(u32::from_be_bytes([a, b, c, d]) >> 2)
}

/// Hashes what goes through, as long as somebody waits for it.
struct Hashing<'d, W> {
    inner: W,
    hash: Sha256,
    demand: &'d Demand,
}

impl<W: Write> Write for Hashing<'_, W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.demand.check()?;
        let count = self.inner.write(bytes)?;
        self.hash.update(&bytes[..count]);
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}
