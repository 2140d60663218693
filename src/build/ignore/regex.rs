//! Go's regular expressions as ours, as far as the pattern of an ignore file can come to one.
//!
//! Docker hands characters on that mean something to an expression, so that `\d` is a digit and
//! `[[:alpha:]]` a letter. What the two languages write differently is written out; escapes that Go
//! alone knows (`\Q`, `\p`, `\x`, octal numbers) are refused.
//!
//! Source: <https://pkg.go.dev/regexp/syntax>.

use std::fmt::Write;
use std::iter::Peekable;
use std::str::Chars;

/// What an escape stands for.
enum Escape {
    Character(char),
    /// The members of a class, and whether they are those that it does not have.
    Class {
        members: &'static str,
        complement: bool,
    },
    Assertion(&'static str),
}

const DIGITS: &str = "0-9";
const SPACES: &str = r"\t\n\x0c\r ";
const WORDS: &str = "0-9A-Za-z_";

/// Source: `posixGroup` of Go's `regexp/syntax`.
const NAMED: [&str; 14] = [
    "alnum", "alpha", "ascii", "blank", "cntrl", "digit", "graph", "lower", "print", "punct", "space", "upper", "word",
    "xdigit",
];

/// What a repetition has before it.
#[derive(PartialEq, Eq)]
enum Before {
    Nothing,
    One,
    Repeated,
}

/// The whole expression; `None` where Go refuses it.
pub(super) fn from_go(expression: &str) -> Option<String> {
    let mut ours = String::from("^");
    let mut before = Before::One;
    let mut rest = expression.chars().peekable();
    while let Some(c) = rest.next() {
        before = match c {
            '\\' => {
                match escape(rest.next()?)? {
                    Escape::Character(c) => push(&mut ours, c),
                    Escape::Class { members, complement } => {
                        ours.extend([if complement { "[^" } else { "[" }, members, "]"]);
                    }
                    Escape::Assertion(assertion) => ours.push_str(assertion),
                }
                Before::One
            }
            '[' => {
                class(&mut rest, &mut ours)?;
                Before::One
            }
            // These are Docker's own words: a pattern's would have a backslash before them.
            '*' | '?' => {
                ours.push(c);
                Before::Repeated
            }
            '^' | '(' | ')' | '.' => {
                ours.push(c);
                Before::One
            }
            '|' => {
                ours.push(c);
                Before::Nothing
            }
            '{' => match count(&rest) {
                Count::None => {
                    push(&mut ours, c);
                    Before::One
                }
                Count::Of(times) if before == Before::One => {
                    ours.extend(["{", &times, "}"]);
                    // The digits and the closing brace are ASCII.
                    rest.nth(times.len());
                    Before::Repeated
                }
                Count::Of(_) | Count::TooMuch => return None,
            },
            other => {
                push(&mut ours, other);
                Before::One
            }
        };
    }
    ours.push('$');
    Some(ours)
}

/// How often, of a repetition whose `{` is behind us.
enum Count {
    /// As it stands between the braces.
    Of(String),
    TooMuch,
    /// The brace stands for itself.
    None,
}

/// Source: `repeat` of Go's `regexp/syntax`.
fn count(rest: &Peekable<Chars<'_>>) -> Count {
    const MOST: u32 = 1000;
    let is_number = |text: &str| {
        let is_plain = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        is_plain && (text.len() == 1 || !text.starts_with('0'))
    };
    let rest: String = rest.clone().collect();
    let Some((inner, _)) = rest.split_once('}') else { return Count::None };
    let (least, most) = match inner.split_once(',') {
        Some((least, "")) => (least, least),
        Some(both) => both,
        None => (inner, inner),
    };
    if !is_number(least) || !is_number(most) {
        return Count::None;
    }
    // What does not fit is too much as well.
    match (least.parse::<u32>(), most.parse::<u32>()) {
        (Ok(least), Ok(most)) if least <= most && most <= MOST => Count::Of(inner.to_owned()),
        _ => Count::TooMuch,
    }
}

/// A character that stands for itself, in a class too.
fn push(ours: &mut String, c: char) {
    // Writing to a string cannot fail.
    let _ = write!(ours, r"\x{{{:x}}}", u32::from(c));
}

fn escape(c: char) -> Option<Escape> {
    let class = |members, complement| Escape::Class { members, complement };
    Some(match c {
        'a' => Escape::Character('\x07'),
        'f' => Escape::Character('\x0c'),
        'n' => Escape::Character('\n'),
        'r' => Escape::Character('\r'),
        't' => Escape::Character('\t'),
        'v' => Escape::Character('\x0b'),
        'd' => class(DIGITS, false),
        'D' => class(DIGITS, true),
        's' => class(SPACES, false),
        'S' => class(SPACES, true),
        'w' => class(WORDS, false),
        'W' => class(WORDS, true),
        'b' => Escape::Assertion(r"(?-u:\b)"),
        'A' => Escape::Assertion(r"\A"),
        'z' => Escape::Assertion(r"\z"),
        c if c.is_ascii() && !c.is_ascii_alphanumeric() => Escape::Character(c),
        _ => return None,
    })
}

/// Reads a class whose `[` is behind us, to behind its `]`.
fn class(rest: &mut Peekable<Chars<'_>>, ours: &mut String) -> Option<()> {
    ours.push('[');
    if rest.next_if_eq(&'^').is_some() {
        ours.push('^');
    }
    let mut is_first = true;
    while is_first || rest.peek() != Some(&']') {
        is_first = false;
        match named(rest) {
            Named::Known(name) => {
                ours.push_str(&name);
                continue;
            }
            Named::Unknown => return None,
            Named::No => {}
        }
        let low = match rest.next()? {
            '\\' => match escape(rest.next()?)? {
                Escape::Character(c) => c,
                Escape::Class { members, complement } => {
                    ours.extend([if complement { "[^" } else { "[" }, members, "]"]);
                    continue;
                }
                Escape::Assertion(_) => return None,
            },
            c => c,
        };
        push(ours, low);
        // A dash that stands last stands for itself.
        let mut ahead = rest.clone();
        if ahead.next() == Some('-') && ahead.next().is_some_and(|c| c != ']') {
            rest.next();
            let high = match rest.next()? {
                '\\' => match escape(rest.next()?)? {
                    Escape::Character(c) => c,
                    _ => return None,
                },
                c => c,
            };
            if high < low {
                return None;
            }
            ours.push('-');
            push(ours, high);
        }
    }
    rest.next();
    ours.push(']');
    Some(())
}

/// What a class has next.
enum Named {
    /// `[:alpha:]` or `[:^alpha:]`, whole.
    Known(String),
    /// The same with a name that no class has.
    Unknown,
    No,
}

fn named(rest: &mut Peekable<Chars<'_>>) -> Named {
    let ahead: String = rest.clone().collect();
    let Some((name, _)) = ahead.strip_prefix("[:").and_then(|inner| inner.split_once(":]")) else { return Named::No };
    rest.nth(name.chars().count() + 3);
    if NAMED.contains(&name.strip_prefix('^').unwrap_or(name)) {
        Named::Known(format!("[:{name}:]"))
    } else {
        Named::Unknown
    }
}
