//! What programs print: no byte of it acts on a reader, and no known secret comes through.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use greenroom::view::printed;
use secrecy::SecretString;

use crate::fuzz::{Target, Verdict};

const SECRET: &str = "correct-horse-battery-staple";
/// Longer lines may be cut, with a mark.
const WHOLE: usize = 1_900;
const LONGEST_LINE: usize = 2_200;
/// Between two parts that a program printed.
const CUT: char = '\u{1e}';

const PIECES: &[&[u8]] = &[
    b"correct-horse-battery-staple",
    b"correct-horse",
    b"-battery-staple",
    b"correct\x1b[31m-horse\x1b[0m-battery-staple",
    b"correct-ho\xe2\x80\x8brse-battery-staple",
    b"Y29ycmVjdC1ob3JzZS1iYXR0ZXJ5LXN0YXBsZQ==",
    b"636f72726563742d686f7273652d626174746572792d737461706c65",
    b"correct%2dhorse%2Dbattery-staple",
    b"correct\\u002dhorse-battery-staple",
    b"password=",
    b"authorization: bearer ",
    b"AKIA0123456789ABCDEF",
    b"ghp_0123456789abcdef0123456789",
    b"-----BEGIN PRIVATE KEY-----",
    b"-----END PRIVATE KEY-----",
    b"\x1e",
    b"\n",
    b"\r\n",
    b"\r",
    b"\t",
    b"\0",
    b"\x07",
    b"\x08",
    b"\x1b",
    b"\x1b[",
    b"\x1b[31m",
    b"\x1b]8;;http://a\x07",
    b"\x1b]0;title",
    b"\xc2\x9b31m",
    b"\xe2\x80\xae",
    b"\xe2\x80\x8b",
    b"\xef\xbb\xbf",
    b"<U+202E>",
    b"\xff",
    b"\xe2\x82",
    b"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
];

#[test]
fn nothing_that_is_printed_acts_or_tells_a_known_secret() {
    let seeds = [
        "first\nsecond\r\nthe word is correct-horse-battery-staple\n",
        "10 %\r50 %\r100 %\ndone\n",
        "a line\u{1e} that comes in parts\n",
        "\u{1b}[1;32mINFO\u{1b}[0m listening on http://127.0.0.1:3000\n",
        "panicked at src/main.rs:1:1:\n  at main\n",
    ];
    let seeds = seeds.map(|seed| seed.as_bytes().to_vec()).to_vec();
    Target { name: "logs", seeds, pieces: PIECES, rounds: 1_500 }.hold(judge);
}

fn judge(bytes: &[u8]) -> Verdict {
    let text = String::from_utf8_lossy(bytes);
    let chunks: Vec<&str> = text.split(CUT).collect();
    let wanted = 1 + bytes.len() % 40;
    let shown = printed(&chunks, wanted, &[SecretString::from(SECRET)]);
    if shown.len() > wanted {
        return Err(format!("{} lines, where {wanted} are wanted", shown.len()));
    }
    let acts = |c: char| {
        c.is_control() && c != '\t'
            || matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
    };
    for line in &shown {
        if let Some(acting) = line.chars().find(|c| acts(*c)) {
            return Err(format!("{acting:?} comes through in {line:?}"));
        }
        if line.chars().count() > LONGEST_LINE {
            return Err(format!("a line of {} characters", line.chars().count()));
        }
    }
    // Of lines that were cut nobody can say what stood between them.
    let is_whole = shown.iter().all(|line| line.chars().count() < WHOLE);
    let texts = if is_whole { vec![shown.concat()] } else { shown.clone() };
    for form in [SECRET.to_owned(), STANDARD.encode(SECRET), hex::encode(SECRET)] {
        if texts.iter().any(|text| text.contains(&form)) {
            return Err(format!("{form} comes through in {shown:?}"));
        }
    }
    let has = |mark: &str| u8::from(shown.iter().any(|line| line.contains(mark)));
    Ok(format!("{} lines, {} {} {}", shown.len().min(5), has("***"), has("[redacted]"), has("<U+")))
}
