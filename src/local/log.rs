//! The end of what a program printed, fit to be shown.
//!
//! Guarantees: no value of a secret, no terminal control, no line longer than 2,000 characters; a
//! log of any size costs one bounded read.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

use secrecy::{ExposeSecret, SecretString};

/// How many lines a failure shows.
pub(super) const FAILURE_LINES: usize = 30;

/// Read from the end of a file at most.
const TAIL_BYTES: u64 = 256 * 1024;
const LINE_CHARS: usize = 2_000;
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
    clean(text, lines, secrets)
}

/// The last lines of a text, oldest first.
pub(super) fn clean(text: &str, lines: usize, secrets: &[SecretString]) -> Vec<String> {
    let mut last: Vec<String> = text.lines().rev().take(lines).map(|line| clean_line(line, secrets)).collect();
    last.reverse();
    last
}

fn clean_line(line: &str, secrets: &[SecretString]) -> String {
    let mut line = line.to_owned();
    // A secret of several lines, such as a key, is printed line by line.
    for secret in secrets.iter().flat_map(|secret| secret.expose_secret().lines()) {
        // A shorter value would blot out ordinary text and guards nothing.
        if secret.len() >= 4 {
            line = line.replace(secret, "***");
        }
    }
    let plain = console::strip_ansi_codes(&line);
    plain.chars().filter(|c| !c.is_control() || *c == '\t').take(LINE_CHARS).collect()
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
    fn a_tail_is_short_plain_and_free_of_secrets() {
        let secrets = [SecretString::from("hunter2"), SecretString::from("ab")];
        let text = "first\nab \u{1b}[31mred\u{1b}[0m\r\npassword=hunter2\u{7}\n";
        assert_eq!(clean(text, 2, &secrets), ["ab red", "password=***"]);
        assert_eq!(clean(&"x".repeat(5_000), 1, &[])[0].len(), LINE_CHARS);
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
