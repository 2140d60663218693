//! A comment's Markdown as a terminal shows it: even columns, no escapes, what is folded stays
//! folded. The text itself is for GitHub; this is for the eyes alone.

use console::{Alignment, measure_text_width, pad_str, style};

/// The lines of a comment.
pub(super) fn for_terminal(text: &str) -> Vec<String> {
    let mut out: Vec<String> = Vec::new();
    let mut lines = text.lines().peekable();
    while let Some(line) = lines.next() {
        if line.starts_with("```") {
            let inside = lines.by_ref().take_while(|line| !line.starts_with("```"));
            out.extend(inside.map(|line| format!("  {line}")));
        } else if let Some(rest) = line.strip_prefix("<details><summary>") {
            let title = rest.trim_end_matches("</summary>");
            out.push(style(format!("▸ {}", inline(title))).dim().to_string());
            lines.by_ref().find(|line| line.starts_with("</details>"));
        } else if line.starts_with('|') {
            let mut rows = vec![line];
            while let Some(row) = lines.next_if(|line| line.starts_with('|')) {
                rows.push(row);
            }
            out.extend(table(&rows));
        } else if let Some(heading) = line.strip_prefix("### ") {
            out.push(style(inline(heading)).bold().to_string());
        } else if !(line.is_empty() && out.last().is_some_and(String::is_empty)) {
            out.push(inline(line));
        }
    }
    out
}

/// Text between blocks: without escapes, emphasis and the brackets of addresses.
fn inline(text: &str) -> String {
    let text = text.replace("**", "");
    let mut out = String::new();
    let mut chars = text.chars().peekable();
    let (mut is_code, mut is_link) = (false, false);
    while let Some(c) = chars.next() {
        match c {
            '`' => {
                is_code = !is_code;
                out.push(c);
            }
            '\\' if !is_code => out.extend(chars.next_if(char::is_ascii_punctuation).or(Some(c))),
            '<' if !is_code && chars.peek() == Some(&'h') => is_link = true,
            '>' if is_link => is_link = false,
            c => out.push(c),
        }
    }
    out
}

fn table(rows: &[&str]) -> Vec<String> {
    let is_rule = |row: &&&str| !row.trim_matches(['|', '-', ':', ' ']).is_empty();
    let cells: Vec<Vec<String>> = rows.iter().filter(is_rule).map(|row| split(row)).collect();
    let columns = cells.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        cells.iter().filter_map(|row| row.get(column)).map(|cell: &String| measure_text_width(cell)).max()
    };
    let widths: Vec<usize> = (0..columns).map(|column| width(column).unwrap_or(0)).collect();
    let line = |(index, row): (usize, &Vec<String>)| {
        let cells = row.iter().zip(&widths).map(|(cell, width)| pad_str(cell, *width, Alignment::Left, None));
        let line = cells.collect::<Vec<_>>().join("  ").trim_end().to_owned();
        if index == 0 { style(line).dim().to_string() } else { line }
    };
    cells.iter().enumerate().map(line).collect()
}

/// The cells of a row; an escaped bar belongs to its cell.
fn split(row: &str) -> Vec<String> {
    let row = row.trim().trim_start_matches('|');
    let row = row.strip_suffix('|').unwrap_or(row).replace("\\|", "\u{0}");
    row.split('|').map(|cell| inline(cell.trim()).replace('\u{0}', "|")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_comment_is_easy_to_read() {
        console::set_colors_enabled(false);
        let text = "### pr-1 failed · `abc` · 0\\.1s\n\n\n**What to do:** mend it\n\n```text\n| a \\. b\n```\n\n\
            | Service | URL |\n|---|---|\n| web | <http://pr-1.localhost> |\n| a\\|b | `x_y` |\n\n\
            <details><summary>The last 2 goals</summary>\n\n| 1 |\n\n</details>";
        insta::assert_snapshot!(for_terminal(text).join("\n"), @r"
        pr-1 failed · `abc` · 0.1s

        What to do: mend it

          | a \. b

        Service  URL
        web      http://pr-1.localhost
        a|b      `x_y`

        ▸ The last 2 goals
        ");
    }
}
