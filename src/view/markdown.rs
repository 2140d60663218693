//! Other people's text inside of our Markdown.
//!
//! An escaped text shows as it was written, and does nothing: it mentions nobody, refers to no
//! issue, links nowhere, starts no HTML, no table cell and no block. Escapes alone are not enough
//! for mentions and bare addresses, because GitHub looks for those in the rendered text: an
//! invisible character is put inside of them.

use std::ops::Range;

use super::clean::clean_line;

/// Zero-width space as an entity: seen in the source, invisible in the text.
const BREAK: &str = "&#8203;";

/// The text for anywhere inside of a line, a table cell included.
pub(super) fn escape(text: &str) -> String {
    let text = clean_line(text);
    escape_part(&text, 0..text.len())
}

/// The same for sentences outside of tables: what stands between two single backticks shows as
/// code.
pub(super) fn prose(text: &str) -> String {
    let text = clean_line(text);
    let mut out = String::new();
    let mut from = 0;
    while let Some(span) = code_span(&text, from) {
        out.push_str(&escape_part(&text, from..span.start - 1));
        out.push_str(&code(&text[span.clone()]));
        from = span.end + 1;
    }
    out + &escape_part(&text, from..text.len())
}

/// What stands between the next two backticks, if both are single ones and no formula begins there.
fn code_span(text: &str, from: usize) -> Option<Range<usize>> {
    let start = from + text[from..].find('`')? + 1;
    let end = start + text[start..].find('`')?;
    let formula = text[..start - 1].ends_with('$') || text[end + 1..].starts_with('$');
    let single = end > start && !text[end + 1..].starts_with('`');
    (single && !formula).then_some(start..end)
}

/// A part of a clean text, escaped by where it stands in the whole.
fn escape_part(text: &str, part: Range<usize>) -> String {
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let mut out = String::with_capacity(part.len() + part.len() / 8);
    for (offset, c) in text[part.clone()].char_indices() {
        let at = part.start + offset;
        let (before, after) = (&text[..at], &text[at + c.len_utf8()..]);
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '\\' | '`' | '*' | '_' | '[' | ']' | '|' | '~' | '$' => out.extend(['\\', c]),
            // What would start a list, underline a heading, or be a command.
            '-' | '+' | '=' | '/' if at == 0 => out.extend(['\\', c]),
            '.' | ')' if at == digits && digits > 0 => out.extend(['\\', c]),
            _ => out.push(c),
        }
        if acts_when_joined(before, c, after) {
            out.push_str(BREAK);
        }
    }
    out
}

/// Whether GitHub would make something of the character with what follows.
fn acts_when_joined(before: &str, c: char, after: &str) -> bool {
    match c {
        // Mentions, mail addresses, references to issues as `#12`.
        '@' | '#' => true,
        // Bare addresses: any scheme, and `www.` without one.
        ':' => after.starts_with("//"),
        'w' | 'W' => after.starts_with('.') && before.to_ascii_lowercase().ends_with("ww"),
        // References to issues as `GH-12`.
        '-' => after.starts_with(|c: char| c.is_ascii_digit()) && before.to_ascii_lowercase().ends_with("gh"),
        _ => false,
    }
}

/// A code span that shows the text as it is. Not for table cells, where `|` would end the cell.
pub(super) fn code(text: &str) -> String {
    let text = clean_line(text);
    if text.is_empty() {
        return text;
    }
    let ticks = "`".repeat(longest_run(&text, '`') + 1);
    // CommonMark takes one space off each side if there is one on both.
    let pad = if text.starts_with('`') || text.ends_with('`') { " " } else { "" };
    format!("{ticks}{pad}{text}{pad}{ticks}")
}

/// A block of lines as they are. The fence is longer than any run of backticks inside.
pub(super) fn fence(lines: &[String]) -> String {
    let text = super::clean_lines(lines).join("\n");
    let ticks = "`".repeat((longest_run(&text, '`') + 1).max(3));
    format!("{ticks}text\n{text}\n{ticks}")
}

/// A link to one of our own addresses that shows as `label`, or the escaped label if the address
/// is not a plain one.
pub(super) fn link(url: &str, label: &str) -> String {
    if !is_plain_url(url) {
        return escape(label);
    }
    if url == label { format!("<{url}>") } else { format!("[{}](<{url}>)", escape(label)) }
}

/// Whether the address can stand between angle brackets, in a cell, without any escape.
fn is_plain_url(url: &str) -> bool {
    let rest = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"));
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-._~:/?#%=&+,;".contains(&b);
    rest.is_some_and(|rest| !rest.is_empty() && rest.bytes().all(plain))
}

/// JSON that can stand inside of an HTML comment: nothing in it ends the comment.
///
/// `-` twice and angle brackets stand in JSON inside of strings only, where an escape means the same.
pub(super) fn comment_json(value: &serde_json::Value) -> String {
    value.to_string().replace('<', "\\u003c").replace('>', "\\u003e").replace("--", "\\u002d\\u002d")
}

fn longest_run(text: &str, of: char) -> usize {
    let (mut longest, mut run) = (0, 0);
    for c in text.chars() {
        run = if c == of { run + 1 } else { 0 };
        longest = longest.max(run);
    }
    longest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_of_others_does_nothing() {
        let cases = [
            ("@octocat and a@b.example", "@&#8203;octocat and a@&#8203;b.example"),
            ("fixes #12, GH-12 and acme/shop#3", "fixes #&#8203;12, GH-&#8203;12 and acme/shop#&#8203;3"),
            ("<img src=x onerror=y>", "&lt;img src=x onerror=y&gt;"),
            ("&#64;octocat &lt;", "&amp;#&#8203;64;octocat &amp;lt;"),
            ("[click](http://evil.example)", "\\[click\\](http:&#8203;//evil.example)"),
            ("![x](y)", "!\\[x\\](y)"),
            ("see www.evil.example", "see www&#8203;.evil.example"),
            ("a | b", "a \\| b"),
            ("**b** _i_ ~~s~~ `c` $m$", "\\*\\*b\\*\\* \\_i\\_ \\~\\~s\\~\\~ \\`c\\` \\$m\\$"),
            ("# heading", "#&#8203; heading"),
            ("- item", "\\- item"),
            ("12. item", "12\\. item"),
            ("/destroy", "\\/destroy"),
            ("one\n/destroy", "one /destroy"),
            ("--> out", "\\--&gt; out"),
            ("back\\slash", "back\\\\slash"),
            ("pr-42 1.5s", "pr-42 1.5s"),
        ];
        for (raw, escaped) in cases {
            assert_eq!(escape(raw), escaped, "{raw:?}");
        }
    }

    #[test]
    fn prose_keeps_its_code() {
        let cases = [
            ("set `PORT` to `8080`.", "set `PORT` to `8080`."),
            ("`@octocat` and @octocat", "`@octocat` and @&#8203;octocat"),
            ("`/destroy` it", "`/destroy` it"),
            ("one ` alone", "one \\` alone"),
            ("``two`` `", "\\`\\`two\\`\\` \\`"),
            ("$`x`$", "\\$\\`x\\`\\$"),
            ("a `<b>` <b>", "a `<b>` &lt;b&gt;"),
        ];
        for (raw, escaped) in cases {
            assert_eq!(prose(raw), escaped, "{raw:?}");
        }
    }

    #[test]
    fn code_and_fences_are_longer_than_what_they_hold() {
        assert_eq!(code("abc1234"), "`abc1234`");
        assert_eq!(code("a`b"), "``a`b``");
        assert_eq!(code("```"), "```` ``` ````");
        assert_eq!(fence(&["a".into(), "````".into(), "b\n```".into()]), "`````text\na\n````\nb\n```\n`````");
    }

    #[test]
    fn only_plain_addresses_become_links() {
        assert_eq!(link("https://a.example/x", "https://a.example/x"), "<https://a.example/x>");
        assert_eq!(link("https://a.example", "log"), "[log](<https://a.example>)");
        for bad in ["javascript:alert(1)", "https://a.example/> <b", "https://a|b", "https://", "ftp://x"] {
            assert_eq!(link(bad, "log"), "log", "{bad}");
        }
    }

    #[test]
    fn json_cannot_end_the_comment() {
        let value = serde_json::json!({ "a": "--> <!-- --" });
        let text = comment_json(&value);
        assert!(!text.contains("--") && !text.contains('>') && !text.contains('<'), "{text}");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&text).expect("JSON"), value);
    }
}
