//! What a reader sees of a comment, found without the program's own reading: another Markdown library
//! makes the page, and a small reader of HTML looks for text in plain paragraphs.

use std::collections::BTreeMap;

use comrak::{Options, markdown_to_html};

/// The lines of text in plain paragraphs of the page, each with how often it stands there.
pub(crate) fn visible_lines(body: &str) -> BTreeMap<String, usize> {
    let mut options = Options::default();
    options.extension.strikethrough = true;
    options.extension.table = true;
    options.extension.tasklist = true;
    options.extension.footnotes = true;
    options.extension.alerts = true;
    options.extension.math_dollars = true;
    options.render.hardbreaks = true;
    options.render.r#unsafe = true;
    let page = markdown_to_html(body, &options);
    let mut lines = BTreeMap::new();
    for line in plain_text(&page).split('\n') {
        *lines.entry(line.trim_matches([' ', '\t']).to_owned()).or_default() += 1;
    }
    lines
}

/// The text that stands directly on the page, or in a paragraph which does. Anything else
/// leaves a mark in its line, so that the line is no longer the text that it would be without.
fn plain_text(page: &str) -> String {
    const MARK: char = '\u{fffc}';
    const VOID: [&str; 10] = ["br", "img", "hr", "input", "wbr", "col", "source", "area", "link", "meta"];
    const OPTIONAL: [&str; 11] = ["p", "li", "td", "th", "tr", "dd", "dt", "rp", "rt", "summary", "tbody"];
    let mut text = String::new();
    let mut open: Vec<String> = Vec::new();
    let mut rest = page;
    while let Some(c) = rest.chars().next() {
        if c != '<' {
            let end = rest.find('<').unwrap_or(rest.len());
            if open.is_empty() || open == ["p"] {
                text.push_str(&unescaped(&rest[..end]));
            } else {
                text.push(MARK);
            }
            rest = &rest[end..];
            continue;
        }
        if let Some(comment) = rest.strip_prefix("<!--") {
            text.push(MARK);
            let ends = [">", "->"].iter().find(|end| comment.starts_with(**end)).map(|end| end.len());
            let later = || ["-->", "--!>"].iter().filter_map(|end| comment.find(end).map(|at| at + end.len())).min();
            let Some(end) = ends.or_else(later) else { return text };
            rest = &comment[end..];
            continue;
        }
        let after = &rest[1..];
        if !after.starts_with(|c: char| c.is_ascii_alphabetic() || "/!?".contains(c)) {
            text.push(MARK);
            rest = after;
            continue;
        }
        let is_tag = after.strip_prefix('/').unwrap_or(after).starts_with(|c: char| c.is_ascii_alphabetic());
        let Some(end) = (if is_tag { tag_end(rest) } else { rest.find('>') }) else { return text };
        let (tag, behind) = rest.split_at(end + 1);
        rest = behind;
        if !is_tag {
            text.push(MARK);
            continue;
        }
        let is_closing = tag.starts_with("</");
        let inner = tag[1..tag.len() - 1].trim_start_matches('/');
        let name = inner.split([' ', '\t', '\n', '\r', '\u{c}', '/']).next().unwrap_or_default().to_ascii_lowercase();
        match (name.as_str(), is_closing) {
            // Every paragraph begins a line, and every break ends one.
            ("p", false) => {
                open.retain(|name| name != "p");
                open.push(name);
                text.push('\n');
            }
            ("br", _) => text.push('\n'),
            (_, true) => {
                if let Some(at) = open.iter().rposition(|other| *other == name) {
                    open.remove(at);
                    // What can stand only in a table or list ends with it.
                    let within = open.split_off(at);
                    open.extend(within.into_iter().filter(|name| name == "p" || !OPTIONAL.contains(&name.as_str())));
                }
                text.push(MARK);
            }
            (void, false) if VOID.contains(&void) => text.push(MARK),
            (kept, false) => {
                text.push(MARK);
                let is_counted = !OPTIONAL.contains(&kept) && KEPT.contains(&kept);
                if is_counted || OPTIONAL.contains(&kept) && open.iter().any(|name| name == "ul" || name == "table") {
                    open.push(name);
                }
            }
        }
        if is_closing && text.ends_with(MARK) && tag == "</p>" {
            text.pop();
            text.push('\n');
        }
    }
    text
}

/// Elements of the pieces above and of what Markdown makes, which a reader does not see as plain text.
const KEPT: [&str; 37] = [
    "a",
    "b",
    "bdo",
    "blockquote",
    "code",
    "del",
    "details",
    "div",
    "em",
    "h1",
    "h2",
    "h3",
    "h4",
    "h5",
    "h6",
    "i",
    "math",
    "ol",
    "pre",
    "s",
    "script",
    "section",
    "span",
    "strong",
    "style",
    "sub",
    "sup",
    "table",
    "textarea",
    "title",
    "tt",
    "u",
    "ul",
    "svg",
    "template",
    "xmp",
    "kbd",
];

/// Where the `>` of a tag stands. Its name may hold anything: in `<a=">`, `a="` is one.
fn tag_end(text: &str) -> Option<usize> {
    let mut quote = None;
    let mut before = ' ';
    let begin = if text.starts_with("</") { 2 } else { 1 };
    let name = begin + text[begin..].find(|c: char| c.is_ascii_whitespace() || "/>".contains(c))?;
    for (at, c) in text.char_indices().skip_while(|(at, _)| *at < name) {
        if quote.is_some() {
            quote = quote.filter(|open| *open != c);
        } else if c == '>' {
            return Some(at);
        } else if before == '=' && (c == '"' || c == '\'') {
            quote = Some(c);
        }
        if !c.is_ascii_whitespace() || before != '=' {
            before = c;
        }
    }
    None
}

fn unescaped(text: &str) -> String {
    text.replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", "\"").replace("&amp;", "&")
}
