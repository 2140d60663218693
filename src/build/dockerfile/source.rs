//! Whether `ADD` fetches.
//!
//! Source: Docker's documentation, "Dockerfile reference", section `ADD`: URLs of `http` and `https`,
//! and repositories of git by URL or as `git@host:path`.

use super::lines::{is_list, words};
use super::{MAKE_IT_PLAIN, NO_REMOTE, Verdict, WRITE_A_PATH};

/// Refuses a source that is, or that a variable may make, an address.
pub(super) fn check(text: &str) -> Verdict {
    if is_list(text) && text.contains("\\u") {
        return Err(("adds names with `\\u` in them".to_owned(), MAKE_IT_PLAIN));
    }
    let words: Vec<String> = words(text).into_iter().filter(|word| !word.starts_with("--")).collect();
    if let Some(word) = words.iter().find(|word| is_remote(word)) {
        let reason = format!("adds `{word}`, which the engine would fetch itself, in the server's own network");
        return Err((reason, NO_REMOTE));
    }
    // The last one is where it goes.
    let sources = words.split_last().map_or(&[][..], |(_, sources)| sources);
    match sources.iter().find(|word| word.split_once('$').is_some_and(|(before, _)| !is_path(before))) {
        Some(word) => Err((format!("adds `{word}`, which may become an address"), WRITE_A_PATH)),
        None => Ok(()),
    }
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
