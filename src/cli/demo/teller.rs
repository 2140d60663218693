//! What the demo says while it goes on, and what it remembers for its end.

use std::time::Instant;

use console::style;
use serde::Serialize;

use super::comment;
use super::load::Tally;
use crate::cli::Progress;
use crate::view::{StageView, span};

/// Says what happens, and keeps the record of it.
pub(super) struct Teller {
    progress: Progress,
    begun: Instant,
    chapter_begun: Instant,
    chapters: Vec<Chapter>,
}

/// One chapter of the story as it went.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Chapter {
    pub(super) title: &'static str,
    /// Milliseconds it took.
    pub(super) millis: i64,
    /// The commit that it is about.
    pub(super) commit: Option<String>,
    /// In a few words, for the summary.
    pub(super) result: String,
    pub(super) checks: Vec<Check>,
    /// What the preview's address answered.
    pub(super) answer: Option<Visit>,
    /// What visitors got while the version changed.
    pub(super) requests: Option<Tally>,
    /// The comment on the pull request at the end, without its hidden first line.
    pub(super) comment: Option<String>,
}

/// Something that had to hold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Check {
    pub(super) what: String,
    pub(super) held: bool,
    /// What was seen instead.
    pub(super) saw: Option<String>,
}

/// One look at an address.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Visit {
    pub(super) url: String,
    pub(super) status: u16,
    pub(super) millis: u64,
    /// The page's title.
    pub(super) title: String,
}

impl Teller {
    pub(super) fn new(progress: Progress) -> Self {
        let now = Instant::now();
        Self { progress, begun: now, chapter_begun: now, chapters: Vec::new() }
    }

    /// Milliseconds since the beginning.
    pub(super) fn millis(&self) -> i64 {
        millis(self.begun)
    }

    /// A line.
    pub(super) fn say(&mut self, text: &str) {
        self.progress.say_line(text);
    }

    /// A line of a person or a program that acts.
    pub(super) fn act(&mut self, text: &str) {
        self.say(&format!("{} {text}", style("→").cyan()));
    }

    /// Shows how a stage comes on.
    pub(super) fn show(&mut self, view: &StageView) {
        self.progress.show(view);
    }

    /// Begins a chapter.
    pub(super) fn chapter(&mut self, title: &'static str) {
        let number = self.chapters.len() + 1;
        let rule = "─".repeat(72_usize.saturating_sub(title.chars().count() + 8));
        self.say("");
        self.say(&style(format!("── {number}  {title} {rule}")).bold().cyan().to_string());
        self.chapter_begun = Instant::now();
        self.chapters.push(Chapter {
            title,
            millis: 0,
            commit: None,
            result: String::new(),
            checks: Vec::new(),
            answer: None,
            requests: None,
            comment: None,
        });
    }

    /// The chapter that goes on.
    pub(super) fn note(&mut self, change: impl FnOnce(&mut Chapter)) {
        if let Some(chapter) = self.chapters.last_mut() {
            change(chapter);
        }
    }

    /// Something that must hold: how it holds, or what was seen instead.
    pub(super) fn check(&mut self, what: impl Into<String>, seen: Result<String, String>) {
        let what = what.into();
        match &seen {
            Ok(how) if how.is_empty() => self.say(&format!("  {} {what}", style("✓").green().bold())),
            Ok(how) => self.say(&format!("  {} {what}: {how}", style("✓").green().bold())),
            Err(saw) => self.say(&format!("  {} {}", style("✗").red().bold(), style(format!("{what}: {saw}")).red())),
        }
        self.note(|chapter| chapter.checks.push(Check { what, held: seen.is_ok(), saw: seen.err() }));
    }

    /// Shows the comment as it stands on the pull request.
    pub(super) fn comment(&mut self, text: &str) {
        let bar = style("│").dim();
        self.say(&format!("  {}", style("the comment on the pull request:").dim()));
        for line in comment::for_terminal(text) {
            self.say(format!("  {bar} {line}").trim_end());
        }
        self.note(|chapter| chapter.comment = Some(text.to_owned()));
    }

    /// Ends a chapter; a summary of it is `result`.
    pub(super) fn end(&mut self, result: String) {
        let took = millis(self.chapter_begun);
        self.say(&format!("  {}", style(format!("took {}", span(took))).dim()));
        self.note(|chapter| (chapter.millis, chapter.result) = (took, result));
    }

    /// Whether everything of the running chapter held so far.
    pub(super) fn holds(&self) -> bool {
        self.chapters.last().is_none_or(|chapter| chapter.checks.iter().all(|check| check.held))
    }

    /// Takes the spinners off the screen and hands out what was remembered.
    pub(super) fn finish(mut self) -> Vec<Chapter> {
        self.say("");
        self.progress.finish();
        self.chapters
    }
}

fn millis(since: Instant) -> i64 {
    i64::try_from(since.elapsed().as_millis()).unwrap_or(i64::MAX)
}

/// What is said at the end.
pub(super) fn summary(chapters: &[Chapter], millis: i64) -> String {
    let checks = || chapters.iter().flat_map(|chapter| &chapter.checks);
    let (held, all) = (checks().filter(|check| check.held).count(), checks().count());
    let head = format!("{held} of {all} expectations held · {}", span(millis));
    let head = if held == all { style(head).green().bold() } else { style(head).red().bold() };
    let mut lines = vec![head.to_string()];
    let width = chapters.iter().map(|chapter| chapter.title.chars().count()).max().unwrap_or(0);
    for (index, chapter) in chapters.iter().enumerate() {
        let (title, took) = (chapter.title, span(chapter.millis));
        lines.push(format!("  {}  {title:width$}  {took:>6}  {}", index + 1, chapter.result).trim_end().to_owned());
        let misses = chapter.checks.iter().filter(|check| !check.held);
        lines.extend(misses.map(|check| {
            let saw = check.saw.as_deref().unwrap_or_default();
            format!("     {}", style(format!("✗ {}: {saw}", check.what)).red())
        }));
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_summary_names_what_did_not_hold() {
        console::set_colors_enabled(false);
        let mut teller = Teller::new(Progress::new(crate::cli::ProgressStyle::Silent));
        teller.chapter("It opens");
        teller.check("it answers", Ok("200".into()));
        teller.check("it is quick", Err("9 s".into()));
        assert!(!teller.holds());
        teller.end("live".into());
        let mut chapters = teller.finish();
        chapters[0].millis = 1_200;
        insta::assert_snapshot!(summary(&chapters, 2_000), @r"
        1 of 2 expectations held · 2s
          1  It opens    1.2s  live
             ✗ it is quick: 9 s
        ");
    }
}
