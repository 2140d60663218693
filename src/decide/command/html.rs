//! Whether raw HTML of a comment is still open, so that what follows is inside of it.
//!
//! Elements are counted by name, not stacked: a closing tag closes only its own kind, so no tag in
//! the wrong place can make folded text look unfolded. What GitHub takes out (`Vec<T>` in a
//! sentence) opens nothing. A comment or tag without its end swallows the rest of the page, also
//! across the paragraphs that Markdown sees there, so after it nothing is open any more.
//!
//! Source: HTML, "Parsing HTML documents" (tags, comments, bogus comments); the elements are those
//! that GitHub's renderer keeps or takes out with their content.

/// Elements without their parts that cannot stand alone (`li`, `td`) and without `p`, which the next
/// paragraph closes.
const ELEMENTS: [&str; 66] = [
    "a",
    "abbr",
    "b",
    "bdo",
    "big",
    "blockquote",
    "center",
    "cite",
    "code",
    "del",
    "details",
    "dfn",
    "dialog",
    "div",
    "dl",
    "em",
    "figcaption",
    "figure",
    "font",
    "form",
    "h1",
    "h2",
    "h3",
    "h4",
    "h5",
    "h6",
    "i",
    "iframe",
    "ins",
    "kbd",
    "mark",
    "math",
    "noembed",
    "noframes",
    "noscript",
    "object",
    "ol",
    "picture",
    "plaintext",
    "pre",
    "q",
    "ruby",
    "s",
    "samp",
    "script",
    "select",
    "small",
    "span",
    "strike",
    "strong",
    "style",
    "sub",
    "summary",
    "sup",
    "svg",
    "table",
    "template",
    "textarea",
    "time",
    "title",
    "tt",
    "u",
    "ul",
    "var",
    "video",
    "xmp",
];

/// A formula with more of what may begin an element is not looked through: each may reach to its end.
const MOST_IN_FORMULA: usize = 200;

/// Where a piece of raw HTML stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// As a block of its own.
    Block,
    /// In a paragraph. What is a comment there has changed between versions of `CommonMark`: in an
    /// older one, a comment with `--` inside is text, and the elements in it are elements.
    Inline,
    /// In what may be a formula: it may open an element and closes none.
    Formula,
}

/// How many of each element are open.
#[derive(Debug, Clone, Copy)]
pub(super) struct Open {
    counts: [u16; ELEMENTS.len()],
    /// A comment or tag had no end.
    is_swallowed: bool,
}

impl Default for Open {
    fn default() -> Self {
        Self { counts: [0; ELEMENTS.len()], is_swallowed: false }
    }
}

impl Open {
    /// Whether what follows is inside of something.
    pub(super) fn is_any(&self) -> bool {
        self.is_swallowed || self.counts.iter().any(|count| *count > 0)
    }

    /// Takes in one piece of raw HTML.
    pub(super) fn feed(&mut self, html: &str, place: Place) {
        let mut rest = html;
        // How much of the text is left where a comment ends in which elements may open all the same.
        let mut comment_end = rest.len();
        let mut begun = 0;
        while let Some(at) = rest.find('<') {
            rest = &rest[at + 1..];
            begun += 1;
            if place == Place::Formula && begun > MOST_IN_FORMULA {
                self.is_swallowed = true;
                return;
            }
            let is_comment = place == Place::Formula || rest.len() > comment_end;
            match construct(rest) {
                Construct::Text => {}
                Construct::Tag { name, is_closing, behind: Some(behind) } => {
                    if !(is_closing && is_comment) {
                        self.count(name, is_closing);
                    }
                    // In what may be a comment, nothing is skipped: a tag may begin anywhere.
                    rest = if is_comment { rest } else { behind };
                }
                Construct::Comment { behind: Some(behind) } if place == Place::Block => rest = behind,
                Construct::Comment { behind: Some(behind) } | Construct::Bogus { behind: Some(behind) } => {
                    comment_end = behind.len().min(if is_comment { comment_end } else { usize::MAX });
                }
                // Where the formula is none, its text ends here all the same.
                _ if place == Place::Formula => {}
                Construct::Tag { .. } | Construct::Comment { .. } | Construct::Bogus { .. } => {
                    self.is_swallowed = true;
                    return;
                }
            }
        }
    }

    /// The state after a block that was `entered` in another: what was closed inside of the block
    /// closed nothing outside of it.
    pub(super) fn leave(&mut self, entered: &Self) {
        for (count, before) in self.counts.iter_mut().zip(entered.counts) {
            *count = before.max(*count);
        }
    }

    fn count(&mut self, name: &str, is_closing: bool) {
        let known = ELEMENTS
            .binary_search_by(|element| element.bytes().cmp(name.bytes().map(|byte| byte.to_ascii_lowercase())));
        let Some(count) = known.ok().and_then(|at| self.counts.get_mut(at)) else { return };
        *count = if is_closing { count.saturating_sub(1) } else { count.saturating_add(1) };
    }
}

/// What begins behind a `<`, and what follows it; `None` when it has no end.
enum Construct<'a> {
    Text,
    Tag {
        name: &'a str,
        is_closing: bool,
        behind: Option<&'a str>,
    },
    Comment {
        behind: Option<&'a str>,
    },
    /// What a browser drops like a comment.
    Bogus {
        behind: Option<&'a str>,
    },
}

fn construct(text: &str) -> Construct<'_> {
    if let Some(comment) = text.strip_prefix("!--") {
        return Construct::Comment { behind: after_comment(comment) };
    }
    let is_closing = text.starts_with('/');
    let tag = text.strip_prefix('/').unwrap_or(text);
    if tag.starts_with(|c: char| c.is_ascii_alphabetic()) {
        let length = tag.find(|c: char| c.is_ascii_whitespace() || c == '/' || c == '>').unwrap_or(tag.len());
        return Construct::Tag { name: &tag[..length], is_closing, behind: after_tag(&tag[length..]) };
    }
    if is_closing || text.starts_with(['!', '?']) {
        return Construct::Bogus { behind: text.split_once('>').map(|(_, behind)| behind) };
    }
    Construct::Text
}

/// Behind the end of a comment. `<!-->` and `<!--->` are whole ones, and `--!>` ends one too.
fn after_comment(text: &str) -> Option<&str> {
    if let Some(behind) = text.strip_prefix('>').or_else(|| text.strip_prefix("->")) {
        return Some(behind);
    }
    let ends = ["-->", "--!>"].map(|end| text.find(end).map(|at| at + end.len()));
    ends.into_iter().flatten().min().map(|at| &text[at..])
}

/// Behind the `>` of a tag; one in a quoted value does not count.
fn after_tag(text: &str) -> Option<&str> {
    let mut quote = None;
    let mut is_value = false;
    for (at, c) in text.char_indices() {
        match (quote, c) {
            (Some(open), _) if c == open => quote = None,
            (None, '"' | '\'') if is_value => quote = Some(c),
            (None, '>') => return Some(&text[at + 1..]),
            _ => {}
        }
        // A quote opens a value only directly behind the equals sign.
        is_value = quote.is_none() && (c == '=' || (is_value && c.is_ascii_whitespace()));
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_open_after(pieces: &[&str]) -> bool {
        let mut open = Open::default();
        for piece in pieces {
            open.feed(piece, Place::Block);
        }
        open.is_any()
    }

    #[test]
    fn the_elements_are_in_order() {
        assert!(ELEMENTS.is_sorted());
    }

    #[test]
    fn an_element_is_open_until_its_own_end() {
        for open in [
            &["<details>"][..],
            &["<DETAILS open>", "<summary>x</summary>"],
            &["<details/>"],
            &["<details><b></details>"],
            &["<details>", "</b>", "</div>", "</summary>"],
            &["<details><details></details>"],
            &["<div title=\"</div>\">"],
            &["<div title='>' class=x></details>"],
            &["<pre x=\"</pre>\""],
            &["<u>"],
            &["<time>"],
            &["<!-- <details> --!> <details> -->"],
        ] {
            assert!(is_open_after(open), "{open:?}");
        }
        for closed in [
            &["<details>", "</details>"][..],
            &["</details>"],
            &["<br>", "<img src=x>", "<hr/>", "<input>", "<p>", "<li>"],
            &["<T>", "<String>", "<details-x>"],
            &["<!-- <details> -->"],
            &["<!--><b></b>"],
            &["<b title=\"<details>\"></b >"],
            &["a < b", "1 <2"],
        ] {
            assert!(!is_open_after(closed), "{closed:?}");
        }
    }

    #[test]
    fn what_has_no_end_swallows_the_rest() {
        for endless in ["<div> <!-- x", "<div title=\"x></div>", "<b", "<?php", "<!DOCTYPE", "</", "<br x='"] {
            assert!(is_open_after(&[endless, "</div> --> \"> '>"]), "{endless}");
        }
    }

    #[test]
    fn what_may_be_no_comment_opens_and_closes_nothing() {
        let is_open = |html: &str, place| {
            let mut open = Open::default();
            open.feed(html, place);
            open.is_any()
        };
        for html in ["<!o<b>", "<!o<x<b>", "<?<b>", "<details><!o</details>"] {
            assert!(is_open(html, Place::Inline) && is_open(html, Place::Block), "{html}");
        }
        assert!(is_open("<b></b>", Place::Formula) && !is_open("a < b, <", Place::Formula));
        assert!(is_open("<!-- a -- <details> -->", Place::Inline));
        assert!(!is_open("<!-- a -- <details> -->", Place::Block));
        assert!(!is_open("<!-- a -- </b> --><b></b>", Place::Inline));
        for endless in ["<!o<!--\">", "<!o<b x=\">", "<?<!-- >"] {
            assert!(is_open(endless, Place::Inline), "{endless}");
        }
        assert!(!is_open("a<b", Place::Formula));
    }

    #[test]
    fn what_a_block_closes_stays_open_outside_of_it() {
        let mut open = Open::default();
        open.feed("<details>", Place::Block);
        let entered = open;
        open.feed("</details>", Place::Block);
        assert!(!open.is_any());
        open.leave(&entered);
        assert!(open.is_any());
    }
}
