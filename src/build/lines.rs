//! What a build prints, taken apart into lines that can be read.
//!
//! Of a line of more than 4 KiB the beginning and the end arrive, of one that is drawn over what was drawn
//! last, and nothing of what a terminal would act on. Of what is printed without end, the beginning and the
//! end arrive.

#[cfg(test)]
mod fuzz;

const LONGEST_LINE: usize = 4 << 10;
/// Of a longer one so much of the beginning, and as much of the end.
const HALF_LINE: usize = LONGEST_LINE / 2;
/// In place of what is left out between the two.
const GAP: &[u8] = " … ".as_bytes();
/// So much is taken apart line by line; after it comes only the end.
const MOST_BYTES: usize = 16 << 20;
const MOST_LINES: usize = 100_000;
/// Of what comes after, so much of the end.
const END_BYTES: usize = 64 << 10;

/// Bytes on their way to becoming lines.
#[derive(Default)]
pub(super) struct Lines {
    /// The line that is not whole yet: all of it, or its beginning.
    line: Vec<u8>,
    /// What follows the beginning, as far as it may be the end.
    line_end: Vec<u8>,
    is_line_cut: bool,
    /// The line was brought to its beginning again: what comes next is drawn over it.
    is_returned: bool,
    /// What was taken apart so far: bytes, and lines that ended.
    bytes: usize,
    ended: usize,
    /// What came after, as far as it may be the end.
    end: Vec<u8>,
    /// Whether something before that is left out.
    is_cut: bool,
}

impl Lines {
    pub(super) fn push(&mut self, bytes: &[u8], on_line: &mut impl FnMut(&str)) {
        if self.bytes < MOST_BYTES && self.ended < MOST_LINES {
            self.bytes += bytes.len();
            self.take_apart(bytes, on_line);
            return;
        }
        self.end.extend_from_slice(bytes);
        if self.end.len() > 2 * END_BYTES {
            self.end.drain(..self.end.len() - END_BYTES);
            self.is_cut = true;
        }
    }

    fn take_apart(&mut self, bytes: &[u8], on_line: &mut impl FnMut(&str)) {
        for byte in bytes {
            match byte {
                b'\n' => self.finish(on_line),
                b'\r' => self.is_returned = true,
                byte => {
                    if std::mem::take(&mut self.is_returned) {
                        self.clear_line();
                    }
                    self.add(*byte);
                }
            }
        }
    }

    fn add(&mut self, byte: u8) {
        if self.line.len() < HALF_LINE {
            self.line.push(byte);
            return;
        }
        self.line_end.push(byte);
        if self.line_end.len() >= 2 * HALF_LINE {
            self.line_end.drain(..self.line_end.len() - HALF_LINE);
            self.is_line_cut = true;
        }
    }

    fn clear_line(&mut self) {
        self.line.clear();
        self.line_end.clear();
        (self.is_line_cut, self.is_returned) = (false, false);
    }

    /// The output is at its end.
    pub(super) fn close(&mut self, on_line: &mut impl FnMut(&str)) {
        self.finish(on_line);
        let end = std::mem::take(&mut self.end);
        if !end.is_empty() {
            on_line("... (more was printed than is read)");
            // Where the beginning of a line is missing, the line is no line.
            let begins = end.iter().position(|byte| matches!(byte, b'\n' | b'\r')).filter(|_| self.is_cut);
            self.take_apart(&end[begins.unwrap_or_default()..], on_line);
            self.finish(on_line);
        }
    }

    fn finish(&mut self, on_line: &mut impl FnMut(&str)) {
        self.ended += 1;
        let gap: &[u8] = if self.is_line_cut { GAP } else { &[] };
        let line = [&self.line[..], gap, &self.line_end[..]].concat();
        let text = String::from_utf8_lossy(&line);
        let plain = console::strip_ansi_codes(&text);
        let line: String = plain.chars().filter(|c| !c.is_control() || *c == '\t').collect();
        if !line.trim().is_empty() {
            on_line(line.trim_end());
        }
        self.clear_line();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_what_is_printed_without_end_the_beginning_and_the_end_arrive() {
        let printed = |chunk: &str, count: usize, last: &str| {
            let (mut lines, mut seen) = (Lines::default(), Vec::new());
            let mut on_line = |line: &str| seen.push(line.to_owned());
            lines.push(b"the first\n", &mut on_line);
            (0..count).for_each(|_| lines.push(chunk.as_bytes(), &mut on_line));
            lines.push(last.as_bytes(), &mut on_line);
            lines.close(&mut on_line);
            seen
        };
        let many = printed(&"y\n".repeat(8_000), 200, "the last");
        assert_eq!((many[0].as_str(), many.last().map(String::as_str)), ("the first", Some("the last")));
        let gap = many.iter().position(|line| line.contains("more was printed")).expect("it is told");
        assert!(
            (MOST_LINES..MOST_LINES + 8_000).contains(&gap) && many.len() <= gap + END_BYTES + 2,
            "{gap} {}",
            many.len()
        );
        let long = printed(&"x".repeat(1 << 20), 64, "\nthe last");
        assert_eq!(long.len(), 4, "the first, one long line, what is told, and the last: {}", long.len());
        assert_eq!(long.last().map(String::as_str), Some("the last"));
        assert_eq!(printed("y\n", 9, "the last").len(), 11, "nothing is left out of what is short");
    }

    #[test]
    fn of_a_long_line_both_ends_arrive_and_of_a_bar_what_was_drawn_last() {
        let printed = |text: &str| {
            let (mut lines, mut seen) = (Lines::default(), Vec::new());
            let mut on_line = |line: &str| seen.push(line.to_owned());
            // In pieces, as a pipe hands them on.
            text.as_bytes().chunks(7).for_each(|piece| lines.push(piece, &mut on_line));
            lines.close(&mut on_line);
            seen
        };
        let all = printed(&format!("begins {}ends", "x".repeat(100_000)));
        let [long] = all.as_slice() else { panic!("one line: {all:?}") };
        assert!(long.starts_with("begins xxx") && long.contains(" … ") && long.ends_with("xxxends"), "{long}");
        assert!(long.len() <= 2 * LONGEST_LINE, "{}", long.len());
        let whole = "y".repeat(LONGEST_LINE - 1);
        assert_eq!(printed(&whole), std::slice::from_ref(&whole), "what fits stays whole");
        assert_eq!(printed("10%\r20%\rdone\r\nnext\r\n30%\r"), ["done", "next", "30%"]);
    }
}
