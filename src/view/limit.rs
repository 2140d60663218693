//! Shortens a view until its text fits: the log first, then long texts, then long lists.

use serde::Serialize;

use super::clean::{cut, cut_middle};
use super::stage::StageView;

/// How much of a view is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Limits {
    /// Lines of a log, the last ones.
    lines: usize,
    /// Characters of a line of a log; four times that of any other text.
    width: usize,
    /// Rows of a list, the first ones.
    rows: usize,
    /// How many times it may still be tightened.
    left: u8,
}

/// How much is not shown.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub(super) struct More {
    pub log: usize,
    pub services: usize,
    pub steps: usize,
    pub problems: usize,
    pub holders: usize,
    pub left: usize,
}

impl Limits {
    /// What is tried first.
    pub(super) const FIRST: Self = Self { lines: 40, width: 1000, rows: 100, left: 7 };

    /// The next try: fewer lines while there are any to spare, then less of everything.
    pub(super) fn tighter(self) -> Option<Self> {
        let left = self.left.checked_sub(1)?;
        let rows = if self.lines > 10 { self.rows } else { (self.rows / 2).max(4) };
        Some(Self { lines: (self.lines / 2).max(1), width: (self.width / 2).max(60), rows, left })
    }
}

/// The view within its limits, and how much that left out.
pub(super) fn shorten(mut view: StageView, limits: Limits) -> (StageView, More) {
    let Limits { lines, width, rows, .. } = limits;
    let mut more = More::default();
    let text = |text: &mut String| *text = cut(text, width * 4);
    if let Some(failure) = &mut view.failure {
        more.log = failure.log.len().saturating_sub(lines);
        failure.log.drain(..more.log);
        failure.log.iter_mut().for_each(|line| *line = cut_middle(line, width));
        text(&mut failure.summary);
        text(&mut failure.advice);
        failure.step.iter_mut().filter_map(|step| step.resource.as_mut()).for_each(text);
    }
    for trouble in &mut view.troubles {
        trouble.summary.iter_mut().for_each(text);
    }
    view.gaps.iter_mut().for_each(text);
    if let Some(waiting) = &mut view.waiting {
        text(&mut waiting.reason);
        waiting.step.resource.iter_mut().for_each(text);
    }
    if let Some(full) = &mut view.full {
        more.holders = first(&mut full.holders, rows);
    }
    if let Some(gone) = &mut view.gone {
        more.left = first(&mut gone.left, rows);
        gone.left.iter_mut().for_each(text);
    }
    more.services = first(&mut view.services, rows);
    for service in &mut view.services {
        service.note.iter_mut().for_each(text);
    }
    more.steps = first(&mut view.steps, rows);
    for row in &mut view.steps {
        row.note.iter_mut().chain(&mut row.step.resource).for_each(|note| *note = cut(note, width));
    }
    more.problems = first(&mut view.problems, rows);
    for problem in &mut view.problems {
        problem.file = cut(&problem.file, width);
        problem.path = cut(&problem.path, width);
        problem.message = cut(&problem.message, width);
    }
    (view, more)
}

/// Keeps the first rows and answers how many went.
fn first<T>(rows: &mut Vec<T>, max: usize) -> usize {
    let more = rows.len().saturating_sub(max);
    rows.truncate(max);
    more
}
