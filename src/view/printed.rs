//! What a program printed, fit to be shown: the one way out for the output of processes, containers,
//! builds and tasks on AWS.

use secrecy::SecretString;

use super::clean::{GAP, clean_lines, cut_middle};
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
/// pass. Of a line that is too long its beginning and its end are left.
pub fn printed<S: AsRef<str>>(chunks: &[S], lines: usize, secrets: &[SecretString]) -> Vec<String> {
    last(&redact_lines(&clean_lines(chunks), secrets), lines)
}

/// The same where the first chunk is the end of a line that was too long to be read whole, and
/// `beginning` is how that line begins. What lay between the two is not known, so each is looked
/// through for what was torn at its end.
pub fn printed_torn<S: AsRef<str>>(
    beginning: &str,
    chunks: &[S],
    lines: usize,
    secrets: &[SecretString],
) -> Vec<String> {
    let mut redacted = redact_lines(&clean_lines(chunks), secrets);
    let beginning = redact_lines(&clean_lines(&[beginning]), secrets).pop().filter(|text| !text.is_empty());
    if let (Some(beginning), Some(first)) = (beginning, redacted.first_mut()) {
        *first = format!("{beginning}{GAP}{first}");
    }
    last(&redacted, lines)
}

fn last(redacted: &[String], lines: usize) -> Vec<String> {
    let from = redacted.len().saturating_sub(lines);
    redacted[from..].iter().map(|line| cut_middle(line, LINE_CHARS)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_what_was_printed_is_plain_short_and_free_of_secrets() {
        let secrets = [SecretString::from("hunter2"), SecretString::from("ab")];
        let text = ["first", "ab \u{1b}[31mred\u{1b}[0m\r\nthe word is hunter2\u{7}"];
        assert_eq!(printed(&text, 2, &secrets), ["ab red", "the word is ***"]);
        let long = printed(&[format!("begins {} ends", "x".repeat(5_000))], 1, &[]);
        assert_eq!((long.len(), long[0].chars().count()), (1, LINE_CHARS));
        assert!(long[0].starts_with("begins x") && long[0].ends_with("x ends"), "{long:?}");
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
