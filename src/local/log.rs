//! The end of what a program printed, kept in files; a log of any size costs one bounded read.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::Path;

use secrecy::SecretString;

use super::warden;
use crate::view::{PRINTED_BEFORE, printed, printed_torn};

/// How many lines a failure shows.
pub(super) const FAILURE_LINES: usize = 30;

/// Read from the end of a log at most.
const TAIL_BYTES: u64 = 256 * 1024;
/// Read of the beginning of a line that is longer than that.
const BEGINNING_BYTES: u64 = 4 * 1024;
/// Looked at at a time for where such a line begins.
const STEP: u64 = 64 * 1024;
/// A log that no warden keeps is cut to its end beyond this.
const FILE_BYTES: u64 = 64 * 1024 * 1024;

/// The last lines of a log, oldest first; an absent one has none.
pub(super) fn tail(path: &Path, lines: usize, secrets: &[SecretString]) -> Vec<String> {
    // One that is turned while it is read is read anew by whoever asks next.
    Tape::open(path).and_then(|tape| end_of(&tape, lines, secrets)).unwrap_or_default()
}

fn end_of(tape: &Tape, lines: usize, secrets: &[SecretString]) -> io::Result<Vec<String>> {
    let start = tape.length.saturating_sub(TAIL_BYTES);
    let bytes = tape.read(start..tape.length)?;
    let text = String::from_utf8_lossy(&bytes);
    if start == 0 {
        return Ok(printed(&text.lines().collect::<Vec<_>>(), lines, secrets));
    }
    // The first line is cut somewhere: its beginning lies before what was read.
    let (torn, rest) = text.split_once('\n').unwrap_or((&*text, ""));
    let whole: Vec<&str> = rest.lines().collect();
    if whole.len() >= lines.saturating_add(PRINTED_BEFORE) {
        return Ok(printed(&whole, lines, secrets));
    }
    let chunks: Vec<&str> = std::iter::once(torn).chain(whole).collect();
    if torn.trim_end_matches('\r').contains('\r') {
        // It was written over: what stands behind the last return is all that was to be seen.
        return Ok(printed_torn("", &chunks, lines, secrets));
    }
    let begins = tape.line_begins(start)?;
    if start - begins <= BEGINNING_BYTES {
        // Nothing of it is left out.
        let bytes = tape.read(begins..tape.length)?;
        return Ok(printed(&String::from_utf8_lossy(&bytes).lines().collect::<Vec<_>>(), lines, secrets));
    }
    let beginning = tape.read(begins..begins + BEGINNING_BYTES)?;
    Ok(printed_torn(&String::from_utf8_lossy(&beginning), &chunks, lines, secrets))
}

/// The two files of a log, one behind the other.
struct Tape {
    parts: Vec<(File, u64)>,
    length: u64,
}

impl Tape {
    fn open(path: &Path) -> io::Result<Self> {
        let mut parts = Vec::new();
        for path in [warden::older(path).as_path(), path] {
            match File::open(path) {
                Ok(file) => {
                    let length = file.metadata()?.len();
                    parts.push((file, length));
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        let length: u64 = parts.iter().map(|(_, length)| length).sum();
        Ok(Self { parts, length })
    }

    fn read(&self, range: Range<u64>) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        let mut begin = 0;
        for (file, length) in &self.parts {
            let end = begin + length;
            let (from, to) = (range.start.max(begin), range.end.min(end));
            if from < to {
                let mut part = vec![0; usize::try_from(to - from).unwrap_or_default()];
                file.read_exact_at(&mut part, from - begin)?;
                bytes.extend(part);
            }
            begin = end;
        }
        Ok(bytes)
    }

    /// Where that begins which is to be seen of the line that goes on at `at`: a return draws over what was before it.
    fn line_begins(&self, at: u64) -> io::Result<u64> {
        let mut end = at;
        while end > 0 {
            let start = end.saturating_sub(STEP);
            // With the byte behind: a return at the end of a line draws over nothing.
            let bytes = self.read(start..end + 1)?;
            let is_border = |pair: &[u8]| match pair {
                [b'\r', next] => !matches!(next, b'\r' | b'\n'),
                [first, _] => *first == b'\n',
                _ => false,
            };
            if let Some(found) = bytes.windows(2).rposition(is_border) {
                return Ok(start + u64::try_from(found).unwrap_or_default() + 1);
            }
            end = start;
        }
        Ok(0)
    }
}

/// Cuts a log that has grown beyond measure to its end. For programs of an older version, which write to it
/// themselves: they append, so that they go on behind what is left.
pub(super) fn bound(path: &Path) {
    let cut = || -> io::Result<bool> {
        let file = File::options().read(true).append(true).open(path)?;
        let length = file.metadata()?.len();
        if length <= FILE_BYTES {
            return Ok(false);
        }
        let mut end = vec![0; usize::try_from(TAIL_BYTES).unwrap_or_default()];
        file.read_exact_at(&mut end, length - TAIL_BYTES)?;
        file.set_len(0)?;
        io::Write::write_all(&mut &file, &end)?;
        Ok(true)
    };
    match cut() {
        Ok(true) => tracing::warn!(path = %path.display(), "cut a log that had grown too long to its end"),
        Ok(false) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => tracing::warn!(path = %path.display(), %error, "a log that is too long cannot be cut"),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn size(path: &Path) -> u64 {
        fs::metadata(path).map_or(0, |data| data.len())
    }

    fn log(text: &str) -> (tempfile::TempDir, std::path::PathBuf) {
        let data = tempfile::tempdir().unwrap();
        let path = data.path().join("log");
        fs::write(&path, text).unwrap();
        (data, path)
    }

    #[test]
    fn a_process_prints_no_secret_whatever_it_puts_between() {
        let (_data, path) = log("first\nthe word is correct-\u{1b}[31mhor\u{1b}[0mse-bat\ntery\nlast\n");
        let secrets = [SecretString::from("correct-horse-battery")];
        assert_eq!(tail(&path, 2, &secrets), ["the word is ***", "last"]);
    }

    #[test]
    fn a_long_line_shows_its_beginning_and_its_end_and_hides_nothing_behind_it() {
        let long = format!("Error: begins here {}and ends here", "x".repeat(300_000));
        let (data, path) = log(&format!("{}\nbefore\n{long}\nlast\n", "y\n".repeat(9)));
        let shown = tail(&path, 10, &[]);
        assert_eq!(shown.last().map(String::as_str), Some("last"));
        let line = &shown[shown.len() - 2];
        assert!(line.starts_with("Error: begins here x") && line.ends_with("xand ends here"), "{line}");
        assert!(line.chars().count() <= 2_000, "{}", line.len());
        // It is the last one, and does not even end.
        let (_data, path) = log(&format!("before\n{long}"));
        let shown = tail(&path, 1, &[]);
        assert!(shown[0].starts_with("Error: begins here x") && shown[0].ends_with("xand ends here"), "{shown:?}");
        assert_eq!(tail(&data.path().join("absent"), 10, &[]), Vec::<String>::new());
    }

    #[test]
    fn what_was_drawn_over_is_not_shown_however_long_it_was_drawn() {
        let bar = "downloading 10%\r".repeat(30_000);
        let (_data, path) = log(&format!("before\n{bar}done: 100%\nfailed\n"));
        assert_eq!(tail(&path, 2, &[]), ["done: 100%", "failed"]);
        let (_data, path) = log(&format!("before\n{bar}"));
        assert_eq!(tail(&path, 1, &[]), ["downloading 10%"]);
        let (_data, path) = log(&format!("before\n{}begins {}ends", "10%\r".repeat(2_000), "x".repeat(300_000)));
        let shown = tail(&path, 1, &[]);
        assert!(shown[0].starts_with("begins x") && shown[0].ends_with("xends"), "{shown:?}");
        // What is read of the end begins between the return and the end of a line.
        let last = "y".repeat(256 * 1024 - 1);
        let (_data, path) = log(&format!("before\nhere it was\r\n{last}"));
        assert_eq!(tail(&path, 2, &[])[0], "here it was");
    }

    #[test]
    fn nothing_is_left_out_of_a_line_that_was_read_whole() {
        let (_data, path) = log(&format!("before\n{}\n{}", "a line ".repeat(100), "y".repeat(256 * 1024 - 30)));
        assert_eq!(tail(&path, 2, &[])[0], "a line ".repeat(100).trim_end());
    }

    #[test]
    fn no_part_of_a_secret_is_left_where_a_line_was_torn() {
        let secrets = [SecretString::from("correct-horse-battery-staple")];
        // The beginning that is read ends within the one, the end that is read begins within the other.
        let head = format!("{}correct-horse", "x".repeat(4 * 1024 - 13));
        let end = format!("-battery-staple{}", "y".repeat(256 * 1024 - 15));
        let (_data, path) = log(&format!("{head}-battery-staple{}correct-horse{end}", "z".repeat(100_000)));
        let shown = tail(&path, 3, &secrets).join("\n");
        assert!(shown.starts_with("xxx") && shown.ends_with("yyy"), "both ends are shown");
        assert!(!shown.contains("correct") && !shown.contains("staple"), "{shown}");
    }

    #[test]
    fn a_line_is_whole_that_lies_in_both_files() {
        let (_data, path) = log("and ends in the newer\nlast\n");
        fs::write(warden::older(&path), "first\na line begins in the older, ").unwrap();
        let both = ["a line begins in the older, and ends in the newer", "last"];
        assert_eq!(tail(&path, 2, &[]), both);
        fs::remove_file(&path).unwrap();
        assert_eq!(tail(&path, 1, &[]), ["a line begins in the older,"], "the older one was just turned");
    }

    #[test]
    fn a_log_without_a_warden_is_cut_to_its_end() {
        let (_data, path) = log("");
        File::options().write(true).open(&path).unwrap().set_len(FILE_BYTES).unwrap();
        io::Write::write_all(&mut File::options().append(true).open(&path).unwrap(), b"\nthe last\n").unwrap();
        bound(&path);
        assert_eq!(size(&path), TAIL_BYTES);
        assert_eq!(tail(&path, 1, &[]), ["the last"]);
        bound(&path);
        assert_eq!(size(&path), TAIL_BYTES, "what is short stays");
    }

    /// Whatever is printed, over whichever of the two files: of it the end is shown, short, plain and without
    /// the secret.
    #[test]
    fn whatever_is_printed_its_end_is_shown() {
        use rand::{RngExt, SeedableRng, rngs::SmallRng};
        const SECRET: &str = "correct-horse-battery-staple";
        let secrets = [SecretString::from(SECRET)];
        for seed in 0..12 {
            let mut random = SmallRng::seed_from_u64(seed);
            let mut bytes: Vec<u8> = Vec::new();
            for _ in 0..random.random_range(1..60) {
                let count: usize = random.random_range(0..40);
                match random.random_range(0..8) {
                    0 => bytes.push(b'\n'),
                    1 => bytes.push(b'\r'),
                    2 => bytes.extend_from_slice(SECRET.as_bytes()),
                    3 => bytes.extend_from_slice(b"\x1b[31m"),
                    4 => bytes.extend((0..count).map(|_| random.random::<u8>())),
                    5 => bytes.resize(bytes.len() + count * 1_000, b'x'),
                    6 => bytes.extend_from_slice("grüße".as_bytes()),
                    _ => bytes.extend_from_slice(b"a line\n"),
                }
            }
            bytes.extend_from_slice(b"\nthe end");
            let turned = random.random_range(0..=bytes.len());
            let (_data, path) = log("");
            fs::write(warden::older(&path), &bytes[..turned]).unwrap();
            fs::write(&path, &bytes[turned..]).unwrap();
            let shown = tail(&path, 20, &secrets);
            assert_eq!(shown.last().map(String::as_str), Some("the end"), "seed {seed}");
            for line in &shown {
                let is_fit = line.chars().count() <= 2_000 && !line.contains(['\n', '\r', '\u{1b}']);
                assert!(is_fit && !line.contains(SECRET), "seed {seed}: {line}");
            }
        }
    }
}
