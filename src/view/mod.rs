//! What a stage looks like to its readers: comment, check run, deployment, terminal.
//!
//! # Guarantees
//!
//! - Pure: the same record, deploy and time give the same text, to the byte, so that a text is
//!   only published when it differs.
//! - Honest: every state has words of its own; what still serves is named when something failed.
//! - Texts of others (log lines, problems, names) cannot mention anybody, close a fence, make a
//!   link or start HTML: escaping is what happens to every value of a template unless its filter
//!   says otherwise.
//! - Every text fits its place: the frame is kept, the log is cut.

mod clean;
mod failure;
mod gone;
mod known;
mod limit;
mod markdown;
mod printed;
mod read;
mod receipt;
mod redact;
mod render;
mod service;
mod stage;
mod status;
mod step;
mod times;
mod trouble;

pub use clean::{clean_line, clean_lines};
pub use printed::{PRINTED_BEFORE, printed, printed_torn};
pub use receipt::{Keep, Receipt, Told, receipt, receipt_marker, receipt_noting, receipt_with};
pub use redact::{redact, redact_lines};
pub use render::{
    CheckText, CommentWish, DeploymentText, check, comment, comment_wish, deployment, line, marker, span, step_line,
};
pub use stage::{
    Expiry, FailureView, Full, GoneView, HealthView, HistoryRow, Links, ProblemView, ServiceState, ServiceView,
    Serving, StagePhase, StageView, StepRow, StepRowState, StepView, TroubleView, Unchanged, Waiting,
};
pub use status::{StatusRow, status_rows, status_table};
pub use step::{
    Annotation, Level, MOST_SUMMARY, OUTPUTS, OutputClash, RESULT_VERSION, StepEnding, StepReport, StepStage, annotate,
    annotations, group, harmless, mask, output_file, outputs, quoted, step_summary,
};
pub use times::{Part, PartName, Times};
pub use trouble::doing;

#[cfg(test)]
mod attacks;
#[cfg(test)]
pub(crate) mod fixture;
#[cfg(test)]
mod receipt_tests;
#[cfg(test)]
mod snapshots_deploys;
#[cfg(test)]
mod snapshots_states;
