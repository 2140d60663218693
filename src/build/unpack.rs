//! Archives of strangers, unpacked safely.
//!
//! # Guarantees
//!
//! - Nothing is written outside the target folder, whatever the archive says: names are checked
//!   part by part, every file is newly made, and no link exists while files are written.
//! - A symbolic link that leads out of the folder, followed to its end through the other links of
//!   the archive, is refused; so are hard links, devices, pipes, sparse files and double names.
//! - Bytes, entries, what is made of them, and the length and depth of names are capped before they are
//!   believed; what is done grows with them and no faster.
//! - It ends soon after nobody waits for it any more.
//! - Of a file's permissions only "executable" is kept.
//!
//! Extended headers are read here instead of in the `tar` crate, which has no cap for them.

mod allowance;
#[cfg(test)]
mod fuzz;
mod links;
#[cfg(test)]
mod tests;

use std::cell::Cell;
use std::ffi::OsStr;
use std::fs::{self, OpenOptions};
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{OpenOptionsExt, symlink};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use flate2::read::GzDecoder;
use tar::{Archive, EntryType, PaxExtensions};

use super::demand::Demand;
use allowance::Allowance;
use links::{Links, Overlap};

/// The most that an archive may ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UnpackLimits {
    /// Unpacked bytes, headers included.
    pub total_bytes: u64,
    /// Entries of any kind; and as many files, folders and links that are made of them.
    pub entries: u64,
    /// Bytes of one name or link target.
    pub path_bytes: usize,
    /// Bytes of all names and link targets together.
    pub name_bytes: u64,
    /// Folders in each other. Who walks a tree may keep each of them open.
    pub depth: usize,
}

impl Default for UnpackLimits {
    /// 4 GiB in 250,000 entries with names of up to 1,024 bytes, 32 MiB of names, 128 folders deep.
    fn default() -> Self {
        Self { total_bytes: 4 << 30, entries: 250_000, path_bytes: 1024, name_bytes: 32 << 20, depth: 128 }
    }
}

/// Why an archive was not unpacked.
#[derive(Debug, thiserror::Error)]
pub(super) enum UnpackError {
    /// It is whole, and we will not have it. The reason speaks about the archive: "holds a device".
    #[error("{0}")]
    Refused(String),
    /// It broke off on its way to us.
    #[error("the archive could not be read to its end")]
    Broken(#[source] io::Error),
    /// This machine could not take it.
    #[error("{} could not be written", .path.display())]
    Write {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
}

type Result<T> = std::result::Result<T, UnpackError>;

fn refused<T>(reason: impl Into<String>) -> Result<T> {
    Err(UnpackError::Refused(reason.into()))
}

/// Extended headers hold names and a few numbers; git writes well under a kilobyte.
const EXTENDED_HEADER_BYTES: u64 = 1 << 20;
/// The longest name of one file. Source: Linux, `NAME_MAX`.
const PART_BYTES: usize = 255;

/// Unpacks a `.tar.gz` whose entries lie under one top folder into `folder`, which must be empty,
/// without that top folder. Ends early, as broken, once nobody waits for it.
pub(super) fn unpack(archive: impl Read, folder: &Path, limits: &UnpackLimits, demand: &Demand) -> Result<()> {
    let left = Rc::new(Cell::new(limits.total_bytes));
    let reader = Capped { inner: GzDecoder::new(archive), left: Rc::clone(&left), demand };
    let fault = |error: io::Error| classify(error, &left, limits);
    let mut archive = Archive::new(reader);
    let allowance = Allowance::new(limits);
    let mut unpacking = Unpacking { folder, allowance, top: None, links: Links::default() };
    let mut extended = Extended::default();
    for entry in archive.entries().map_err(fault)?.raw(true) {
        let mut entry = entry.map_err(fault)?;
        unpacking.allowance.entry()?;
        match entry.header().entry_type() {
            EntryType::XGlobalHeader => {}
            EntryType::XHeader => extended.read_pax(&small_body(&mut entry, fault)?)?,
            EntryType::GNULongName => extended.name = Some(until_nul(small_body(&mut entry, fault)?)),
            EntryType::GNULongLink => extended.link = Some(until_nul(small_body(&mut entry, fault)?)),
            kind => {
                let extended = std::mem::take(&mut extended);
                let header = entry.header().clone();
                let name = extended.name.unwrap_or_else(|| header.path_bytes().into_owned());
                let link = extended.link.or_else(|| header.link_name_bytes().map(std::borrow::Cow::into_owned));
                let executable = header.mode().is_ok_and(|mode| mode & 0o111 != 0);
                unpacking.entry(kind, &name, link.as_deref(), Mode::of(executable), &mut entry, fault)?;
            }
        }
    }
    // The checksum of the whole stands at its very end.
    io::copy(&mut archive.into_inner(), &mut io::sink()).map_err(fault)?;
    unpacking.finish(demand)
}

/// Tells the archive's faults from the way's.
fn classify(error: io::Error, left: &Cell<u64>, limits: &UnpackLimits) -> UnpackError {
    match error.kind() {
        _ if left.get() == 0 => UnpackError::Refused(format!("is larger than {} bytes unpacked", limits.total_bytes)),
        // What flate2 and tar answer for bytes that are not theirs.
        io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData | io::ErrorKind::Other => {
            UnpackError::Refused(format!("is not a readable .tar.gz: {error}"))
        }
        _ => UnpackError::Broken(error),
    }
}

fn small_body(entry: &mut impl Read, fault: impl Fn(io::Error) -> UnpackError) -> Result<Vec<u8>> {
    let mut body = Vec::new();
    entry.take(EXTENDED_HEADER_BYTES + 1).read_to_end(&mut body).map_err(fault)?;
    if body.len() as u64 > EXTENDED_HEADER_BYTES {
        return refused(format!("holds an extended header of more than {EXTENDED_HEADER_BYTES} bytes"));
    }
    Ok(body)
}

fn until_nul(mut bytes: Vec<u8>) -> Vec<u8> {
    let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    bytes.truncate(end);
    bytes
}

/// What extended headers say about the entry that follows them.
#[derive(Default)]
struct Extended {
    name: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
}

impl Extended {
    fn read_pax(&mut self, body: &[u8]) -> Result<()> {
        for record in PaxExtensions::new(body) {
            let Ok(record) = record else { return refused("holds a malformed extended header") };
            match record.key_bytes() {
                b"path" => self.name = Some(record.value_bytes().to_vec()),
                b"linkpath" => self.link = Some(record.value_bytes().to_vec()),
                b"size" => return refused("holds a file of 8 GiB or more"),
                key if key.starts_with(b"GNU.sparse.") => return refused("holds a sparse file"),
                _ => {}
            }
        }
        Ok(())
    }
}

/// What is kept of a file's permissions.
#[derive(Clone, Copy)]
enum Mode {
    Plain,
    Executable,
}

impl Mode {
    fn of(executable: bool) -> Self {
        if executable { Self::Executable } else { Self::Plain }
    }

    fn bits(self) -> u32 {
        match self {
            Self::Plain => 0o644,
            Self::Executable => 0o755,
        }
    }
}

/// One archive on its way into one folder.
struct Unpacking<'a> {
    folder: &'a Path,
    allowance: Allowance<'a>,
    /// The one folder that everything lies under.
    top: Option<Vec<u8>>,
    /// Made last, so that nothing can be written through them.
    links: Links,
}

impl Unpacking<'_> {
    fn entry(
        &mut self,
        kind: EntryType,
        name: &[u8],
        link: Option<&[u8]>,
        mode: Mode,
        body: &mut impl Read,
        fault: impl Fn(io::Error) -> UnpackError,
    ) -> Result<()> {
        let shown = String::from_utf8_lossy(name).chars().take(200).collect::<String>();
        let what = match kind {
            EntryType::Regular | EntryType::Continuous | EntryType::Directory | EntryType::Symlink => None,
            EntryType::Link => Some("a hard link"),
            EntryType::Char | EntryType::Block => Some("a device"),
            EntryType::Fifo => Some("a pipe"),
            EntryType::GNUSparse => Some("a sparse file"),
            _ => Some("an entry of an unknown kind"),
        };
        if let Some(what) = what {
            return refused(format!("holds {what}: `{shown}`"));
        }
        let Some(path) = self.inside(name, &shown)? else { return Ok(()) };
        self.allowance.name(path.as_os_str().len())?;
        if let Some(through) = self.links.on_the_way(&path) {
            return refused(format!("names `{shown}`, which goes through its symbolic link `{}`", through.display()));
        }
        match kind {
            EntryType::Directory => self.make_folder(&path),
            EntryType::Symlink => self.note_link(path, link.unwrap_or_default(), &shown),
            _ => self.write_file(&path, mode, body, fault),
        }
    }

    /// The entry's place below the top folder; `None` for the top folder itself.
    fn inside(&mut self, name: &[u8], shown: &str) -> Result<Option<PathBuf>> {
        let limits = self.allowance.limits;
        if name.len() > limits.path_bytes {
            return refused(format!("holds a name of more than {} bytes: `{shown}`", limits.path_bytes));
        }
        if name.contains(&0) {
            return refused(format!("holds a name with a zero byte: `{shown}`"));
        }
        if name.starts_with(b"/") {
            return refused(format!("holds an absolute name: `{shown}`"));
        }
        let mut parts = name.split(|byte| *byte == b'/').filter(|part| !part.is_empty() && *part != b".");
        let Some(top) = parts.next() else { return Ok(None) };
        let parts: Vec<&[u8]> = parts.collect();
        if top == b".." || parts.contains(&b"..".as_slice()) {
            return refused(format!("holds a name with `..`: `{shown}`"));
        }
        if self.top.get_or_insert_with(|| top.to_vec()) != top {
            return refused(format!("has more than one top folder: `{shown}`"));
        }
        if parts.is_empty() {
            return Ok(None);
        }
        if parts.len() > limits.depth {
            return refused(format!("is more than {} folders deep: `{shown}`", limits.depth));
        }
        if parts.iter().any(|part| part.len() > PART_BYTES) {
            return refused(format!("holds a file's name of more than {PART_BYTES} bytes: `{shown}`"));
        }
        Ok(Some(parts.into_iter().map(OsStr::from_bytes).collect()))
    }

    /// Makes a folder, and those above it that are not there.
    fn make_folder(&mut self, path: &Path) -> Result<()> {
        let mut missing = vec![path];
        while let Some(here) = missing.last().copied() {
            let full = self.folder.join(here);
            match fs::create_dir(&full) {
                Ok(()) => self.allowance.made(1)?,
                Err(error) if error.kind() == io::ErrorKind::NotFound && here != Path::new("") => {
                    missing.extend(here.parent());
                    continue;
                }
                // Not by way of a link: there is none yet, or it was there first.
                Err(_) if full.symlink_metadata().is_ok_and(|meta| meta.is_dir()) => {}
                Err(error) if matches!(error.kind(), io::ErrorKind::AlreadyExists | io::ErrorKind::NotADirectory) => {
                    return refused(format!("names `{}` as a file and as a folder", here.display()));
                }
                Err(source) => return Err(unwritten(full, source)),
            }
            missing.pop();
        }
        Ok(())
    }

    fn write_file(
        &mut self,
        path: &Path,
        mode: Mode,
        body: &mut impl Read,
        fault: impl Fn(io::Error) -> UnpackError,
    ) -> Result<()> {
        if let Some(parent) = path.parent() {
            self.make_folder(parent)?;
        }
        let full = self.folder.join(path);
        self.allowance.made(1)?;
        let write = |source| unwritten(full.clone(), source);
        let mut file = match OpenOptions::new().write(true).create_new(true).mode(mode.bits()).open(&full) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                return refused(format!("names `{}` twice", path.display()));
            }
            Err(error) => return Err(write(error)),
        };
        // Not `io::copy`: it would not say whether the archive or the disk is at fault.
        let mut buffer = vec![0; 64 << 10];
        loop {
            match body.read(&mut buffer).map_err(&fault)? {
                0 => return Ok(()),
                count => io::Write::write_all(&mut file, &buffer[..count]).map_err(write)?,
            }
        }
    }

    fn note_link(&mut self, path: PathBuf, target: &[u8], shown: &str) -> Result<()> {
        if target.is_empty() || target.len() > self.allowance.limits.path_bytes || target.contains(&0) {
            return refused(format!("holds a symbolic link without a usable target: `{shown}`"));
        }
        self.allowance.name(target.len())?;
        match self.links.add(path, PathBuf::from(OsStr::from_bytes(target))) {
            Ok(new) => self.allowance.made(new),
            Err(Overlap) => refused(format!("names more below its symbolic link `{shown}`")),
        }
    }

    /// Checks all links against each other, and only then makes them.
    fn finish(mut self, demand: &Demand) -> Result<()> {
        if self.top.is_none() {
            return refused("is empty");
        }
        if let Some(link) = self.links.first_that_leads_out() {
            return refused(format!("holds a symbolic link that leads out of it: `{}`", link.display()));
        }
        let links = std::mem::take(&mut self.links);
        for (path, target) in links.iter() {
            demand.check().map_err(UnpackError::Broken)?;
            if let Some(parent) = path.parent() {
                self.make_folder(parent)?;
            }
            let full = self.folder.join(path);
            match symlink(target, &full) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                    return refused(format!("names `{}` twice", path.display()));
                }
                Err(source) => return Err(unwritten(full, source)),
            }
        }
        Ok(())
    }
}

/// What this machine's disk could not take; a name that it never takes is the archive's fault.
fn unwritten(path: PathBuf, source: io::Error) -> UnpackError {
    if source.kind() == io::ErrorKind::InvalidFilename {
        let name = path.file_name().unwrap_or_default().display().to_string();
        return UnpackError::Refused(format!("holds a name that the server's disk does not take: `{name}`"));
    }
    UnpackError::Write { path, source }
}

/// Gives so many bytes, as long as somebody wants them, and then an error.
struct Capped<'d, R> {
    inner: R,
    left: Rc<Cell<u64>>,
    demand: &'d Demand,
}

impl<R: Read> Read for Capped<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.demand.check()?;
        let count = self.inner.read(buffer)?;
        let left = self.left.get().saturating_sub(count as u64);
        self.left.set(left);
        if left == 0 && count > 0 { Err(io::Error::other("over the limit")) } else { Ok(count) }
    }
}
