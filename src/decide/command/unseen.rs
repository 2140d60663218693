//! Characters that a reader does not see, or cannot tell from an ordinary space.
//!
//! Source: Unicode, `Default_Ignorable_Code_Point` (`DerivedCoreProperties`), `Bidi_Control` and
//! `White_Space` (`PropList`), the control characters, and the blank Braille pattern.

/// Ranges of invisible characters, in order.
const INVISIBLE: [(char, char); 26] = [
    ('\0', '\u{8}'),
    ('\u{b}', '\u{c}'),
    ('\u{e}', '\u{1f}'),
    ('\u{7f}', '\u{84}'),
    ('\u{86}', '\u{9f}'),
    ('\u{ad}', '\u{ad}'),
    ('\u{34f}', '\u{34f}'),
    ('\u{61c}', '\u{61c}'),
    ('\u{115f}', '\u{1160}'),
    ('\u{17b4}', '\u{17b5}'),
    ('\u{180b}', '\u{180f}'),
    ('\u{200b}', '\u{200f}'),
    ('\u{202a}', '\u{202e}'),
    ('\u{2060}', '\u{206f}'),
    ('\u{3164}', '\u{3164}'),
    ('\u{fe00}', '\u{fe0f}'),
    ('\u{feff}', '\u{feff}'),
    ('\u{ffa0}', '\u{ffa0}'),
    ('\u{fff0}', '\u{fffb}'),
    ('\u{13430}', '\u{13440}'),
    ('\u{16fe4}', '\u{16fe4}'),
    ('\u{1bca0}', '\u{1bca3}'),
    ('\u{1d159}', '\u{1d159}'),
    ('\u{1d173}', '\u{1d17a}'),
    ('\u{e0000}', '\u{e0fff}'),
    ('\u{10fffe}', '\u{10ffff}'),
];

/// How a character looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Look {
    Seen,
    /// Not at all.
    Nothing,
    /// Like a space or a line's end, without being one in Markdown.
    Space,
}

pub(super) fn look(character: char) -> Look {
    if (' '..='~').contains(&character) || character == '\t' {
        return Look::Seen;
    }
    if character.is_whitespace() || character == '\u{2800}' {
        return Look::Space;
    }
    let at = INVISIBLE.partition_point(|(_, last)| *last < character);
    if INVISIBLE.get(at).is_some_and(|(first, _)| *first <= character) { Look::Nothing } else { Look::Seen }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_unseen_character_is_known() {
        for nothing in
            ['\0', '\u{1b}', '\u{ad}', '\u{200b}', '\u{200d}', '\u{202e}', '\u{2066}', '\u{feff}', '\u{e0041}']
        {
            assert_eq!(look(nothing), Look::Nothing, "{nothing:?}");
        }
        for space in ['\u{a0}', '\u{3000}', '\u{2028}', '\u{2003}', '\u{85}', '\u{b}', '\u{2800}', '\u{1680}'] {
            assert_eq!(look(space), Look::Space, "{space:?}");
        }
        for seen in ['\t', ' ', '/', '~', 'é', 'е', '日', '“', '—', '🚀', '\u{301}', '\u{fffd}'] {
            assert_eq!(look(seen), Look::Seen, "{seen:?}");
        }
        assert!(INVISIBLE.windows(2).all(|pair| pair[0].1 < pair[1].0), "the ranges are in order");
    }
}
