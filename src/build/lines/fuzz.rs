//! What builds print, made at random: the pieces in which it comes change none of its lines, and no line is one
//! that a terminal acts on.

use super::super::fuzz::{Target, Verdict};
use super::{GAP, HALF_LINE, Lines};

const PIECES: &[&[u8]] = &[
    b"\n",
    b"\r",
    b"\r\n",
    b"\x1b[31m",
    b"\x1b[",
    b"\x1b]0;",
    b"\x07",
    b"\t",
    b" ",
    b"\0",
    b"\xff",
    b"\xe2\x82",
    b"\xe2\x80\xa6",
    b"\xc2\x9b",
    b"10%",
    b"#12 [3/4] RUN make",
];

#[test]
fn the_pieces_in_which_output_comes_change_none_of_its_lines() {
    let seeds = vec![b"#1 load\n10%\r20%\rdone\r\n\x1b[31mred\x1b[0m\nthe last".to_vec(), b"x".repeat(5_000)];
    Target { name: "lines", seeds, pieces: PIECES, rounds: 1_000 }.hold(judge);
}

fn lines_of<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> Vec<String> {
    let (mut lines, mut seen) = (Lines::default(), Vec::new());
    let mut on_line = |line: &str| seen.push(line.to_owned());
    for piece in pieces {
        lines.push(piece, &mut on_line);
    }
    lines.close(&mut on_line);
    seen
}

fn judge(input: &[u8]) -> Verdict {
    let whole = lines_of(std::iter::once(input));
    for size in [1, 7, HALF_LINE] {
        let in_pieces = lines_of(input.chunks(size));
        if in_pieces != whole {
            return Err(format!("in pieces of {size} bytes the lines are {in_pieces:?}, at once {whole:?}"));
        }
    }
    for line in &whole {
        if line.chars().any(|c| c.is_control() && c != '\t') {
            return Err(format!("a terminal acts on {line:?}"));
        }
        // The beginning, the end as far as it is kept, and what stands between them.
        if line.chars().count() > 3 * HALF_LINE + GAP.len() {
            return Err(format!("a line of {} letters", line.chars().count()));
        }
    }
    let longest = whole.iter().map(|line| line.chars().count()).max().unwrap_or(0);
    Ok(format!("{} lines, the longest of 2^{}", whole.len().min(9), longest.checked_ilog2().unwrap_or(0)))
}
