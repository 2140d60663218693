//! Lines at the head that make a file another one than it looks.
//!
//! Source: Docker's documentation, "Dockerfile reference", section "Parser directives", and `DetectSyntax`
//! of `BuildKit`, which also looks behind `//` and into JSON.

use super::{Refusal, Where};

const OWN_READERS: [&str; 3] = ["docker/dockerfile:", "docker.io/docker/dockerfile:", "docker/dockerfile-upstream:"];

/// Refuses what another program would read.
pub(super) fn check(text: &str, place: Where) -> Result<(), Refusal> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let is_head =
        |line: &&str| line.is_empty() || line.starts_with('#') || line.starts_with("//") || line.starts_with('{');
    for line in text.split('\n').map(str::trim).take_while(is_head) {
        if line.starts_with('{') && place == Where::Apart {
            return Err(foreign("JSON"));
        }
        let comment = line.trim_start_matches(|c: char| matches!(c, '#' | '/' | '!') || c.is_whitespace());
        let Some((key, value)) = comment.split_once('=').map(|(key, value)| (key.trim(), value.trim())) else {
            continue;
        };
        // With a grave accent for an escape, lines and words end elsewhere. It is meant for Windows.
        if key.eq_ignore_ascii_case("escape") && value != "\\" {
            let reason = format!("the Dockerfile sets its escape to `{value}`");
            return Err(Refusal { reason, advice: "Take the line out, and write `\\` instead." });
        }
        if key.eq_ignore_ascii_case("syntax") && place == Where::Apart && !is_own(value) {
            return Err(foreign(value));
        }
    }
    Ok(())
}

/// Docker's own reader, of a version that reads as we do. What follows a blank is not part of its name.
fn is_own(value: &str) -> bool {
    if value.contains(char::is_whitespace) {
        return false;
    }
    let Some(tag) = OWN_READERS.iter().find_map(|own| value.strip_prefix(own)) else { return false };
    let tag = tag.split('-').next().unwrap_or_default();
    let mut numbers = tag.split('.');
    let is_one = numbers.next() == Some("1");
    // Heredocs came with 1.4.
    is_one && numbers.next().is_none_or(|minor| minor.parse::<u32>().is_ok_and(|minor| minor >= 4))
}

fn foreign(reader: &str) -> Refusal {
    Refusal {
        reason: format!("the Dockerfile wants to be read by `{reader}`, which could ask for anything"),
        advice: "Write `# syntax=docker/dockerfile:1`, or leave the line out.",
    }
}
