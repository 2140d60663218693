//! The end of what a program printed, kept in a file; a log of any size costs one bounded read.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

use secrecy::SecretString;

use crate::view::printed;

/// How many lines a failure shows.
pub(super) const FAILURE_LINES: usize = 30;

/// Read from the end of a file at most.
const TAIL_BYTES: u64 = 256 * 1024;
/// A log file is emptied beyond this.
const FILE_BYTES: u64 = 64 * 1024 * 1024;

/// The last lines of a file, oldest first; an absent file has none.
pub(super) fn tail(path: &Path, lines: usize, secrets: &[SecretString]) -> Vec<String> {
    let read = || -> std::io::Result<(Vec<u8>, u64)> {
        let mut file = File::open(path)?;
        let start = file.metadata()?.len().saturating_sub(TAIL_BYTES);
        file.seek(SeekFrom::Start(start))?;
        let mut bytes = Vec::new();
        file.take(TAIL_BYTES).read_to_end(&mut bytes)?;
        Ok((bytes, start))
    };
    let Ok((bytes, start)) = read() else { return Vec::new() };
    let text = String::from_utf8_lossy(&bytes);
    // The first line is cut somewhere if the file is longer than what was read.
    let text = if start == 0 { &*text } else { text.split_once('\n').map_or("", |(_, rest)| rest) };
    printed(&text.lines().collect::<Vec<_>>(), lines, secrets)
}

/// Empties a log that has grown beyond measure: the program appends, so it goes on at the start.
pub(super) fn bound(path: &Path) {
    if path.metadata().is_ok_and(|data| data.len() > FILE_BYTES) {
        match File::options().write(true).open(path).and_then(|file| file.set_len(0)) {
            Ok(()) => tracing::warn!(path = %path.display(), "emptied a log that had grown too long"),
            Err(error) => tracing::warn!(path = %path.display(), %error, "a log that is too long cannot be emptied"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_prints_no_secret_whatever_it_puts_between() {
        let data = tempfile::tempdir().unwrap();
        let path = data.path().join("log");
        std::fs::write(&path, "first\nthe word is correct-\u{1b}[31mhor\u{1b}[0mse-bat\ntery\nlast\n").unwrap();
        let secrets = [SecretString::from("correct-horse-battery")];
        assert_eq!(tail(&path, 2, &secrets), ["the word is ***", "last"]);
    }

    #[test]
    fn a_long_file_is_read_from_its_end_and_never_from_within_a_line() {
        let data = tempfile::tempdir().unwrap();
        let path = data.path().join("log");
        std::fs::write(&path, format!("{}\nlast\n", "x".repeat(300_000))).unwrap();
        assert_eq!(tail(&path, 10, &[]), ["last"]);
        assert_eq!(tail(&data.path().join("absent"), 10, &[]), Vec::<String>::new());
    }
}
