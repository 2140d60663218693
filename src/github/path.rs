//! Paths of the API, with every foreign part encoded.

use std::fmt::Write;

use crate::model::RepoName;

/// `/repos/<owner>/<name>` and what follows. A repository's name needs no encoding.
pub(super) fn repo(repo: &RepoName, rest: &str) -> String {
    format!("/repos/{repo}{rest}")
}

/// A text as one segment of a path or one value of a query.
pub(super) fn encode(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            // Writing to a String cannot fail.
            let _ = write!(encoded, "%{byte:02X}");
        }
    }
    encoded
}

/// A path of several segments: the slashes stay. `None` for one that climbs or has an empty part.
pub(super) fn encode_segments(path: &str) -> Option<String> {
    let parts: Option<Vec<_>> = path.split('/').map(segment).collect();
    Some(parts?.join("/"))
}

/// A text as a segment of its own. `None` for one that is empty or climbs.
pub(super) fn segment(text: &str) -> Option<String> {
    (!matches!(text, "" | "." | "..")).then(|| encode(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn foreign_parts_cannot_leave_their_place() {
        assert_eq!(encode("a b/c?d#e%f&g=é"), "a%20b%2Fc%3Fd%23e%25f%26g%3D%C3%A9");
        assert_eq!(encode_segments(".github/greenroom.yml").as_deref(), Some(".github/greenroom.yml"));
        assert_eq!(encode_segments("feature/#1").as_deref(), Some("feature/%231"));
        for climbing in ["../x", "a/../b", "a//b", "", "/a", "a/.", "."] {
            assert_eq!(encode_segments(climbing), None, "{climbing}");
        }
        assert_eq!(segment("a/b").as_deref(), Some("a%2Fb"));
        assert_eq!(["", ".", ".."].map(segment), [None, None, None]);
    }
}
