//! What a text is that should be the App's private key.
//!
//! Guarantees: nothing that is said of the text repeats a part of it. A key that lost its line breaks, or
//! was written as base64 for a variable of one line, is put together again.

use std::sync::LazyLock;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_PAD_INDIFFERENT, URL_SAFE_PAD_INDIFFERENT};
use regex::Regex;
use secrecy::SecretString;

/// What was given.
#[derive(Debug)]
pub enum KeyText {
    /// A private key, its lines as PEM wants them.
    Pem(SecretString),
    /// A text of one line that has no shape of a secret: the path of a file, if it is anything.
    Path,
    Wrong(KeyFault),
}

/// What was given in place of the key, as what follows "it".
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeyFault {
    #[error("is empty")]
    Empty,
    #[error("holds a private key whose first or last line is damaged or missing: they begin and end with five hyphens")]
    Markers,
    #[error("holds a private key, or a part of one, without its first and last line, those with BEGIN and END")]
    NoMarkers,
    #[error("holds several lines, none of which begins a private key")]
    Lines,
    #[error("holds no private key")]
    NoKey,
    #[error("holds something between its first and last line that is not base64: it was changed on its way")]
    NotBase64,
    #[error("is written in hexadecimal digits, as no private key of GitHub's is")]
    Hexadecimal,
    #[error("has 40 hexadecimal digits, as the App's client secret has, which is another thing")]
    ClientSecret,
    #[error("holds a key in binary form: `openssl rsa -inform DER -in FILE` makes text of it")]
    Binary,
    #[error("is a public key")]
    Public,
    #[error("is a certificate")]
    Certificate,
    #[error("is a key of SSH, which GitHub Apps do not have")]
    OpenSsh,
    #[error("is locked with a passphrase: `openssl rsa -in FILE` makes one without of it")]
    Encrypted,
    #[error("is not an RSA key, as those of GitHub Apps are")]
    NotRsa,
    #[error("is the fingerprint that GitHub shows of the key, not the key")]
    Fingerprint,
    #[error("is a token of GitHub's")]
    Token,
    #[error("is the App's client id")]
    ClientId,
    #[error("is a number, as the App's id is")]
    Number,
}

/// Shorter texts are never taken for a key, whatever they are made of.
const SHORTEST_KEY: usize = 64;
/// No path has so many characters of base64 and nothing else.
const LONGEST_NAME: usize = 200;
/// An RSA key of 512 bits, which nobody has any more, has twice as many.
const SHORTEST_LINE: usize = 48;

/// Something that was the first or last line of a key once.
static DAMAGED: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"-\s*(?:BEGIN|END) [A-Z0-9 ]*KEY|(?:BEGIN|END) [A-Z0-9 ]*KEY\s*-").expect("fixed"));

/// GitHub's tokens, whoever they speak for.
static TOKEN: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"^(?:gh[pousr]|github_pat)_").expect("fixed"));

/// Source: GitHub Docs, "About the client ID": `Iv1.` and 16 digits, or `Iv23` and letters and digits.
static CLIENT_ID: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"^Iv(?:[0-9]+\.[0-9a-f]{16}|[0-9]{2}[A-Za-z0-9]{10,})$").expect("fixed"));

/// Reads the text.
pub fn key_text(given: &str) -> KeyText {
    let text = unquoted(given);
    if text.is_empty() {
        return KeyText::Wrong(KeyFault::Empty);
    }
    if let Some(found) = marked(text) {
        return found;
    }
    let bare: String = text.chars().filter(|c| !c.is_whitespace()).collect();
    if let Some(found) = encoded(&bare) {
        return found;
    }
    if let Some(fault) = fault_of(text, &bare) {
        return KeyText::Wrong(fault);
    }
    KeyText::Path
}

/// Reads what a file holds.
pub fn key_file(bytes: &[u8]) -> KeyText {
    match text_of(bytes) {
        Some(text) => match key_text(&text) {
            // A path in a file leads nowhere.
            KeyText::Path => KeyText::Wrong(KeyFault::NoKey),
            found => found,
        },
        None => KeyText::Wrong(if is_der(bytes) { KeyFault::Binary } else { KeyFault::NoKey }),
    }
}

/// The text of a file, also in the two bytes for each character that Windows' PowerShell writes.
fn text_of(bytes: &[u8]) -> Option<String> {
    let wide = |text: &[u8], read: fn([u8; 2]) -> u16| {
        let units: Vec<u16> = text.chunks_exact(2).map(|pair| read([pair[0], pair[1]])).collect();
        String::from_utf16(&units).ok()
    };
    match bytes {
        [0xff, 0xfe, text @ ..] => wide(text, u16::from_le_bytes),
        [0xfe, 0xff, text @ ..] => wide(text, u16::from_be_bytes),
        _ => String::from_utf8(bytes.to_vec()).ok(),
    }
}

/// Without white space around it, and without the quotation marks that an environment file leaves there.
pub fn unquoted(text: &str) -> &str {
    let text = text.trim_start_matches('\u{feff}').trim();
    let inside = |mark: char| text.strip_prefix(mark).and_then(|rest| rest.strip_suffix(mark));
    inside('"').or_else(|| inside('\'')).unwrap_or(text).trim()
}

/// A text with the lines that begin and end a key, as they should be or damaged.
fn marked(text: &str) -> Option<KeyText> {
    // A key that came through one line of an environment file has its breaks written out.
    let text = text.replace("\\r", "").replace("\\n", "\n");
    let blocks: Vec<Block<'_>> = text.split("-----BEGIN ").skip(1).filter_map(Block::of).collect();
    if blocks.is_empty() {
        return DAMAGED.is_match(&text).then_some(KeyText::Wrong(KeyFault::Markers));
    }
    let block = blocks.iter().find(|block| block.label.ends_with("PRIVATE KEY")).or(blocks.first())?;
    Some(block.key())
}

/// One thing in PEM. Source: RFC 7468, section 3.
struct Block<'a> {
    label: &'a str,
    body: &'a str,
    is_closed: bool,
}

impl<'a> Block<'a> {
    /// `text` is what follows the first line's hyphens and its `BEGIN`.
    fn of(text: &'a str) -> Option<Self> {
        let is_label = |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b' ';
        let (label, rest) = text.split_once("-----").filter(|(label, _)| label.bytes().all(is_label))?;
        let end = format!("-----END {label}-----");
        let body = rest.split_once(&end).map(|(body, _)| body);
        Some(Self { label, body: body.unwrap_or(rest), is_closed: body.is_some() })
    }

    fn key(&self) -> KeyText {
        let fault = match self.label {
            label if label.ends_with("PUBLIC KEY") => Some(KeyFault::Public),
            label if label.contains("CERTIFICATE") => Some(KeyFault::Certificate),
            "OPENSSH PRIVATE KEY" => Some(KeyFault::OpenSsh),
            "ENCRYPTED PRIVATE KEY" => Some(KeyFault::Encrypted),
            _ if self.body.contains("ENCRYPTED") => Some(KeyFault::Encrypted),
            "RSA PRIVATE KEY" | "PRIVATE KEY" if self.is_closed => None,
            "RSA PRIVATE KEY" | "PRIVATE KEY" => Some(KeyFault::Markers),
            _ => Some(KeyFault::NotRsa),
        };
        fault.map_or_else(|| self.whole(), KeyText::Wrong)
    }

    /// The block with lines of 64 characters, whatever became of its own.
    fn whole(&self) -> KeyText {
        let bare: String = self.body.chars().filter(|c| !c.is_whitespace()).collect();
        match STANDARD_PAD_INDIFFERENT.decode(&bare) {
            Ok(bytes) if !bytes.is_empty() => KeyText::Pem(pem(self.label, &STANDARD.encode(bytes)).into()),
            _ => KeyText::Wrong(KeyFault::NotBase64),
        }
    }
}

fn pem(label: &str, body: &str) -> String {
    let mut text = format!("-----BEGIN {label}-----\n");
    let mut rest = body;
    while !rest.is_empty() {
        let (line, more) = rest.split_at(rest.len().min(64));
        text.extend([line, "\n"]);
        rest = more;
    }
    text.extend(["-----END ", label, "-----\n"]);
    text
}

/// Base64 of a key as text, or of its bytes.
fn encoded(bare: &str) -> Option<KeyText> {
    let bytes = from_base64(bare).filter(|_| bare.len() >= SHORTEST_KEY)?;
    if is_der(&bytes) {
        return Some(KeyText::Wrong(KeyFault::NoMarkers));
    }
    let inside = std::str::from_utf8(&bytes).ok()?;
    marked(unquoted(inside))
}

fn from_base64(bare: &str) -> Option<Vec<u8>> {
    STANDARD_PAD_INDIFFERENT.decode(bare).or_else(|_| URL_SAFE_PAD_INDIFFERENT.decode(bare)).ok()
}

/// Whether the bytes begin as a long sequence in DER does: every RSA key is one. Source: X.690, section 8.1.3.
fn is_der(bytes: &[u8]) -> bool {
    bytes.starts_with(&[0x30, 0x82]) || bytes.starts_with(&[0x30, 0x81])
}

/// What a text without the lines of a key is, if it has the shape of something that is known.
fn fault_of(text: &str, bare: &str) -> Option<KeyFault> {
    let is_base64 = |text: &str| text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+/-_=".contains(&byte));
    let is_hex = bare.bytes().all(|byte| byte.is_ascii_hexdigit());
    let is_key = |text: &str| text.len() >= SHORTEST_LINE && is_base64(text);
    if bare.len() < 20 && bare.bytes().all(|byte| byte.is_ascii_digit()) {
        Some(KeyFault::Number)
    } else if is_hex && bare.len() == 40 {
        Some(KeyFault::ClientSecret)
    } else if is_hex && bare.len() > 40 {
        Some(KeyFault::Hexadecimal)
    } else if bare.starts_with("SHA256:") {
        Some(KeyFault::Fingerprint)
    } else if TOKEN.is_match(bare) {
        Some(KeyFault::Token)
    } else if CLIENT_ID.is_match(bare) {
        Some(KeyFault::ClientId)
    } else if text.contains(['\n', '\r']) || text.contains("\\n") {
        Some(if text.replace("\\n", "\n").lines().any(|line| is_key(line.trim())) {
            KeyFault::NoMarkers
        } else {
            KeyFault::Lines
        })
    } else if (bare.len() > LONGEST_NAME && is_base64(bare)) || (bare.starts_with("MII") && is_key(bare)) {
        // The lines of a key that were joined.
        Some(KeyFault::NoMarkers)
    } else {
        None
    }
}

#[cfg(test)]
#[path = "private_key_tests.rs"]
mod tests;
