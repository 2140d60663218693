//! Lines, and what an instruction that begins in one may reach.

use super::{MAKE_IT_PLAIN, Refusal};

/// What all lines may come to when each is joined with those after it, in bytes and in lines looked at.
const MOST_JOINED: usize = 4 << 20;
/// No instruction's name is longer.
const LONGEST_NAME: usize = 64;

/// A line, joined with what follows as far as any engine joins it.
#[derive(Debug)]
pub(super) struct Line {
    /// Counted from 1.
    pub(super) number: usize,
    pub(super) text: String,
    /// No engine takes it for a part of something that began before.
    pub(super) is_certain: bool,
    /// Engines may differ about where it goes on.
    pub(super) is_odd: bool,
}

/// Every line in which an instruction may begin that is looked at.
pub(super) fn lines(text: &str) -> Result<Vec<Line>, Refusal> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let raw: Vec<&str> = text.split('\n').collect();
    let (mut found, mut spent) = (Vec::new(), 0);
    let (mut is_open, mut is_heredoc) = (false, false);
    for (index, line) in raw.iter().enumerate() {
        if !is_nothing(line) {
            let (name, looked_at) = name_of(&raw[index..]);
            spent += looked_at;
            if ["add", "copy", "from", "onbuild", "arg", "run"].contains(&name.as_str()) {
                let (text, is_odd) = joined(&raw[index..]);
                spent += text.len();
                found.push(Line { number: index + 1, text, is_certain: !is_open && !is_heredoc, is_odd });
            }
            if spent > MOST_JOINED {
                let reason = format!("line {} of the Dockerfile belongs to an endless instruction", index + 1);
                return Err(Refusal { reason, advice: MAKE_IT_PLAIN });
            }
            // A comment ends no instruction, and goes on in none.
            is_open = ending(line) != Ending::Whole;
        }
        // What marks a heredoc may itself go on in the next line.
        is_heredoc |= line.contains("<<") || line.trim_end().trim_end_matches(['\\', '`']).ends_with('<');
    }
    Ok(found)
}

/// The name of what begins in the first of these lines, which may be spread over several, and how much was
/// looked at for it.
fn name_of(lines: &[&str]) -> (String, usize) {
    let (mut text, mut looked_at) = (String::new(), 0);
    for (index, line) in lines.iter().enumerate() {
        looked_at += 1;
        if index > 0 && is_nothing(line) {
            continue;
        }
        looked_at += line.len();
        text.push_str(without_escape(line));
        let begun = text.trim_start();
        if ending(line) == Ending::Whole || begun.contains(char::is_whitespace) || begun.len() > LONGEST_NAME {
            break;
        }
    }
    (first_word(&text).0, looked_at)
}

/// The first line with those that may belong to it, and whether engines may differ about them.
fn joined(lines: &[&str]) -> (String, bool) {
    let (mut text, mut is_odd) = (String::new(), false);
    for (index, line) in lines.iter().enumerate() {
        if index > 0 && is_nothing(line) {
            continue;
        }
        text.push_str(without_escape(line));
        is_odd |= ending(line) == Ending::Odd;
        if ending(line) == Ending::Whole || text.len() > MOST_JOINED {
            break;
        }
    }
    (text, is_odd)
}

/// How a line ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ending {
    Whole,
    /// It goes on with every engine.
    Open,
    /// It goes on with some: two escapes, the escape of Windows, a blank behind it that not everybody takes for
    /// one.
    Odd,
}

fn ending(line: &str) -> Ending {
    let line = line.strip_suffix('\r').unwrap_or(line);
    match line.trim_end_matches([' ', '\t']).strip_suffix('\\') {
        Some(before) if before.ends_with('\\') => Ending::Odd,
        Some(_) => Ending::Open,
        None if line.trim_end().ends_with(['\\', '`']) => Ending::Odd,
        None => Ending::Whole,
    }
}

fn without_escape(line: &str) -> &str {
    let line = line.trim_end();
    line.strip_suffix(['\\', '`']).unwrap_or(line)
}

fn is_nothing(line: &str) -> bool {
    let line = line.trim();
    line.is_empty() || line.starts_with('#')
}

/// The instruction in lower case, as Go lowers it, and what comes after it.
pub(super) fn first_word(text: &str) -> (String, &str) {
    let text = text.trim_start_matches(|c: char| c.is_whitespace() || c == '\u{feff}');
    let end = text.find(char::is_whitespace).unwrap_or(text.len());
    let lower = |c: char| match c {
        // The only letters besides our own that Go lowers to one of them.
        '\u{130}' => 'i',
        '\u{212a}' => 'k',
        c => c.to_ascii_lowercase(),
    };
    (text[..end].chars().map(lower).collect(), &text[end..])
}

/// A text as engines may read it once quotes, escapes and letters beyond ASCII are gone: with nothing in their
/// place, and with a blank.
pub(super) fn readings(text: &str) -> [String; 2] {
    let is_kept = |c: char| c.is_ascii() && !matches!(c, '"' | '\'' | '\\' | '`');
    let spaced = text.chars().map(|c| if is_kept(c) { c } else { ' ' });
    [text.chars().filter(|c| is_kept(*c)).collect(), spaced.collect()]
}

/// What every engine reads as it is written: no quote, no escape, nothing but ASCII.
pub(super) fn is_plain(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'"' | b'\'' | b'\\' | b'`'))
}

/// The words of an instruction that is plain.
pub(super) fn plain_words(text: &str) -> Option<Vec<&str>> {
    let words: Vec<&str> = text.split(BLANK).filter(|word| !word.is_empty()).collect();
    words.iter().all(|word| is_plain(word)).then_some(words)
}

/// What parts words with every engine.
pub(super) const BLANK: [char; 2] = [' ', '\t'];

/// The flags of an instruction, and what comes after them. `None` where engines may differ about either:
/// Docker's reads flags byte by byte, quotes and escapes in them included.
pub(super) fn flags(text: &str) -> Option<(Vec<&str>, &str)> {
    let mut flags = Vec::new();
    let mut rest = text.trim_start_matches(BLANK);
    while rest.starts_with("--") {
        let (flag, after) = rest.split_at(rest.find(BLANK).unwrap_or(rest.len()));
        let key = flag["--".len()..].split('=').next().unwrap_or_default();
        if key.is_empty() || !key.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-') || !is_plain(flag) {
            return None;
        }
        flags.push(flag);
        rest = after.trim_start_matches(BLANK);
    }
    let is_odd = |c: char| c.is_whitespace() || c.is_control() || c == '\u{feff}';
    (!rest.starts_with(is_odd)).then_some((flags, rest))
}
