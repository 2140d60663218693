//! Variables in texts of compose files and Dockerfiles.
//!
//! Source: Compose specification, "Interpolation"; Docker's documentation, "Dockerfile reference", section
//! "Environment replacement".

/// So deep a default may hold another one.
const MOST_DEEP: usize = 8;

/// The text with its variables replaced; `None` where one is neither known nor has a default, and where the
/// text is none that is understood.
pub(super) fn expand(text: &str, of: &dyn Fn(&str) -> Option<String>) -> Option<String> {
    expanded(text, of, MOST_DEEP)
}

fn expanded(text: &str, of: &dyn Fn(&str) -> Option<String>, deep: usize) -> Option<String> {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('$') {
        out.push_str(before);
        if let Some(after) = after.strip_prefix('$') {
            out.push('$');
            rest = after;
        } else if let Some(braced) = after.strip_prefix('{') {
            let end = closing(braced)?;
            out.push_str(&braced_value(&braced[..end], of, deep.checked_sub(1)?)?);
            rest = &braced[end + 1..];
        } else {
            let end = after.find(|c: char| !is_of_name(c)).unwrap_or(after.len());
            if end == 0 {
                out.push('$');
            } else {
                out.push_str(&of(&after[..end])?);
            }
            rest = &after[end..];
        }
    }
    out.push_str(rest);
    Some(out)
}

fn is_of_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

/// Where the brace closes that was opened before the text.
fn closing(text: &str) -> Option<usize> {
    let mut open = 1_usize;
    for (at, c) in text.char_indices() {
        match c {
            '{' => open += 1,
            '}' => open -= 1,
            _ => {}
        }
        if open == 0 {
            return Some(at);
        }
    }
    None
}

/// `NAME`, `NAME:-default`, `NAME-default`, `NAME:+other`, `NAME+other`, `NAME:?why`, `NAME?why`
fn braced_value(inner: &str, of: &dyn Fn(&str) -> Option<String>, deep: usize) -> Option<String> {
    let end = inner.find(|c: char| !is_of_name(c)).unwrap_or(inner.len());
    let (name, rest) = inner.split_at(end);
    let (rest, counts_empty) = rest.strip_prefix(':').map_or((rest, true), |rest| (rest, false));
    let value = of(name).filter(|value| counts_empty || !value.is_empty());
    if rest.is_empty() && counts_empty {
        return value;
    }
    let other = || expanded(&rest[1..], of, deep);
    match rest.as_bytes().first()? {
        b'-' => value.or_else(other),
        b'+' => value.map_or_else(|| Some(String::new()), |_| other()),
        b'?' => value,
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_are_replaced_as_compose_and_docker_do() {
        let of = |name: &str| match name {
            "PORT" => Some("3000".to_owned()),
            "EMPTY" => Some(String::new()),
            _ => None,
        };
        for (text, expected) in [
            ("80", Some("80")),
            ("$PORT", Some("3000")),
            ("${PORT}:80", Some("3000:80")),
            ("a$PORT-b", Some("a3000-b")),
            ("${PORT:-8080}", Some("3000")),
            ("${NONE:-8080}", Some("8080")),
            ("${NONE-8080}", Some("8080")),
            ("${EMPTY:-8080}", Some("8080")),
            ("${EMPTY-8080}", Some("")),
            ("${NONE:-${PORT}}", Some("3000")),
            ("${NONE:-${OTHER:-1}}2", Some("12")),
            ("${PORT:+yes}${NONE:+no}", Some("yes")),
            ("${PORT:?must be set}", Some("3000")),
            ("${NONE:?must be set}", None),
            ("$NONE", None),
            ("${NONE}", None),
            ("$$PORT", Some("$PORT")),
            ("100$", Some("100$")),
            ("${PORT", None),
            ("${PORT!x}", None),
            ("${}", None),
        ] {
            assert_eq!(expand(text, &of).as_deref(), expected, "{text}");
        }
        assert_eq!(expand(&"${A:-".repeat(10_000), &of), None, "and it ends");
    }
}
