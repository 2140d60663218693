//! A tar archive whose bytes depend on its entries alone.
//!
//! Names are written as they are, whatever their bytes: those of more than 100 bytes in an entry of
//! their own before the file, as GNU tar does it.

use std::io::{self, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use tar::{Builder, EntryType, Header};

use super::Mode;

/// An archive on its way.
pub(super) struct Archive<W: Write> {
    tar: Builder<W>,
    /// Seconds since 1970, of every entry.
    time: u64,
}

impl<W: Write> Archive<W> {
    /// Begins with the folder of the context itself: Docker knows an archive by its first kilobyte,
    /// and would take one that begins with a long name, or with one like `BZh`, for something else.
    pub(super) fn begin(into: W, time: u64) -> io::Result<Self> {
        let mut archive = Self { tar: Builder::new(into), time };
        archive.folder(Path::new("./"))?;
        Ok(archive)
    }

    pub(super) fn folder(&mut self, path: &Path) -> io::Result<()> {
        let header = self.header(EntryType::Directory, 0o755, 0);
        self.append(header, path, &mut io::empty())
    }

    /// Fails where `bytes` are fewer than `size`; more are left where they are.
    pub(super) fn file(&mut self, path: &Path, mode: Mode, size: u64, bytes: impl Read) -> io::Result<()> {
        let mode = match mode {
            Mode::Plain => 0o644,
            Mode::Executable => 0o755,
        };
        let header = self.header(EntryType::Regular, mode, size);
        self.append(header, path, &mut Exactly { inner: bytes, left: size })
    }

    pub(super) fn link(&mut self, path: &Path, target: &Path) -> io::Result<()> {
        let mut header = self.header(EntryType::Symlink, 0o777, 0);
        let target = target.as_os_str().as_bytes();
        if !fill(&mut header.as_old_mut().linkname, target) {
            self.long(EntryType::GNULongLink, target)?;
        }
        self.append(header, path, &mut io::empty())
    }

    pub(super) fn finish(self) -> io::Result<W> {
        self.tar.into_inner()
    }

    fn header(&self, kind: EntryType, mode: u32, size: u64) -> Header {
        let mut header = Header::new_gnu();
        header.set_entry_type(kind);
        header.set_mode(mode);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(self.time);
        header.set_size(size);
        header
    }

    fn append(&mut self, mut header: Header, path: &Path, bytes: &mut dyn Read) -> io::Result<()> {
        let name = path.as_os_str().as_bytes();
        if !fill(&mut header.as_old_mut().name, name) {
            self.long(EntryType::GNULongName, name)?;
        }
        header.set_cksum();
        self.tar.append(&header, bytes)
    }

    /// A name for the next entry. Source: GNU tar's manual, "Basic Tar Format".
    fn long(&mut self, kind: EntryType, name: &[u8]) -> io::Result<()> {
        let mut header = self.header(kind, 0o644, name.len() as u64 + 1);
        fill(&mut header.as_old_mut().name, b"././@LongLink");
        header.set_cksum();
        self.tar.append(&header, name.chain([0].as_slice()))
    }
}

/// Writes a name into its field, or as much of it as there is room for; whether that is all of it.
fn fill(field: &mut [u8; 100], name: &[u8]) -> bool {
    let fitting = &name[..name.len().min(field.len())];
    field[..fitting.len()].copy_from_slice(fitting);
    fitting.len() == name.len()
}

/// A file that is as long as its entry says.
struct Exactly<R> {
    inner: R,
    left: u64,
}

impl<R: Read> Read for Exactly<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = usize::try_from(self.left).unwrap_or(usize::MAX).min(buffer.len());
        let count = self.inner.read(&mut buffer[..most])?;
        if count == 0 && most > 0 {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "a file became shorter while it was read"));
        }
        self.left -= count as u64;
        Ok(count)
    }
}
