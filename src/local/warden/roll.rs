//! The log of a program, kept within bounds: two files, of which the older one goes when the newer is full.
//!
//! Guarantees: never more than twice [`MOST_BYTES`] and a little; the end is always there; a disk that takes
//! no more stops no program, and how much is missing stands in the log once the disk takes something again.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// Each of the two files.
const MOST_BYTES: u64 = 16 << 20;
/// Read of a program's output at a time.
const PIECE: usize = 64 << 10;

/// Where what was printed before lies.
pub(in crate::local) fn older(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".old");
    PathBuf::from(name)
}

/// A log that is written to.
pub(super) struct Roll {
    path: PathBuf,
    most: u64,
    file: Option<File>,
    size: u64,
    /// Bytes that the disk would not take.
    lost: u64,
}

impl Roll {
    pub(super) fn new(path: PathBuf) -> Self {
        Self { path, most: MOST_BYTES, file: None, size: 0, lost: 0 }
    }

    /// Keeps all that comes, until nobody can write to the other end any more.
    pub(super) fn keep_all(mut self, mut from: impl Read) {
        let mut piece = vec![0; PIECE];
        loop {
            match from.read(&mut piece) {
                Ok(0) => return,
                Ok(count) => self.keep(&piece[..count]),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return,
            }
        }
    }

    fn keep(&mut self, bytes: &[u8]) {
        let mut rest = bytes;
        let Err(error) = self.write(&mut rest) else { return };
        self.file = None;
        // On a disk that is full, what was printed long ago makes room for what is printed now.
        let is_full = matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded);
        if is_full && fs::remove_file(older(&self.path)).is_ok() && self.write(&mut rest).is_ok() {
            return;
        }
        self.file = None;
        self.lost += u64::try_from(rest.len()).unwrap_or(u64::MAX);
    }

    /// Writes until nothing is left of `bytes`; what is left of them was not written.
    fn write(&mut self, bytes: &mut &[u8]) -> io::Result<()> {
        if self.file.is_some() && self.size >= self.most {
            self.turn()?;
        }
        let file = match &mut self.file {
            Some(file) => file,
            None => {
                let file = File::options().append(true).create(true).mode(0o600).open(&self.path)?;
                self.size = file.metadata()?.len();
                self.file.insert(file)
            }
        };
        if self.lost > 0 {
            let gap = format!("\n... ({} bytes are missing here: the disk took no more)\n", self.lost);
            file.write_all(gap.as_bytes())?;
            self.lost = 0;
        }
        while !bytes.is_empty() {
            match file.write(bytes) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(count) => {
                    *bytes = &bytes[count..];
                    self.size += u64::try_from(count).unwrap_or(u64::MAX);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// The file that is full becomes the older one.
    fn turn(&mut self) -> io::Result<()> {
        let full = self.file.take();
        if let Err(error) = fs::rename(&self.path, older(&self.path)) {
            // Its folder may be gone. Within its bounds all the same.
            return full.map_or(Err(error), |full| full.set_len(0));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn size(path: &Path) -> u64 {
        fs::metadata(path).map_or(0, |data| data.len())
    }

    #[test]
    fn a_log_keeps_its_end_and_its_bounds() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("log-0");
        let mut roll = Roll { most: 1000, ..Roll::new(path.clone()) };
        for number in 0..1000 {
            roll.keep(format!("line {number}\n").as_bytes());
            assert!(size(&path) <= 1010 && size(&older(&path)) <= 1010, "line {number}");
        }
        let kept = fs::read_to_string(older(&path)).expect("a log") + &fs::read_to_string(&path).expect("a log");
        let numbers: Vec<&str> = kept.lines().collect();
        assert_eq!(numbers.last(), Some(&"line 999"));
        assert!(numbers.len() > 90, "at least one of the two is full: {}", numbers.len());
        let first: usize = numbers[0].trim_start_matches("line ").parse().expect("a whole line");
        assert!(
            numbers.iter().enumerate().all(|(at, line)| **line == format!("line {}", first + at)),
            "none is missing"
        );
    }

    #[test]
    fn a_log_goes_on_where_another_warden_left_it() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("log-0");
        for word in ["one\n", "two\n"] {
            Roll::new(path.clone()).keep_all(word.as_bytes());
        }
        assert_eq!(fs::read_to_string(&path).expect("a log"), "one\ntwo\n");
    }

    #[test]
    fn a_disk_that_is_full_stops_nobody_and_is_told() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("log-0");
        // A device that takes nothing, as full(4) has it.
        std::os::unix::fs::symlink("/dev/full", &path).expect("a link");
        fs::write(older(&path), "long ago").expect("a file");
        let mut roll = Roll::new(path.clone());
        roll.keep(b"nobody reads this\n");
        assert!(!older(&path).exists(), "what was printed long ago made room");
        roll.keep(b"nor this\n");
        fs::remove_file(&path).expect("the disk has room again");
        roll.keep(b"at last\n");
        let said = fs::read_to_string(&path).expect("a log");
        assert_eq!(said, "\n... (27 bytes are missing here: the disk took no more)\nat last\n");
    }

    #[test]
    fn what_was_printed_long_ago_stays_where_it_would_make_no_room() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("log-0");
        fs::create_dir(&path).expect("a folder in its place");
        fs::write(older(&path), "long ago").expect("a file");
        Roll::new(path.clone()).keep(b"it cannot be written\n");
        assert_eq!(fs::read_to_string(older(&path)).expect("it is there"), "long ago");
    }
}
