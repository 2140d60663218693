//! What a program printed, fit to be shown: the one way out for the output of processes, containers,
//! builds and tasks on AWS.

use secrecy::SecretString;

use super::clean::{clean_lines, cut};
use super::redact::redact_lines;

/// Characters of a line that are shown.
const LINE_CHARS: usize = 2_000;

/// Lines that should be read beyond those that are shown: a secret may begin before the first of them.
pub const PRINTED_BEFORE: usize = 100;

/// The last lines of what was printed, oldest first. `chunks` are lines, or parts of several, that
/// follow one another; `secrets` are known values.
///
/// Colours and control characters go first, then secrets over all of it as one text, and only then is
/// it cut: nothing that is taken out of a secret, put between its characters or cut off it makes it
/// pass.
pub fn printed<S: AsRef<str>>(chunks: &[S], lines: usize, secrets: &[SecretString]) -> Vec<String> {
    let redacted = redact_lines(&clean_lines(chunks), secrets);
    let mut last: Vec<String> = redacted.iter().rev().take(lines).map(|line| cut(line, LINE_CHARS)).collect();
    last.reverse();
    last
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_what_was_printed_is_plain_short_and_free_of_secrets() {
        let secrets = [SecretString::from("hunter2"), SecretString::from("ab")];
        let text = ["first", "ab \u{1b}[31mred\u{1b}[0m\r\nthe word is hunter2\u{7}"];
        assert_eq!(printed(&text, 2, &secrets), ["ab red", "the word is ***"]);
        let long = printed(&["x".repeat(5_000)], 1, &[]);
        assert_eq!((long.len(), long[0].chars().count()), (1, LINE_CHARS));
        assert_eq!(printed(&[""; 0], 3, &secrets), [""; 0]);
    }

    #[test]
    fn no_part_of_a_secret_is_left_by_a_cut() {
        let secret = "correct-horse-battery-staple";
        let secrets = [SecretString::from(secret)];
        // The line that is shown is the second half of what was printed.
        assert_eq!(
            printed(&["the word is correct-horse", "-battery-staple", "end"], 2, &secrets),
            ["the word is ***", "end"]
        );
        // Neither what is cut off at the right shows a beginning,
        let wide = format!("{}{secret}", "x".repeat(LINE_CHARS - 10));
        assert!(!printed(&[wide], 1, &secrets)[0].contains("corr"));
        // nor what was cut before it came to us.
        assert_eq!(
            printed(&["-battery-staple was cut", "and so was correct-horse-ba"], 9, &secrets),
            ["*** was cut", "and so was ***"]
        );
    }
}
