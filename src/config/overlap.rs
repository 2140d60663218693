//! Whether two patterns of names have a name in common.

/// One part of a pattern.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Token {
    Char(char),
    /// One digit or more.
    Digits,
    /// Any run of characters, an empty one too.
    Any,
}

/// Whether some text matches both. An empty pattern matches nothing.
pub(super) fn can_be_equal(a: &[Token], b: &[Token]) -> bool {
    if a.is_empty() || b.is_empty() {
        return false;
    }
    let (a, b) = (spelled(a), spelled(b));
    // reach[j]: the parts of `a` seen so far and the first j parts of `b` have a text in common.
    let mut reach = vec![false; b.len() + 1];
    reach[0] = true;
    for j in 0..b.len() {
        reach[j + 1] = reach[j] && b[j].is_run();
    }
    for part in &a {
        let before = reach.clone();
        reach[0] = before[0] && part.is_run();
        for j in 0..b.len() {
            let other = &b[j];
            reach[j + 1] = match (part.is_run(), other.is_run()) {
                // Either run may end here, or take in one more of the other's characters.
                (true, true) => before[j + 1] || reach[j],
                (true, false) => before[j + 1] || (reach[j] && part.takes(*other)),
                (false, true) => reach[j] || (before[j + 1] && other.takes(*part)),
                (false, false) => before[j] && part.meets(*other),
            };
        }
    }
    reach[b.len()]
}

#[derive(Debug, Clone, Copy)]
enum Part {
    One(char),
    OneDigit,
    ManyDigits,
    Many,
}

fn spelled(tokens: &[Token]) -> Vec<Part> {
    let part = |token: &Token| match token {
        Token::Char(c) => vec![Part::One(*c)],
        Token::Digits => vec![Part::OneDigit, Part::ManyDigits],
        Token::Any => vec![Part::Many],
    };
    tokens.iter().flat_map(part).collect()
}

impl Part {
    fn is_run(self) -> bool {
        matches!(self, Self::ManyDigits | Self::Many)
    }

    /// Whether a run may hold the single character.
    fn takes(self, single: Self) -> bool {
        match (self, single) {
            (Self::ManyDigits, Self::One(c)) => c.is_ascii_digit(),
            _ => true,
        }
    }

    fn meets(self, other: Self) -> bool {
        match (self, other) {
            (Self::One(a), Self::One(b)) => a == b,
            (Self::One(c), Self::OneDigit) | (Self::OneDigit, Self::One(c)) => c.is_ascii_digit(),
            _ => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tokens(text: &str) -> Vec<Token> {
        let token = |c| match c {
            '#' => Token::Digits,
            '*' => Token::Any,
            c => Token::Char(c),
        };
        text.chars().map(token).collect()
    }

    #[test]
    fn patterns_meet_exactly_when_a_name_fits_both() {
        let cases = [
            ("prod", "prod", true),
            ("prod", "pro", false),
            ("pr-#", "pr-7", true),
            ("pr-#", "pr-", false),
            ("pr-#", "pr-x", false),
            ("pr-#", "feature-*", false),
            ("pr-#", "*", true),
            ("pr-#", "pr-review-*", false),
            ("pr-#", "pr-*-x", false),
            ("pr-#-x", "pr-*-x", true),
            ("#a", "1*", true),
            ("a*b", "*c", false),
            ("a*b", "*b", true),
            ("a*", "*z", true),
            ("b-*", "pr-#", false),
            ("", "*", false),
        ];
        for (a, b, expected) in cases {
            assert_eq!(can_be_equal(&tokens(a), &tokens(b)), expected, "{a} and {b}");
            assert_eq!(can_be_equal(&tokens(b), &tokens(a)), expected, "{b} and {a}");
        }
    }
}
