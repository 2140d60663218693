//! Finds known secrets in a text, whatever lies between their characters and however they are written.
//!
//! A value is compared with what the text says once everything is gone that a reader does not see or
//! that a line's end, a chunk's end or a terminal put there. Where it has [`LONG`] characters or more,
//! it is also found percent-encoded, escaped as JSON, in hexadecimal, and in base64 at whatever place
//! of the encoded text it begins.

use std::ops::Range;

use aho_corasick::AhoCorasick;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use secrecy::{ExposeSecret, SecretString};

use super::clean::{ANSI, is_hidden, marked};

/// Known values shorter than this stay: removing them would tear ordinary words apart.
const SHORTEST: usize = 4;

/// From this length on a value is looked for in every form.
const LONG: usize = 8;

/// Where known values stand in the text: in order, not touching each other.
pub(super) fn known(text: &str, secrets: &[SecretString]) -> Vec<Range<usize>> {
    let values = values(secrets);
    let mut found: Vec<Range<usize>> = Vec::new();
    for value in values.iter().filter(|value| value.len() >= SHORTEST) {
        found.extend(text.match_indices(value.as_str()).map(|(at, part)| at..at + part.len()));
    }
    let long: Vec<&String> = values.iter().filter(|value| value.chars().count() >= LONG).collect();
    let said: Vec<Vec<u8>> = long.iter().map(|value| Seen::of(value).bytes).filter(|b| b.len() >= SHORTEST).collect();
    if !said.is_empty() {
        let seen = Seen::of(text);
        let views = [seen.percent_decoded(), seen.json_decoded()];
        found.extend(views.iter().flat_map(|view| view.find(&said, Case::Exact)));
        found.extend(seen.find(&said, Case::Exact));
        found.extend(seen.ends(&said));
        let hex: Vec<Vec<u8>> = long.iter().map(|value| hex::encode(value).into_bytes()).collect();
        found.extend(seen.find(&hex, Case::Any));
        let base64: Vec<Vec<u8>> = long.iter().flat_map(|value| base64_forms(value.as_bytes())).collect();
        found.extend(seen.find(&base64, Case::Exact).into_iter().map(|at| with_last_digits(text, at)));
    }
    merged(found)
}

/// The values themselves, the lines of those that have several, and the texts inside of JSON.
fn values(secrets: &[SecretString]) -> Vec<String> {
    let mut values = Vec::new();
    for secret in secrets {
        let value = secret.expose_secret().trim();
        values.push(value.to_owned());
        if value.contains('\n') {
            values.extend(value.lines().map(str::trim).filter(|line| line.len() >= LONG).map(str::to_owned));
        }
        if let Ok(serde_json::Value::Object(entries)) = serde_json::from_str(value) {
            let texts = entries.values().filter_map(serde_json::Value::as_str);
            values.extend(texts.filter(|text| text.len() >= LONG).map(str::to_owned));
        }
    }
    values
}

/// The digits that a value makes certain, wherever in a base64 text it begins.
fn base64_forms(value: &[u8]) -> Vec<Vec<u8>> {
    let mut forms = Vec::new();
    for before in 0..3_usize {
        let padded = [vec![0; before], value.to_vec()].concat();
        // Six bits to a digit: the first and the last may have bits of what stands around the value.
        let certain = (before * 8).div_ceil(6)..padded.len() * 8 / 6;
        for alphabet in [STANDARD, URL_SAFE] {
            forms.push(alphabet.encode(&padded).into_bytes()[certain.clone()].to_vec());
        }
    }
    forms
}

/// The digits around a find that have some bits of the value too.
fn with_last_digits(text: &str, at: Range<usize>) -> Range<usize> {
    let is_digit = |byte: &u8| byte.is_ascii_alphanumeric() || b"+/-_=".contains(byte);
    let bytes = text.as_bytes();
    let before = bytes[..at.start].iter().rev().take(2).take_while(|byte| is_digit(byte)).count();
    let after = bytes[at.end..].iter().take(3).take_while(|byte| is_digit(byte)).count();
    at.start - before..at.end + after
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Case {
    Exact,
    Any,
}

/// What a text says, each byte with where it comes from.
#[derive(Debug, Default)]
struct Seen {
    bytes: Vec<u8>,
    from: Vec<Range<usize>>,
}

impl Seen {
    /// Without whitespace, control characters, sequences of a terminal and what nobody sees.
    fn of(text: &str) -> Self {
        let mut seen = Self::default();
        let mut skipped = ANSI.find_iter(text).map(|found| found.range()).peekable();
        let mut at = 0;
        while let Some(c) = text[at..].chars().next() {
            while skipped.next_if(|range| range.end <= at).is_some() {}
            let left_out = match skipped.peek() {
                Some(range) if range.start <= at => Some(range.end - at),
                _ => marked(&text[at..]),
            };
            if let Some(length) = left_out {
                at += length;
                continue;
            }
            let end = at + c.len_utf8();
            if !c.is_whitespace() && !c.is_control() && !is_hidden(c) {
                text.as_bytes()[at..end].iter().for_each(|byte| seen.push(*byte, at..end));
            }
            at = end;
        }
        seen
    }

    fn push(&mut self, byte: u8, from: Range<usize>) {
        self.bytes.push(byte);
        self.from.push(from);
    }

    /// Source: WHATWG URL, "percent-decode"; a plus sign is a space in a form.
    fn percent_decoded(&self) -> Self {
        self.decoded(|bytes| match bytes {
            [b'+', ..] => Some((1, Vec::new())),
            [b'%', high, low, ..] => Some((3, hex::decode([*high, *low]).ok()?)),
            _ => None,
        })
    }

    /// Source: RFC 8259, section 7.
    fn json_decoded(&self) -> Self {
        self.decoded(|bytes| match bytes {
            [b'\\', b'u', digits @ ..] => {
                let unit = |digits: &[u8]| u16::from_str_radix(std::str::from_utf8(digits.get(..4)?).ok()?, 16).ok();
                let first = unit(digits)?;
                let second = digits.get(4..6).filter(|next| next == b"\\u").and_then(|_| unit(&digits[6..]));
                let pair = second.and_then(|second| String::from_utf16(&[first, second]).ok());
                match (String::from_utf16(&[first]), pair) {
                    (Ok(text), _) => Some((6, text.into_bytes())),
                    (Err(_), Some(text)) => Some((12, text.into_bytes())),
                    (Err(_), None) => None,
                }
            }
            [b'\\', c @ (b'"' | b'\\' | b'/'), ..] => Some((2, vec![*c])),
            [b'\\', b'b' | b'f' | b'n' | b'r' | b't', ..] => Some((2, Vec::new())),
            _ => None,
        })
    }

    /// `read` answers how many bytes make an escape, and what it stands for.
    fn decoded(&self, read: impl Fn(&[u8]) -> Option<(usize, Vec<u8>)>) -> Self {
        let mut seen = Self::default();
        let mut at = 0;
        while at < self.bytes.len() {
            let (length, bytes) = read(&self.bytes[at..]).unwrap_or_else(|| (1, vec![self.bytes[at]]));
            let from = self.from[at].start..self.from[at + length - 1].end;
            let said = bytes.into_iter().filter(|byte| !byte.is_ascii_whitespace() && !byte.is_ascii_control());
            said.for_each(|byte| seen.push(byte, from.clone()));
            at += length;
        }
        seen
    }

    /// Where the values stand, those that overlap included.
    fn find(&self, values: &[Vec<u8>], case: Case) -> Vec<Range<usize>> {
        let searcher = AhoCorasick::builder().ascii_case_insensitive(case == Case::Any).build(values);
        // Too many values to search for: no server has that many.
        let Ok(searcher) = searcher else { return Vec::new() };
        searcher.find_overlapping_iter(&self.bytes).map(|found| self.origin(found.range())).collect()
    }

    /// The rest of a value with which the text begins, and the beginning of one with which it ends:
    /// what was cut somewhere was perhaps cut there.
    fn ends(&self, values: &[Vec<u8>]) -> Vec<Range<usize>> {
        let mut found = Vec::new();
        for value in values {
            let parts = || (LONG..value.len()).rev();
            if let Some(length) = parts().find(|length| self.bytes.starts_with(&value[value.len() - length..])) {
                found.push(self.origin(0..length));
            }
            if let Some(length) = parts().find(|length| self.bytes.ends_with(&value[..*length])) {
                found.push(self.origin(self.bytes.len() - length..self.bytes.len()));
            }
        }
        found
    }

    fn origin(&self, range: Range<usize>) -> Range<usize> {
        self.from[range.start].start..self.from[range.end - 1].end
    }
}

fn merged(mut found: Vec<Range<usize>>) -> Vec<Range<usize>> {
    found.sort_by_key(|range| (range.start, range.end));
    let mut merged: Vec<Range<usize>> = Vec::new();
    for range in found {
        match merged.last_mut() {
            Some(last) if range.start <= last.end => last.end = last.end.max(range.end),
            _ => merged.push(range),
        }
    }
    merged
}
