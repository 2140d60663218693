//! What went live and does not stay up.

use super::read::{last_lines, text};
use super::stage::{HealthView, ServiceState, ServiceView, UnrestView};
use crate::model::{Failure, Unrest};

/// As its readers see it.
pub(super) fn unrest_view(unrest: &Unrest) -> UnrestView {
    let Failure { kind, summary, exit_code, log, advice } = &unrest.failure;
    UnrestView {
        service: unrest.service.clone(),
        well: unrest.well,
        wanted: unrest.wanted,
        restarts: unrest.restarts,
        since: unrest.since,
        over: unrest.over,
        kind: *kind,
        summary: text(summary),
        exit_code: *exit_code,
        log: last_lines(log),
        advice: text(advice),
    }
}

/// A service that serves and does not stay up: what its deploy last saw is no longer true.
pub(super) fn unwell(row: ServiceView, unrest: &Unrest) -> ServiceView {
    let serves = matches!(row.state, ServiceState::Live | ServiceState::Unchanged | ServiceState::Serving);
    if !serves {
        return row;
    }
    let health = Some(HealthView::Running { copies: unrest.well, wanted: unrest.wanted });
    ServiceView { state: ServiceState::Unhealthy, unchanged: None, health, ..row }
}
