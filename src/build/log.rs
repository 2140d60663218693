//! What a build prints: kept in a file, its end in memory.

use std::collections::VecDeque;
use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;

use crate::view::{PRINTED_BEFORE, printed};

/// How many lines a failure shows.
const TAIL: usize = 30;
/// A build that prints without end must not fill the disk: so much of its beginning, and its last lines.
const MOST_BYTES: usize = 16 << 20;
/// How much of a file's end is read for its last lines.
const READ_BACK: u64 = 1 << 20;

/// The log of one build under way.
pub(super) struct BuildLog {
    file: File,
    left: usize,
    /// Lines that are not in the file; the last of them are in the tail.
    left_out: usize,
    tail: VecDeque<String>,
}

impl BuildLog {
    /// Takes the place of the log before.
    pub(super) fn begin(path: &Path) -> io::Result<Self> {
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent)?;
        }
        Ok(Self { file: File::create(path)?, left: MOST_BYTES, left_out: 0, tail: VecDeque::new() })
    }

    /// Goes on where the log ends: the same build, a further command.
    pub(super) fn resume(path: &Path) -> io::Result<Self> {
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent)?;
        }
        let file = File::options().append(true).create(true).open(path)?;
        let kept = usize::try_from(file.metadata()?.len()).unwrap_or(MOST_BYTES);
        Ok(Self { file, left: MOST_BYTES.saturating_sub(kept), left_out: 0, tail: VecDeque::new() })
    }

    /// Keeps a line. What the disk will not take is missing from the file, not from the tail.
    pub(super) fn line(&mut self, line: &str) {
        self.tail.push_back(line.to_owned());
        if self.tail.len() > TAIL + PRINTED_BEFORE {
            self.tail.pop_front();
        }
        if self.left == 0 {
            self.left_out += 1;
            return;
        }
        self.left = self.left.saturating_sub(line.len() + 1);
        if self.left == 0 {
            self.left_out += 1;
        } else if let Err(error) = self.file.write_all(line.as_bytes()).and_then(|()| self.file.write_all(b"\n")) {
            tracing::warn!(%error, "a build's log is not kept further");
            (self.left, self.left_out) = (0, 1);
        }
    }

    /// The last lines, oldest first.
    pub(super) fn into_tail(mut self) -> Vec<String> {
        self.close();
        printed(&Vec::from(std::mem::take(&mut self.tail)), TAIL, &[])
    }

    /// Writes the end of what did not fit: the reason of a failure stands there.
    fn close(&mut self) {
        let left_out = std::mem::take(&mut self.left_out);
        if left_out == 0 {
            return;
        }
        let kept = left_out.min(self.tail.len());
        let mut end = String::new();
        if left_out > kept {
            end.push_str("... (more was printed than is kept)\n");
        }
        for line in self.tail.iter().skip(self.tail.len() - kept) {
            end.push_str(line);
            end.push('\n');
        }
        if let Err(error) = self.file.write_all(end.as_bytes()) {
            tracing::warn!(%error, "the end of a build's log is not kept");
        }
    }
}

impl Drop for BuildLog {
    /// A build that was cancelled has an end too.
    fn drop(&mut self) {
        self.close();
    }
}

/// The last lines of a log, oldest first; none where there is no log.
pub(super) fn last_lines(path: &Path, count: usize) -> io::Result<Vec<String>> {
    let mut file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let start = file.metadata()?.len().saturating_sub(READ_BACK);
    file.seek(SeekFrom::Start(start))?;
    let mut bytes = Vec::new();
    file.take(READ_BACK).read_to_end(&mut bytes)?;
    let text = String::from_utf8_lossy(&bytes);
    // The first line was probably cut.
    let mut lines: Vec<&str> = text.lines().skip(usize::from(start > 0)).collect();
    lines.drain(..lines.len().saturating_sub(count.saturating_add(PRINTED_BEFORE)));
    Ok(printed(&lines, count, &[]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_is_at_hand_and_the_file_has_the_rest() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("logs/web.log");
        assert_eq!(last_lines(&path, 5).expect("no log"), Vec::<String>::new());
        let mut log = BuildLog::begin(&path).expect("a log");
        (1..=100).for_each(|n| log.line(&format!("line {n}")));
        let tail = log.into_tail();
        assert_eq!((tail.len(), tail[0].as_str(), tail[29].as_str()), (30, "line 71", "line 100"));
        assert_eq!(last_lines(&path, 2).expect("a log"), ["line 99", "line 100"]);
        assert_eq!(last_lines(&path, 1000).expect("a log").len(), 100);
        BuildLog::begin(&path).expect("a new log").line("anew");
        assert_eq!(last_lines(&path, 9).expect("a log"), ["anew"]);
        BuildLog::resume(&path).expect("a log").line("further");
        assert_eq!(last_lines(&path, 9).expect("a log"), ["anew", "further"]);
    }

    #[test]
    fn of_an_endless_log_the_beginning_and_the_end_are_kept() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("web.log");
        let mut log = BuildLog::begin(&path).expect("a log");
        let row = "x".repeat(4096);
        (0..5000).for_each(|_| log.line(&row));
        log.line("the very last");
        assert_eq!(log.into_tail().last().map(String::as_str), Some("the very last"));
        let most = MOST_BYTES + (TAIL + PRINTED_BEFORE) * (row.len() + 1) + 64;
        assert!(fs::metadata(&path).expect("a file").len() <= u64::try_from(most).expect("a size"));
        assert_eq!(last_lines(&path, 1).expect("a log"), ["the very last"], "the end is in the file too");
        let text = fs::read_to_string(&path).expect("a log");
        assert_eq!(text.matches("more was printed than is kept").count(), 1);
        assert!(last_lines(&path, 10_000).expect("a log").len() < 400, "only the end is read");
    }
}
