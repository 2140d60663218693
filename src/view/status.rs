//! `greenroom status`: one row for each stage.

use serde::Serialize;

use super::render::span;
use super::stage::{ServiceState, StagePhase, StageView};
use crate::model::{Generation, RepoName, Seconds, StageName, Timestamp};

/// A stage in one row. As JSON it is what `greenroom status --json` prints.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct StatusRow {
    pub repo: RepoName,
    pub stage: StageName,
    pub generation: Generation,
    pub state: StagePhase,
    /// The newest goal's commit, short.
    pub commit: Option<String>,
    /// The commit that still serves, short, where that is another one.
    pub serving: Option<String>,
    /// Services that answer, and all of them.
    pub services_up: usize,
    pub services: usize,
    pub took_millis: Option<i64>,
    pub expires_at: Option<Timestamp>,
    pub url: Option<String>,
    /// What is wrong with a stage that is not well, or cannot go or begin, and what to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trouble: Option<String>,
}

/// One row for each view, in their order.
pub fn status_rows(views: &[StageView]) -> Vec<StatusRow> {
    views.iter().map(status_row).collect()
}

fn status_row(view: &StageView) -> StatusRow {
    let up = |state| matches!(state, ServiceState::Live | ServiceState::Unchanged | ServiceState::Serving);
    StatusRow {
        repo: view.repo.clone(),
        stage: view.stage.clone(),
        generation: view.generation,
        state: view.phase,
        commit: view.sha.as_ref().map(|sha| sha.short().to_owned()),
        serving: view.serving.as_ref().map(|serving| serving.sha.short().to_owned()),
        services_up: view.services.iter().filter(|service| up(service.state)).count(),
        services: view.services.len(),
        took_millis: view.times.as_ref().map(|times| times.total),
        expires_at: view.expires.map(|expiry| expiry.at),
        url: view.url.clone(),
        trouble: trouble(view),
    }
}

/// What is wrong at the moment, for whoever has no other surface than the command line. A step of a goal that
/// another took the place of is nobody's trouble any more.
fn trouble(view: &StageView) -> Option<String> {
    let failure = view.failure.as_ref();
    let is_told = matches!(view.phase, StagePhase::Failed | StagePhase::Unhealthy | StagePhase::Stuck)
        || failure.is_some_and(|it| it.step.is_none());
    let said = failure
        .filter(|_| is_told)
        .map(|failure| format!("{}. {}", failure.summary.trim_end_matches('.'), failure.advice));
    let doing = view.troubles.iter().filter(|trouble| !trouble.recovered);
    let doing: Vec<String> = doing.map(|trouble| format!("{} {}", trouble.service, trouble.told)).collect();
    let parts: Vec<String> = (!doing.is_empty()).then(|| doing.join(", ")).into_iter().chain(said).collect();
    (!parts.is_empty()).then(|| parts.join(": "))
}

/// The rows as an aligned table with a head; empty for no rows. `now` is what "expires in" counts from.
pub fn status_table(rows: &[StatusRow], now: Timestamp) -> String {
    if rows.is_empty() {
        return String::new();
    }
    let head = ["STAGE", "STATE", "COMMIT", "SERVICES", "TOOK", "EXPIRES", "URL"].map(str::to_owned);
    let table: Vec<[String; 7]> = std::iter::once(head).chain(rows.iter().map(|row| cells(row, now))).collect();
    let width = |column: usize| table.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: [usize; 7] = std::array::from_fn(width);
    let line = |row: &[String; 7]| {
        let padded: Vec<String> = row.iter().zip(widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        padded.join("  ").trim_end().to_owned() + "\n"
    };
    // What is wrong stands below its row.
    let troubles = std::iter::once(None).chain(rows.iter().map(|row| row.trouble.as_ref()));
    let below = |trouble: Option<&String>| trouble.map_or_else(String::new, |trouble| format!("  {trouble}\n"));
    table.iter().zip(troubles).map(|(row, trouble)| line(row) + &below(trouble)).collect()
}

fn cells(row: &StatusRow, now: Timestamp) -> [String; 7] {
    let dash = || "-".to_owned();
    let left = |at: Timestamp| Seconds(u64::try_from(at.since(now) / 1000).unwrap_or(0)).to_string();
    let commit = match (&row.commit, &row.serving) {
        (Some(commit), Some(serving)) => format!("{commit} ({serving} serves)"),
        (Some(commit), None) => commit.clone(),
        (None, Some(serving)) => format!("({serving} serves)"),
        (None, None) => dash(),
    };
    [
        format!("{}/{}", row.repo, row.stage),
        row.state.as_str().replace('_', " "),
        commit,
        if row.services == 0 { dash() } else { format!("{}/{}", row.services_up, row.services) },
        row.took_millis.map_or_else(dash, span),
        row.expires_at.map_or_else(dash, left),
        row.url.clone().unwrap_or_else(dash),
    ]
}
