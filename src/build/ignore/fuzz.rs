//! Ignore files made at random: each is read or refused, and what means the same is judged the same.
//! Whether Docker judges so too, `tests/context_docker.rs` asks it.

use super::super::fuzz::{Target, Verdict};
use super::tests::excludes;
use super::{Ignore, LONGEST_RULE};

/// The mark with which Windows begins a text.
const MARK: &[u8] = b"\xef\xbb\xbf";

const PIECES: &[&[u8]] = &[
    b"*",
    b"**",
    b"?",
    b"!",
    b"#",
    b"/",
    b"\\",
    b".",
    b"..",
    b"./",
    b"[",
    b"]",
    b"[^",
    b"[a-z]",
    b"[z-a]",
    b"[[:alpha:]]",
    b"{1,9}",
    b"{99999}",
    b"(",
    b"|",
    b"$",
    b"^",
    b"+",
    b"\n",
    b"\n!",
    b"\n#",
    b" ",
    b"\t",
    b"\0",
    b"\xff",
    b"\xe2\x82",
    b"a",
    b"src",
    b"**/",
    b"/**",
    b"*****************",
    b"?*?*?*?*?*?*?*?*",
];

const PATHS: [&[u8]; 18] = [
    b"a",
    b"a/b",
    b"a/b/c/d/e/f",
    b"src",
    b"src/main.rs",
    b"src/target/x",
    b"node_modules/x/y.js",
    b"web/node_modules/x",
    b"x.log",
    b"keep.log",
    b".git/config",
    b"dist/keep",
    b"-",
    b" ",
    b"!",
    b"[a]",
    b"caf\xe9",
    b"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
];

#[test]
fn each_ignore_file_is_read_or_refused_and_the_same_is_judged_the_same() {
    Target { name: "ignore", seeds: Vec::new(), pieces: PIECES, rounds: 2_000 }.hold(judge);
}

/// Of each path whether it is left out, `None` where that cannot be said; nothing of a file that is refused.
fn answers(text: &[u8]) -> Option<Vec<Option<bool>>> {
    let ignore = Ignore::parse(text).ok()?;
    Some(PATHS.iter().map(|path| excludes(&ignore, path).ok()).collect())
}

fn judge(text: &[u8]) -> Verdict {
    let said = answers(text);
    let mut same = vec![("a comment behind it", [text, b"\n# comment\n\n"].concat())];
    if !text.starts_with(MARK) {
        same.push(("a mark before it", [MARK, text].concat()));
    }
    let is_short = text.split(|byte| *byte == b'\n').all(|line| line.len() < LONGEST_RULE);
    if is_short && !text.contains(&b'\r') {
        let lines: Vec<&[u8]> = text.split(|byte| *byte == b'\n').collect();
        same.push(("the line ends of Windows", lines.join(&b"\r\n"[..])));
    }
    for (what, other) in same {
        if answers(&other) != said {
            return Err(format!("{what} changes what is left out"));
        }
    }
    Ok(match said {
        None => "refused".to_owned(),
        Some(said) => {
            let letter = |answer: Option<bool>| match answer {
                Some(true) => 'x',
                Some(false) => '.',
                None => '?',
            };
            said.into_iter().map(letter).collect()
        }
    })
}
