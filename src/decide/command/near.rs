//! "Did you mean": the one known name that is a slip away.

use crate::model::{ServiceName, StageName, Verb};

/// The name closest to a word: one slip away, or two for names of six letters and more that begin
/// alike. A letter too many, too few, other or swapped with its neighbour is a slip; another number
/// is another thing. In a tie the first wins.
pub(super) fn near<'a, T>(word: &str, names: impl IntoIterator<Item = &'a T>) -> Option<&'a T>
where
    T: AsName + ?Sized,
{
    let word = word.to_ascii_lowercase();
    let length = word.chars().count();
    names
        .into_iter()
        .filter_map(|known| {
            let name = known.as_name();
            let reach = if name.len() >= 6 && word.starts_with(&name[..1]) { 2 } else { 1 };
            // Lengths first: they are cheap, and a long word is close to nothing.
            let can_be = name.len().abs_diff(length) <= reach && digits(name).eq(digits(&word));
            let distance = can_be.then(|| strsim::damerau_levenshtein(&word, name))?;
            (distance <= reach).then_some((distance, known))
        })
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, known)| known)
}

fn digits(text: &str) -> impl Iterator<Item = u8> {
    text.bytes().filter(u8::is_ascii_digit)
}

/// A thing that is known by an ASCII name.
pub(super) trait AsName {
    fn as_name(&self) -> &str;
}

impl AsName for Verb {
    fn as_name(&self) -> &str {
        self.name()
    }
}

impl AsName for StageName {
    fn as_name(&self) -> &str {
        self.as_str()
    }
}

impl AsName for ServiceName {
    fn as_name(&self) -> &str {
        self.as_str()
    }
}

impl AsName for &str {
    fn as_name(&self) -> &str {
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_is_found_and_another_word_is_not() {
        let verb = |word| near(word, &Verb::ALL).copied();
        for (word, meant) in [
            ("depoly", Verb::Deploy),
            ("DEPLY", Verb::Deploy),
            ("dploi", Verb::Deploy),
            ("dеploy", Verb::Deploy),
            ("hlep", Verb::Help),
            ("wy", Verb::Why),
            ("rolback", Verb::Rollback),
            ("destory", Verb::Destroy),
            ("deploy!", Verb::Deploy),
        ] {
            assert_eq!(verb(word), Some(meant), "{word}");
        }
        for other in [
            "", "hold", "lgtm", "retest", "test", "shrug", "close", "cc", "merge", "rebase", "improve", "assign",
            "kind",
        ] {
            assert_eq!(verb(other), None, "{other}");
        }
        let stage = StageName::new("pr-42").expect("a name");
        let stages = |word| near(word, [&stage]);
        assert_eq!((stages("pr42"), stages("rp-42"), stages("pr-43")), (Some(&stage), Some(&stage), None));
    }
}
