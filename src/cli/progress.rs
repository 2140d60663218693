//! Shows a deploy as it happens: spinners on a terminal, plain lines otherwise.
//!
//! Fed with views, as often as one likes: a line is written when something changed, and once.

use std::collections::BTreeMap;
use std::io::Write;
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressStyle as BarStyle};

use crate::model::{Generation, StageName};
use crate::view::{StageView, StepRow, StepRowState, line, step_line};

/// How progress is shown.
pub enum ProgressStyle {
    /// Spinners that are drawn over, on standard error.
    Terminal,
    /// One line for each change.
    Lines(Box<dyn Write + Send>),
    /// Not at all.
    Silent,
}

/// Shows the progress of any number of stages.
pub struct Progress {
    style: ProgressStyle,
    screen: MultiProgress,
    spinners: BTreeMap<(StageName, usize), ProgressBar>,
    shown: BTreeMap<StageName, Shown>,
}

/// What was said about a stage last.
#[derive(Debug, PartialEq)]
struct Shown {
    generation: Generation,
    headline: String,
    steps: Vec<StepRowState>,
}

impl Progress {
    /// Nothing is shown before the first view.
    pub fn new(style: ProgressStyle) -> Self {
        Self { style, screen: MultiProgress::new(), spinners: BTreeMap::new(), shown: BTreeMap::new() }
    }

    /// Says what changed since the stage's last view.
    pub fn show(&mut self, view: &StageView) {
        let before = self.shown.get(&view.stage).filter(|shown| shown.generation == view.generation);
        let lines = news(before, view);
        self.say(&lines);
        if matches!(self.style, ProgressStyle::Terminal) {
            self.spin(view);
        }
        let steps = view.steps.iter().map(|row| row.state).collect();
        let shown = Shown { generation: view.generation, headline: line(view), steps };
        self.shown.insert(view.stage.clone(), shown);
    }

    /// A line of one's own between the others.
    pub fn say_line(&mut self, text: &str) {
        self.say(&[text.to_owned()]);
    }

    /// Takes the spinners off the screen; what was said stays.
    pub fn finish(mut self) {
        self.clear();
    }

    fn clear(&mut self) {
        for spinner in std::mem::take(&mut self.spinners).into_values() {
            spinner.finish_and_clear();
        }
    }

    fn say(&mut self, lines: &[String]) {
        for line in lines {
            // Progress that cannot be shown is no reason to stop working.
            match &mut self.style {
                ProgressStyle::Terminal => drop(self.screen.println(line)),
                ProgressStyle::Lines(out) => drop(writeln!(out, "{line}").and_then(|()| out.flush())),
                ProgressStyle::Silent => {}
            }
        }
    }

    /// One spinner for each step that runs.
    fn spin(&mut self, view: &StageView) {
        for (index, row) in view.steps.iter().enumerate() {
            let key = (view.stage.clone(), index);
            if row.state == StepRowState::Running && !view.phase.is_final() {
                let screen = &self.screen;
                let spinner = self.spinners.entry(key).or_insert_with(|| {
                    let spinner = screen.add(ProgressBar::new_spinner());
                    let style = BarStyle::with_template("  {spinner} {wide_msg} {elapsed}");
                    spinner.set_style(style.unwrap_or_else(|_| BarStyle::default_spinner()));
                    spinner.enable_steady_tick(Duration::from_millis(100));
                    spinner
                });
                spinner.set_message(step_line(row));
            } else if let Some(spinner) = self.spinners.remove(&key) {
                spinner.finish_and_clear();
            }
        }
        let gone = |key: &&(StageName, usize)| key.0 == view.stage && key.1 >= view.steps.len();
        let gone: Vec<_> = self.spinners.keys().filter(gone).cloned().collect();
        for key in gone {
            self.spinners.remove(&key).iter().for_each(ProgressBar::finish_and_clear);
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.clear();
    }
}

/// What is new: steps that ended, then the headline if it says something else; while work goes on
/// the headline comes first, at the end it closes the list.
fn news(before: Option<&Shown>, view: &StageView) -> Vec<String> {
    let old = |index: usize| before.and_then(|shown| shown.steps.get(index));
    let ended = |(index, row): (usize, &StepRow)| {
        let mark = match row.state {
            StepRowState::Done => '✓',
            StepRowState::Failed => '✗',
            StepRowState::Cancelled => '-',
            StepRowState::Waiting | StepRowState::Running | StepRowState::NotReached => return None,
        };
        (old(index) != Some(&row.state)).then(|| format!("  {mark} {}", step_line(row)))
    };
    let mut lines: Vec<String> = view.steps.iter().enumerate().filter_map(ended).collect();
    let headline = line(view);
    if before.is_none_or(|shown| shown.headline != headline) {
        let at = if view.phase.is_final() { lines.len() } else { 0 };
        lines.insert(at, headline);
        if view.phase.is_final() {
            if let Some(failure) = &view.failure {
                lines.extend(failure.log.iter().map(|line| format!("  | {line}")));
                lines.extend(
                    Some(&failure.advice).filter(|advice| !advice.is_empty()).map(|advice| format!("  → {advice}")),
                );
            }
            lines.extend(
                view.services
                    .iter()
                    .filter_map(|service| service.url.as_ref().map(|url| format!("  {}  {url}", service.name))),
            );
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::{Arc, Mutex};

    use insta::assert_snapshot;

    use super::*;
    use crate::model::{Outcome, Output, StepEventKind};
    use crate::view::fixture::{World, at, exited, sha};

    #[derive(Clone, Default)]
    struct Page(Arc<Mutex<Vec<u8>>>);

    impl Page {
        /// What was written since the last look.
        fn read(&self) -> String {
            String::from_utf8(std::mem::take(&mut *self.0.lock().expect("not poisoned"))).expect("UTF-8")
        }
    }

    impl Write for Page {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().expect("not poisoned").extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_deploy_is_told_once_and_in_order() {
        let page = Page::default();
        let mut progress = Progress::new(ProgressStyle::Lines(Box::new(page.clone())));
        let mut world = World::new();
        world.deploy(sha('a'), 0);
        world.done("fetch", 0, 3, Output::Nothing);
        world.start("build:web", 3);
        progress.show(&world.view());
        progress.show(&world.view());
        assert_snapshot!(page.read(), @r#"
        pr-42 is building · aaaaaaa
          ✓ fetching the source · 3s
        "#);

        world.event("build:web", 5, StepEventKind::Waiting { again: at(35), reason: "No answer".into(), attempt: 1 });
        progress.show(&world.view());
        assert_snapshot!(page.read(), @"pr-42 is building · aaaaaaa · building web: No answer, trying again in 30s, attempt 1");

        world.event("build:web", 80, StepEventKind::Done(Output::Nothing));
        progress.show(&world.view());
        world.done("start:web", 80, 130, Output::Nothing);
        world.end(Outcome::Live, 170);
        progress.show(&world.view());
        assert_snapshot!(page.read(), @r#"
        pr-42 is deploying · aaaaaaa
          ✓ building web · 1m 17s
          ✓ starting web · 50s
        pr-42 is live · aaaaaaa · 2m 10s (build 1m 20s, deploy 50s) · https://pr-42.example.com
          web  https://pr-42.example.com
          api  https://api-pr-42.example.com
        "#);
    }

    #[test]
    fn a_failure_ends_with_its_log_and_what_to_do() {
        let page = Page::default();
        let mut progress = Progress::new(ProgressStyle::Lines(Box::new(page.clone())));
        let mut world = World::new();
        world.deploy(sha('a'), 0);
        world.fail("build:web", 0, 3, exited());
        progress.show(&world.view());
        assert_snapshot!(page.read(), @r#"
          ✗ building web · failed · 3s
        pr-42 failed · aaaaaaa · building web · 3s · `web` ended by itself (exit code 3)
          | listening on 8080
          | Error: DATABASE_URL is missing
          → Read the last lines; set DATABASE_URL under `env`.
        "#);
        world.deploy(sha('b'), 10);
        world.start("fetch", 10);
        progress.show(&world.view());
        assert_snapshot!(page.read(), @"pr-42 is building · bbbbbbb");
    }

    #[test]
    fn spinners_come_and_go() {
        let mut progress = Progress::new(ProgressStyle::Terminal);
        progress.screen.set_draw_target(indicatif::ProgressDrawTarget::hidden());
        let mut world = World::new();
        world.deploy(sha('a'), 0);
        world.start("fetch", 0);
        progress.show(&world.view());
        assert_eq!(progress.spinners.len(), 1);
        world.event("fetch", 3, StepEventKind::Done(Output::Nothing));
        world.start("build:web", 3);
        world.start("build:api", 3);
        progress.show(&world.view());
        assert_eq!(progress.spinners.len(), 2);
        world.end(Outcome::Failed, 9);
        progress.show(&world.view());
        assert_eq!(progress.spinners.len(), 0);
    }
}
