//! What is said of a build on a runner that came to nothing.

use super::state::Trouble;
use crate::model::{BUILD_WORKFLOW, Failure, FailureKind, ServiceName};
use crate::port::{Conclusion, PortError, RunOrigin, RunStarter, WorkflowRun};

const AGAIN: &str = "Then deploy again.";

/// A failure with the run's page, where one is known, and its last lines.
pub(super) fn failure(service: &ServiceName, trouble: Trouble, page: Option<&str>, log: Vec<String>) -> PortError {
    let run = page.map_or_else(|| "The run".to_owned(), |page| format!("The run {page}"));
    let (kind, how, advice) = match trouble {
        Trouble::NeverListed => (
            FailureKind::Environment,
            "GitHub took the wish for a run, and no run has the name that was given to it".to_owned(),
            format!(
                "`run-name` of `.github/workflows/{BUILD_WORKFLOW}` must end with `[${{{{ inputs.nonce }}}}]`: `greenroom \
                 init --workflows` writes it so. {AGAIN}"
            ),
        ),
        Trouble::Deleted => {
            (FailureKind::Environment, format!("{run} was deleted before it ended"), "Deploy again.".to_owned())
        }
        Trouble::NoImage => (
            FailureKind::Environment,
            format!("{run} says success, and the image is not in the registry"),
            format!(
                "Only what is in the registry counts. See whether job `push` of `.github/workflows/{BUILD_WORKFLOW}` \
                 pushes to `inputs.image`, and that no step of it is skipped. {AGAIN}"
            ),
        ),
        Trouble::Ended(conclusion) => ended(conclusion, &run),
    };
    PortError::Failed(Box::new(Failure {
        log,
        ..Failure::new(kind, format!("The image of `{service}` could not be built: {how}"), advice)
    }))
}

fn ended(conclusion: Conclusion, run: &str) -> (FailureKind, String, String) {
    match conclusion {
        Conclusion::Cancelled => (
            FailureKind::Environment,
            format!("{run} was cancelled"),
            "Somebody cancelled it, it took longer than its job may, or its runner went away. Deploy again.".to_owned(),
        ),
        Conclusion::TimedOut => (
            FailureKind::Build,
            format!("{run} took longer than it may"),
            "Make the build shorter, or give it more time with GREENROOM_BUILD_DEADLINE of the server. Then deploy again."
                .to_owned(),
        ),
        Conclusion::StartupFailure => (
            FailureKind::Environment,
            format!("{run} could not begin"),
            format!(
                "`.github/workflows/{BUILD_WORKFLOW}` on the default branch is wrong, or uses what the repository does \
                 not allow: its page says which. {AGAIN}"
            ),
        ),
        Conclusion::ActionRequired => (
            FailureKind::Environment,
            format!("{run} waits for somebody to allow it"),
            format!("Let GitHub Actions run without an approval for what the app starts. {AGAIN}"),
        ),
        Conclusion::Success | Conclusion::Failure | Conclusion::Other => (
            FailureKind::Build,
            format!("{run} failed"),
            "The last lines and the run's page say why. Mend it and push, or deploy again.".to_owned(),
        ),
    }
}

/// Why a run that GitHub calls ours is not what was asked for; `None` where it is.
pub(super) fn objection(run: &WorkflowRun, branch: &str) -> Option<PortError> {
    let RunOrigin { workflow, event, branch: of, starter } = &run.origin;
    let complaints = [
        (workflow != BUILD_WORKFLOW, format!("is of the workflow `{workflow}`")),
        (event != "workflow_dispatch", format!("was started by `{event}`")),
        (of != branch, format!("is of the branch {of}, not of {branch}")),
        (*starter != RunStarter::Ourselves, "was started by somebody else".to_owned()),
    ];
    let (_, wrong) = complaints.into_iter().find(|(is_so, _)| *is_so)?;
    Some(PortError::failed(
        FailureKind::Environment,
        format!("The run {} {wrong}: nothing is taken from it", run.page),
        "Deploy again. Should it happen once more, somebody starts runs in the app's name.",
    ))
}
