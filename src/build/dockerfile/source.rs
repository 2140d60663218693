//! Whether `ADD` fetches.
//!
//! Source: Docker's documentation, "Dockerfile reference", section `ADD`: URLs of `http` and `https`,
//! and repositories of git by URL or as `git@host:path`.

use super::lines::BLANK;
use super::{MAKE_IT_PLAIN, NO_REMOTE, Verdict, WRITE_A_PATH};

/// Refuses a source that is, or that a variable may make, an address. `text`: what comes after the flags.
pub(super) fn check(text: &str) -> Verdict {
    let Some(words) = sources_and_place(text) else {
        return Err(("adds names with quotes or escapes in them".to_owned(), MAKE_IT_PLAIN));
    };
    if let Some(word) = words.iter().find(|word| is_remote(word)) {
        let reason = format!("adds `{word}`, which the engine would fetch itself, in the server's own network");
        return Err((reason, NO_REMOTE));
    }
    // The last one is where it goes, if it surely is one.
    let sources = match words.split_last() {
        Some((place, sources)) if place.starts_with(['/', '.', '$']) || begins_with_letter(place) => sources,
        _ => &words[..],
    };
    match sources.iter().find(|word| word.split_once('$').is_some_and(|(before, _)| !is_path(before))) {
        Some(word) => Err((format!("adds `{word}`, which may become an address"), WRITE_A_PATH)),
        None => Ok(()),
    }
}

/// As every engine reads them: a list in JSON, or words between blanks. What looks like a list and is none is
/// cut into words, and what JSON leaves of quotes and escapes is read as a shell would.
fn sources_and_place(text: &str) -> Option<Vec<String>> {
    if text.contains(['\\', '\'', '`']) || text.chars().any(|c| c.is_control() && c != '\t') {
        return None;
    }
    if text.starts_with('[') {
        return serde_json::from_str(text.trim_end()).ok();
    }
    let is_quoted = text.contains('"');
    (!is_quoted).then(|| text.split(BLANK).filter(|word| !word.is_empty()).map(str::to_owned).collect())
}

fn begins_with_letter(word: &str) -> bool {
    word.starts_with(|c: char| c.is_ascii_alphabetic())
}

fn is_remote(word: &str) -> bool {
    let word = word.to_ascii_lowercase();
    let is_remote_copy = || word.split_once('@').is_some_and(|(_, host)| host.contains(':'));
    word.contains("://") || word.starts_with("github.com/") || is_remote_copy()
}

/// Whether what begins like this is a path, whatever follows.
fn is_path(beginning: &str) -> bool {
    beginning.starts_with(['.', '/'])
        || beginning
            .split_once('/')
            .is_some_and(|(first, _)| !first.contains([':', '@']) && !first.eq_ignore_ascii_case("github.com"))
}
