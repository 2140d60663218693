//! The words of a command's line: plain ones, quoted ones, `key=value` and `--flags`.
//!
//! A quote opens at the start of a word or of a value and closes before a space or the end, so
//! `don't` needs no care and a quote may stand inside of another. Nothing escapes: a backslash is
//! Markdown's.

use crate::model::Misread;

/// Opening quotes with their closing ones; phones write the curved ones by themselves.
const QUOTES: [(char, char); 4] = [('"', '"'), ('\'', '\''), ('\u{201c}', '\u{201d}'), ('\u{2018}', '\u{2019}')];

/// One word.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Word {
    Plain(String),
    Quoted(String),
    /// `key=value` or `--key=value`; the key in lower case.
    Pair {
        key: String,
        value: String,
    },
    /// `--flag`, without the dashes, in lower case.
    Flag(String),
}

/// Splits at spaces and tabs.
pub(super) fn words(text: &str) -> Result<Vec<Word>, Misread> {
    let mut words = Vec::new();
    let mut rest = text.trim_start_matches(BLANKS);
    while !rest.is_empty() {
        let (word, behind) = word(rest)?;
        words.push(word);
        rest = behind.trim_start_matches(BLANKS);
    }
    Ok(words)
}

const BLANKS: [char; 2] = [' ', '\t'];

fn word(text: &str) -> Result<(Word, &str), Misread> {
    if let Some(close) = opened(text) {
        let (quoted, behind) = quoted(text, close)?;
        return Ok((Word::Quoted(quoted.to_owned()), behind));
    }
    let (whole, behind) = text.split_at(text.find(BLANKS).unwrap_or(text.len()));
    let Some((key, start)) = key(whole) else {
        let word = match whole.strip_prefix("--").filter(|name| !name.is_empty()) {
            Some(flag) => Word::Flag(flag.to_ascii_lowercase()),
            None => Word::Plain(whole.to_owned()),
        };
        return Ok((word, behind));
    };
    let (value, behind) = match opened(&text[start..]) {
        Some(close) => quoted(&text[start..], close)?,
        None => (&whole[start..], behind),
    };
    Ok((Word::Pair { key, value: value.to_owned() }, behind))
}

/// The key of `key=..` or `--key=..`, and where its value begins.
fn key(word: &str) -> Option<(String, usize)> {
    let (key, _) = word.split_once('=')?;
    let name = key.strip_prefix("--").unwrap_or(key);
    let is_name = name.starts_with(|c: char| c.is_ascii_alphabetic())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    is_name.then(|| (name.to_ascii_lowercase(), key.len() + 1))
}

/// The closing quote, when the text begins with an opening one.
fn opened(text: &str) -> Option<char> {
    let first = text.chars().next()?;
    QUOTES.into_iter().find(|(open, _)| *open == first).map(|(_, close)| close)
}

/// The text between the quotes, and what follows the closing one.
fn quoted(text: &str, close: char) -> Result<(&str, &str), Misread> {
    let inner = text.chars().next().map_or(text, |open| &text[open.len_utf8()..]);
    inner
        .match_indices(close)
        .map(|(at, _)| (&inner[..at], &inner[at + close.len_utf8()..]))
        .find(|(_, behind)| behind.is_empty() || behind.starts_with(BLANKS))
        .ok_or(Misread::UnclosedQuote)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(text: &str) -> Word {
        Word::Plain(text.into())
    }

    fn quote(text: &str) -> Word {
        Word::Quoted(text.into())
    }

    fn pair(key: &str, value: &str) -> Word {
        Word::Pair { key: key.into(), value: value.into() }
    }

    #[test]
    fn words_are_told_apart() {
        for (text, expected) in [
            ("", vec![]),
            (" \t ", vec![]),
            (" a\tb  c ", vec![plain("a"), plain("b"), plain("c")]),
            (
                "\"a b\" 'c' \u{201c}d e\u{201d} \u{2018}f\u{2019}",
                vec![quote("a b"), quote("c"), quote("d e"), quote("f")],
            ),
            ("\"it's \"so\" ok\" x", vec![quote("it's \"so"), plain("ok\""), plain("x")]),
            ("don't 5\"", vec![plain("don't"), plain("5\"")]),
            (
                "K=v --k=v k= k=\"a b\" --Force",
                vec![pair("k", "v"), pair("k", "v"), pair("k", ""), pair("k", "a b"), Word::Flag("force".into())],
            ),
            (
                "k='a=b' \"k=v\" =v 1=2 -- -f",
                vec![pair("k", "a=b"), quote("k=v"), plain("=v"), plain("1=2"), plain("--"), plain("-f")],
            ),
            ("\"\" k=\"\"", vec![quote(""), pair("k", "")]),
        ] {
            assert_eq!(words(text), Ok(expected), "{text}");
        }
    }

    #[test]
    fn an_open_quote_is_named() {
        for text in ["\"a", "'", "x \"a\"b", "k=\"a", "\u{201c}a\"", "k='a'b c"] {
            assert_eq!(words(text), Err(Misread::UnclosedQuote), "{text}");
        }
    }
}
