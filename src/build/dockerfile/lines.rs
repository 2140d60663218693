//! Lines, and what an instruction that begins in one may reach.

use super::{MAKE_IT_PLAIN, Refusal};

/// What all lines may come to when each is joined with those after it.
const MOST_JOINED: usize = 4 << 20;

/// A line, joined with what follows as far as any engine joins it.
#[derive(Debug)]
pub(super) struct Line {
    /// Counted from 1.
    pub(super) number: usize,
    pub(super) text: String,
    /// No engine takes it for a part of something that began before.
    pub(super) is_certain: bool,
}

/// Every line in which an instruction may begin.
pub(super) fn lines(text: &str) -> Result<Vec<Line>, Refusal> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let raw: Vec<&str> = text.split('\n').collect();
    let (mut found, mut joined_bytes) = (Vec::new(), 0);
    let (mut is_open, mut is_heredoc) = (false, false);
    for (index, line) in raw.iter().enumerate() {
        let is_empty = is_nothing(line);
        if !is_empty {
            let (word, _) = first_word(line);
            // Only these are looked at.
            if ["add", "copy", "from", "onbuild", "arg", "run"].contains(&word.as_str()) {
                let text = joined(&raw[index..]);
                joined_bytes += text.len();
                if joined_bytes > MOST_JOINED {
                    let reason = format!("line {} of the Dockerfile belongs to an endless instruction", index + 1);
                    return Err(Refusal { reason, advice: MAKE_IT_PLAIN });
                }
                found.push(Line { number: index + 1, text, is_certain: !is_open && !is_heredoc });
            }
        }
        // A comment or an empty line ends an instruction with some engines, and not with others.
        is_open = goes_on(line) || is_open && is_empty;
        is_heredoc |= line.contains("<<");
    }
    Ok(found)
}

/// The first line with those that may belong to it.
fn joined(lines: &[&str]) -> String {
    let mut text = String::new();
    for (index, line) in lines.iter().enumerate() {
        if index > 0 && is_nothing(line) {
            continue;
        }
        let line = line.trim_end();
        match line.strip_suffix(['\\', '`']) {
            Some(line) => text.push_str(line),
            None => {
                text.push_str(line);
                break;
            }
        }
        if text.len() > MOST_JOINED {
            break;
        }
    }
    text
}

/// Whether an engine may take the next line for a part of this one, with either escape.
fn goes_on(line: &str) -> bool {
    line.trim_end().ends_with(['\\', '`'])
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

/// The words of an instruction without quotes and escapes. What looks like a list in JSON is cut
/// wherever an element may end; the flags before it are not.
pub(super) fn words(text: &str) -> Vec<String> {
    let Some(start) = list_start(text) else { return plain_words(text) };
    let (flags, list) = text.split_at(start);
    let is_end = |c: char| c.is_whitespace() || matches!(c, ',' | '"' | '[' | ']');
    let mut words = plain_words(flags);
    words.extend(list.split(is_end).map(bare).filter(|word| !word.is_empty()));
    words
}

/// The words of what is never a list in JSON.
pub(super) fn plain_words(text: &str) -> Vec<String> {
    text.split_whitespace().map(bare).filter(|word| !word.is_empty()).collect()
}

/// Without quotes and escapes.
fn bare(word: &str) -> String {
    word.chars().filter(|c| !matches!(c, '"' | '\'' | '\\' | '`')).collect()
}

/// Whether an instruction's words, its flags apart, may be a list in JSON.
pub(super) fn is_list(text: &str) -> bool {
    list_start(text).is_some()
}

/// Where that list begins.
fn list_start(text: &str) -> Option<usize> {
    let mut at = 0;
    for piece in text.split_inclusive(char::is_whitespace) {
        let word = piece.trim_end();
        if !word.is_empty() && !word.starts_with("--") {
            return word.starts_with('[').then_some(at);
        }
        at += piece.len();
    }
    None
}
