//! Where a line of a comment's source stands on the page that GitHub makes of it.
//!
//! The source is read as GitHub reads it: `CommonMark` with tables, footnotes, strike-through, task
//! lists, alerts and formulas. A span is judged by what covers it: whatever is not covered by
//! visible text (a link's target, a definition, an escape's backslash) is not seen.

use std::borrow::Cow;
use std::ops::Range;

use pulldown_cmark::{Event, Options, Parser, Tag, TagEnd};

use super::doubt::{Blocks, Signs, has_loose_ticks, is_directly_below};
use super::html::{Open, Place};
use crate::model::Block;

/// How a reader sees a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    /// As plain text on the page itself.
    Plain,
    /// As text that begins there and is more than plain.
    Formatted,
    /// As a part of a block.
    Inside(Block),
    /// Not, or as code, a formula or struck out, or inside of raw HTML.
    Hidden,
}

/// What stands at one piece of the source.
#[derive(Debug)]
struct Piece {
    span: Range<usize>,
    standing: Standing,
}

/// Judges spans that are in order and do not overlap, each the text of one line.
pub(super) fn standings(body: &str, spans: &[Range<usize>]) -> Vec<Standing> {
    // GitHub takes a byte order mark away before it reads.
    let unmarked = body.strip_prefix('\u{feff}').unwrap_or(body);
    let mark = body.len() - unmarked.len();
    let pieces = pieces(&as_markdown_reads(unmarked));
    let mut at = 0;
    spans
        .iter()
        .map(|span| span.start.saturating_sub(mark)..span.end.saturating_sub(mark))
        .map(|span| {
            while pieces.get(at).is_some_and(|piece| piece.span.end <= span.start) {
                at += 1;
            }
            standing(&span, &pieces[at..])
        })
        .collect()
}

/// A carriage return alone ends a line, and a null character is a letter that nobody knows; our parser knows
/// neither everywhere. Nothing moves.
fn as_markdown_reads(body: &str) -> Cow<'_, str> {
    let is_end = |at: usize, c: char| c == '\r' && !body[at + 1..].starts_with('\n');
    let odd = |(at, c): (usize, char)| is_end(at, c) || c == '\0';
    if !body.char_indices().any(odd) {
        return Cow::Borrowed(body);
    }
    let read = |(at, c): (usize, char)| match c {
        '\0' => 'x',
        _ if is_end(at, c) => '\n',
        _ => c,
    };
    Cow::Owned(body.char_indices().map(read).collect())
}

/// `pieces` begin with the first that ends behind the span's start.
fn standing(span: &Range<usize>, pieces: &[Piece]) -> Standing {
    let Some(first) = pieces.first().filter(|piece| piece.span.start <= span.start) else { return Standing::Hidden };
    if first.standing != Standing::Plain {
        return first.standing;
    }
    let mut end = first.span.end;
    for piece in &pieces[1..] {
        if end >= span.end || piece.span.start != end || piece.standing != Standing::Plain {
            break;
        }
        end = piece.span.end;
    }
    if end >= span.end { Standing::Plain } else { Standing::Formatted }
}

fn pieces(body: &str) -> Vec<Piece> {
    let options = Options::ENABLE_TABLES
        | Options::ENABLE_FOOTNOTES
        | Options::ENABLE_STRIKETHROUGH
        | Options::ENABLE_TASKLISTS
        | Options::ENABLE_MATH
        | Options::ENABLE_GFM;
    let mut page = Page { doubtful: Blocks::of(body), ..Page::default() };
    let mut pieces = Vec::new();
    let mut block = String::new();
    for (event, span) in Parser::new_ext(body, options).into_offset_iter() {
        match event {
            Event::Start(tag) => {
                match tag {
                    Tag::Paragraph => page.begin_paragraph(body, &span),
                    Tag::HtmlBlock => block.clear(),
                    _ => {}
                }
                page.enter(&tag);
            }
            // Not the source: the marks of a quote or list around it are no part of the HTML.
            Event::Html(html) => block.push_str(&html),
            Event::End(end) => {
                if end == TagEnd::HtmlBlock {
                    page.open.feed(&block, Place::Block);
                }
                page.leave(span.end);
            }
            Event::Text(text) => {
                // An entity or an escape is not what stands in the source.
                let is_literal = body.get(span.clone()) == Some(&*text);
                let standing = page.standing(&span);
                let standing = if is_literal { standing } else { standing.at_best_formatted() };
                pieces.push(Piece { span, standing });
            }
            Event::InlineHtml(html) => {
                page.open.feed(&html, page.place());
                pieces.push(Piece { span, standing: Standing::Hidden });
            }
            Event::InlineMath(formula) | Event::DisplayMath(formula) => {
                page.open.feed(&formula, Place::Formula);
                pieces.push(Piece { span, standing: Standing::Hidden });
            }
            Event::Code(code) => {
                if page.is_code_in_doubt(&span) {
                    page.open.feed(&code, Place::Formula);
                }
                pieces.push(Piece { span, standing: Standing::Hidden });
            }
            // The line end itself belongs to no line.
            Event::SoftBreak | Event::HardBreak => {}
            _ => pieces.push(Piece { span, standing: Standing::Hidden }),
        }
    }
    pieces.sort_by_key(|piece| piece.span.start);
    pieces
}

impl Standing {
    fn at_best_formatted(self) -> Self {
        if self == Self::Plain { Self::Formatted } else { self }
    }
}

/// What is open while the events of a comment go by.
#[derive(Debug, Default)]
struct Page {
    nesting: Vec<Nested>,
    hidden: usize,
    formatted: usize,
    images: usize,
    blocks: Vec<(Block, Open)>,
    open: Open,
    doubtful: Blocks,
    /// Of this paragraph.
    signs: Signs,
    has_loose_ticks: bool,
    /// The block that this paragraph may belong to.
    above: Option<Block>,
    /// The last block on the page, and where it ended.
    last: Option<(Block, usize)>,
}

#[derive(Debug, Clone, Copy)]
enum Nested {
    Paragraph,
    Hidden,
    Image,
    Formatted,
    Block,
}

impl Page {
    fn standing(&self, piece: &Range<usize>) -> Standing {
        if self.hidden > 0 || self.open.is_any() {
            return Standing::Hidden;
        }
        let own = self.blocks.first().map(|(block, _)| *block);
        if let Some(block) = own.or(self.above).or_else(|| self.doubtful.at(piece.start)) {
            return Standing::Inside(block);
        }
        if self.formatted > 0 || self.signs.touch(piece) { Standing::Formatted } else { Standing::Plain }
    }

    /// Whether others may read it as text.
    fn is_code_in_doubt(&self, code: &Range<usize>) -> bool {
        self.has_loose_ticks || [code.start, code.end].iter().any(|place| self.doubtful.at(*place).is_some())
    }

    /// Where raw HTML stands in a paragraph. In what an image is called, nothing is closed.
    fn place(&self) -> Place {
        if self.images > 0 { Place::Formula } else { Place::Inline }
    }

    fn begin_paragraph(&mut self, body: &str, span: &Range<usize>) {
        self.signs = Signs::of(body, span);
        self.has_loose_ticks = body.get(span.clone()).is_some_and(has_loose_ticks);
        self.above = self.last.filter(|(_, end)| is_directly_below(body, span.start, *end)).map(|(block, _)| block);
    }

    fn enter(&mut self, tag: &Tag<'_>) {
        let block = match tag {
            Tag::Paragraph => return self.nesting.push(Nested::Paragraph),
            Tag::BlockQuote(_) => Block::Quote,
            Tag::List(_) | Tag::Item => Block::List,
            Tag::Table(_) | Tag::TableHead | Tag::TableRow | Tag::TableCell => Block::Table,
            Tag::FootnoteDefinition(_) => Block::Footnote,
            Tag::Heading { .. } => Block::Heading,
            Tag::Emphasis | Tag::Strong | Tag::Link { .. } => {
                self.formatted += 1;
                return self.nesting.push(Nested::Formatted);
            }
            Tag::Image { .. } => {
                self.hidden += 1;
                self.images += 1;
                return self.nesting.push(Nested::Image);
            }
            _ => {
                self.hidden += 1;
                return self.nesting.push(Nested::Hidden);
            }
        };
        self.blocks.push((block, self.open));
        self.nesting.push(Nested::Block);
    }

    fn leave(&mut self, end: usize) {
        match self.nesting.pop() {
            Some(Nested::Hidden) => self.hidden -= 1,
            Some(Nested::Image) => {
                self.hidden -= 1;
                self.images -= 1;
            }
            Some(Nested::Formatted) => self.formatted -= 1,
            Some(Nested::Block) => {
                if let Some((block, entered)) = self.blocks.pop() {
                    self.open.leave(&entered);
                    // A heading takes nothing in that stands below it.
                    self.last = (block != Block::Heading).then_some((block, end));
                }
            }
            Some(Nested::Paragraph) | None => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How the one place where `/x` stands is seen.
    fn seen(body: &str) -> Standing {
        let at = body.find("/x").expect("it is there");
        let end = body[at..].find(['\n', '\r']).map_or(body.len(), |length| at + length);
        standings(body, std::slice::from_ref(&(at..end)))[0]
    }

    #[test]
    fn every_block_of_markdown_has_its_standing() {
        for (body, standing) in [
            ("/x", Standing::Plain),
            ("a\n      /x\nb", Standing::Plain),
            ("a\n\n    /x", Standing::Hidden),
            ("> a\n/x", Standing::Inside(Block::Quote)),
            ("- a\n/x", Standing::Inside(Block::List)),
            ("- > a\n/x", Standing::Inside(Block::List)),
            ("a|b\n-|-\n/x", Standing::Inside(Block::Table)),
            ("b\na|b\n-|-\n/x", Standing::Inside(Block::Table)),
            ("b\n/x|b\r\n-|-", Standing::Inside(Block::Table)),
            ("/x\na|b\n-|-", Standing::Plain),
            ("\u{feff}~~~\n/x", Standing::Hidden),
            ("[|b\n-|-\n]:c\n/x", Standing::Inside(Block::Table)),
            ("1. [x]\n/x", Standing::Inside(Block::List)),
            (">\n/x", Standing::Inside(Block::Quote)),
            ("- # a\n/x", Standing::Inside(Block::List)),
            ("# a\n/x", Standing::Plain),
            ("a[^1]\n\n[^1]: b\n/x", Standing::Inside(Block::Footnote)),
            ("/x\n---", Standing::Inside(Block::Heading)),
            ("```\n/x", Standing::Hidden),
            ("```\r`\n/x", Standing::Hidden),
            ("`a\n/x`", Standing::Hidden),
            ("$$\n/x\n$$", Standing::Hidden),
            ("~~a\n/x~~", Standing::Hidden),
            ("![a\n/x](b)", Standing::Hidden),
            ("[a](\n/x)", Standing::Hidden),
            ("[a]:\n/x", Standing::Hidden),
            ("[a\n/x](b)", Standing::Formatted),
            ("[a\n/x\n](\0)", Standing::Formatted),
            ("*e\n/x\ny~*r", Standing::Formatted),
            ("[*~e\n/x\ny**", Standing::Formatted),
            ("*e\n/x\ny*r~", Standing::Formatted),
            ("a* b\n/x\n~ *c", Standing::Plain),
            ("[[]()[\n/x\n]]()", Standing::Formatted),
            ("[[]()[]](\n/x\n)", Standing::Formatted),
            ("[$$]($ (\n/x\n))", Standing::Formatted),
            ("``\n`>`\n`<pre>`\n/x", Standing::Hidden),
            ("``\na|b\n-|-\ne<pre>``\n\n/x", Standing::Hidden),
            ("`<pre>`\n/x", Standing::Plain),
            ("[a](b)\n/x\n[c](d)", Standing::Plain),
            ("a [b] c\n/x \"[d]\"\n[", Standing::Plain),
            ("*a\n/x*", Standing::Formatted),
            ("/x `a`", Standing::Formatted),
            ("/x a\\_b", Standing::Formatted),
            ("/x a&amp;b", Standing::Formatted),
            ("/x a_b_c *", Standing::Plain),
            ("<!--\n\n/x", Standing::Hidden),
            ("<div>\n/x", Standing::Hidden),
        ] {
            assert_eq!(seen(body), standing, "{body:?}");
        }
    }

    #[test]
    fn raw_html_holds_until_it_is_closed_on_the_page_itself() {
        for hidden in [
            "<details>\n\n/x",
            "a <b>\n/x",
            "<div><!--\n\n/x\n\n-->",
            "<div title=\"\n\n/x\n\n\">",
            "<details>\n\n> </details>\n\n/x",
            "> <?\n>\n\n/x",
            "a<pre>![</pre>]()\n/x",
            "a<!o<!--\">\n/x\n-->",
            "<details>\n\n</b>\n\n/x",
        ] {
            assert_eq!(seen(hidden), Standing::Hidden, "{hidden:?}");
        }
        for plain in ["<details>\n\n</details>\n\n/x", "a Vec<T>\n/x", "<p>\n\n/x", "<br>\n\n/x", "<!-- a -->\n/x"] {
            assert_eq!(seen(plain), Standing::Plain, "{plain:?}");
        }
    }
}
