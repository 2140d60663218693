//! Texts that programs printed, without what a terminal or a text renderer would act on.
//!
//! After cleaning, a text holds no control characters (lines of a log keep their tabs), no ANSI
//! sequences, and no character that is invisible or turns the reading direction: those are
//! written out as `<U+202E>`.

use std::fmt::Write as _;
use std::sync::LazyLock;

use regex::Regex;

/// Control sequences of ECMA-48 (CSI, OSC and the like, two-character escapes).
pub(super) static ANSI: LazyLock<Regex> = LazyLock::new(|| {
    let csi = r"(?:\x1b\[|\u{9b})[0-?]*[ -/]*[@-~]?";
    let strings = r"(?:\x1b[\]PX^_]|[\u{9d}\u{90}\u{98}\u{9e}\u{9f}])[^\x07\x1b\u{9c}\n]*(?:\x07|\x1b\\|\u{9c})?";
    let short = r"\x1b[ -/]*[0-~]?";
    Regex::new(&format!("{csi}|{strings}|{short}")).expect("the pattern is fixed")
});

/// Whether a reader would not see the character, or see others in another order because of it.
pub(super) fn is_hidden(c: char) -> bool {
    matches!(c,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180b}'..='\u{180e}'
        | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{2800}' | '\u{3164}'
        | '\u{feff}' | '\u{ffa0}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e0fff}')
}

/// The length of a written-out hidden character with which the text begins.
pub(super) fn marked(text: &str) -> Option<usize> {
    let digits = text.strip_prefix("<U+")?.split_once('>')?.0;
    let code = u32::from_str_radix(digits, 16).ok().filter(|_| digits.len() <= 6)?;
    char::from_u32(code).is_some_and(is_hidden).then_some(digits.len() + 4)
}

/// A text without what no reader sees: line ends and tabs stay.
pub(super) fn bare(text: &str) -> String {
    let plain = ANSI.replace_all(text, "");
    let mut out = String::with_capacity(plain.len());
    let mut rest = &*plain;
    while let Some(c) = rest.chars().next() {
        let length = marked(rest);
        if length.is_none() && !is_hidden(c) && (!c.is_control() || matches!(c, '\n' | '\t')) {
            out.push(c);
        }
        rest = &rest[length.unwrap_or(c.len_utf8())..];
    }
    out
}

fn push_clean(out: &mut String, line: &str) {
    // A program that draws a progress bar writes over its line: the last writing is what was seen.
    let line = line.trim_end_matches('\r');
    let line = line.rsplit('\r').next().unwrap_or(line);
    for c in line.chars() {
        if c == '\t' {
            out.push(c);
        } else if is_hidden(c) {
            let _ = write!(out, "<U+{:04X}>", u32::from(c));
        } else if !c.is_control() {
            out.push(c);
        }
    }
}

/// One line: line ends and tabs become spaces.
pub fn clean_line(text: &str) -> String {
    let plain = ANSI.replace_all(text, "");
    let mut out = String::with_capacity(plain.len());
    for (index, line) in plain.lines().enumerate() {
        if index > 0 {
            out.push(' ');
        }
        push_clean(&mut out, line);
    }
    out.replace('\t', " ").trim().to_owned()
}

/// Lines of a log, split further where one of them holds line ends.
pub fn clean_lines<S: AsRef<str>>(lines: &[S]) -> Vec<String> {
    let split = lines.iter().flat_map(|line| {
        let plain = ANSI.replace_all(line.as_ref(), "").into_owned();
        let parts: Vec<String> = plain.split('\n').map(str::to_owned).collect();
        parts
    });
    split
        .map(|line| {
            let mut out = String::with_capacity(line.len());
            push_clean(&mut out, &line);
            out.truncate(out.trim_end().len());
            out
        })
        .collect()
}

/// The first `max` characters, with `…` for the last where there are more.
pub(super) fn cut(text: &str, max: usize) -> String {
    if text.chars().count() <= max {
        return text.to_owned();
    }
    let mut out: String = text.chars().take(max.saturating_sub(1)).collect();
    out.push('…');
    out
}

/// In place of what is left out of the middle of a line.
pub(super) const GAP: &str = " … ";

/// The beginning and the end of a line that has more than `max` characters: what went wrong stands at either.
pub(super) fn cut_middle(text: &str, max: usize) -> String {
    let count = text.chars().count();
    if count <= max {
        return text.to_owned();
    }
    let room = max.saturating_sub(GAP.chars().count());
    let end = room / 2;
    let beginning: String = text.chars().take(room - end).collect();
    let end: String = text.chars().skip(count - end).collect();
    format!("{beginning}{GAP}{end}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_would_act_on_is_gone() {
        let cases = [
            ("\x1b[1;31merror\x1b[0m: no", "error: no"),
            ("\x1b]0;title\x07done", "done"),
            ("\x1b]8;;http://evil.example\x1b\\click\x1b]8;;\x1b\\", "click"),
            ("\u{9b}31mred", "red"),
            ("10%\r50%\r100%", "100%"),
            ("line\r\nnext\r\n", "line next"),
            ("a\0b\x08c\x7fd\u{85}", "abcd"),
            ("a\ttab", "a tab"),
            ("half \x1b[", "half"),
            ("safe\u{202e}exe.gpj", "safe<U+202E>exe.gpj"),
            ("ze\u{200b}ro \u{feff}bom", "ze<U+200B>ro <U+FEFF>bom"),
            ("tag\u{e0041}", "tag<U+E0041>"),
            ("para\u{2029}graph", "para<U+2029>graph"),
            ("grüße 日本 👍", "grüße 日本 👍"),
        ];
        for (raw, clean) in cases {
            assert_eq!(clean_line(raw), clean, "{raw:?}");
            assert_eq!(clean_line(clean), clean, "cleaning twice changes nothing: {raw:?}");
        }
    }

    #[test]
    fn lines_stay_lines() {
        assert_eq!(clean_lines(&["a\nb", "\tc  ", "\x1b[2K50%\r\x1b[2K60%"]), ["a", "b", "\tc", "60%"]);
    }

    #[test]
    fn a_long_line_keeps_both_ends() {
        assert_eq!(cut_middle("grüße", 5), "grüße");
        assert_eq!(cut_middle("grüße aus Köln", 9), "grü … öln");
        assert_eq!(cut_middle("grüße aus Köln", 8), "grü … ln");
        assert_eq!(cut_middle("grüße", 2), GAP);
    }

    #[test]
    fn a_cut_text_says_so() {
        assert_eq!(cut("grüße", 5), "grüße");
        assert_eq!(cut("grüße!", 5), "grüß…");
        assert_eq!(cut("ab", 0), "…");
    }
}
