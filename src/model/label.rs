//! Labels of pull requests.

/// Whether GitHub takes both for one label: it keeps how a label is written and does not look at case.
///
/// Source: GitHub REST, "Create a label" (a name that differs in case alone `already_exists`), and "Get a
/// label", which finds it in any case.
pub fn is_same_label(one: &str, other: &str) -> bool {
    let folded = |label: &str| label.trim().to_lowercase();
    folded(one) == folded(other)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn case_tells_no_labels_apart() {
        for (one, other) in [("preview", "Preview"), ("ENV: Prod", "env: prod"), ("Ünï", "ÜNÏ"), ("a", " A ")] {
            assert!(is_same_label(one, other), "{one} {other}");
        }
        assert!(!is_same_label("preview", "previews"));
    }
}
