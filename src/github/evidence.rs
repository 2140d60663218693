//! What speaks for and against a commit: reviews, checks, and what its base has besides.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use serde::Deserialize;

use super::api::{Api, Credential, Who, timestamp};
use super::cache::Freshness;
use super::check::{App, is_of_a_build, is_of_a_job};
use super::path;
use super::read::{User, author, branch_head};
use super::token::Scope;
use super::transport::Ask;
use crate::model::{
    Branch, CheckApp, CheckOutcome, CheckResult, Checks, CommitSha, PullNumber, RepoName, Review, ReviewState,
};
use crate::port::{PortError, PortResult};

/// No commit.
const ZERO: &str = "0000000000000000000000000000000000000000";

/// One of "List reviews for a pull request".
#[derive(Deserialize)]
struct Said {
    user: Option<User>,
    state: String,
    commit_id: Option<String>,
    /// A review that was not handed in has none.
    submitted_at: Option<String>,
}

impl Said {
    /// `None` for what says nothing: not handed in yet, or an approval of no commit.
    fn checked(self, what: &str) -> PortResult<Option<Review>> {
        let odd = |why: &str| PortError::Bug { context: format!("{why} in {what}"), source: None };
        let state = match &*self.state {
            "PENDING" => return Ok(None),
            "APPROVED" => ReviewState::Approved,
            "CHANGES_REQUESTED" => ReviewState::ChangesRequested,
            "DISMISSED" => ReviewState::Dismissed,
            "COMMENTED" => ReviewState::Commented,
            // It could be an objection: not knowing is not an approval.
            other => return Err(odd(&format!("a review that is {other:?}"))),
        };
        let sha = match self.commit_id {
            Some(sha) => sha,
            None if state == ReviewState::Approved => return Ok(None),
            // An objection stays one when the commit that it was about is gone.
            None => ZERO.into(),
        };
        let at = self.submitted_at.ok_or_else(|| odd("a review without a time"))?;
        Ok(Some(Review {
            by: author(self.user.as_ref()),
            state,
            sha: CommitSha::new(sha).map_err(|error| PortError::bug(format!("reading {what}"), error))?,
            at: timestamp(&at)?,
        }))
    }
}

/// Source: GitHub REST, "List reviews for a pull request": "in chronological order".
pub(super) async fn reviews(api: &Api, repo: &RepoName, number: PullNumber) -> PortResult<Vec<Review>> {
    let what = format!("the reviews of pull request {number} of {repo}");
    let mut said: Vec<Said> = Vec::new();
    let first = path::repo(repo, &format!("/pulls/{number}/reviews?per_page=100"));
    api.pages(Who::on(repo), first, &what, |mut page: Vec<Said>| {
        said.append(&mut page);
        ControlFlow::Continue(())
    })
    .await?;
    let checked: PortResult<Vec<_>> = said.into_iter().map(|said| said.checked(&what)).collect();
    let mut reviews: Vec<Review> = checked?.into_iter().flatten().collect();
    // One that was begun early and handed in late is listed by its beginning.
    reviews.sort_by_key(|review| review.at);
    Ok(reviews)
}

/// Check runs and commit statuses. Each is a list of its own, and a gate that saw one of them would
/// be open for what the other says.
pub(super) async fn checks(api: &Api, repo: &RepoName, sha: &CommitSha) -> PortResult<Checks> {
    let mut runs = check_runs(api, repo, sha).await?;
    runs.append(&mut statuses(api, repo, sha).await?);
    Ok(Checks { sha: sha.clone(), runs })
}

#[derive(Deserialize)]
struct RunPage {
    total_count: usize,
    check_runs: Vec<Run>,
}

#[derive(Deserialize)]
struct Run {
    id: u64,
    name: String,
    status: String,
    conclusion: Option<String>,
    external_id: Option<String>,
    app: Option<App>,
}

/// Source: GitHub REST, "List check runs for a Git reference"; `filter=all` has the earlier runs of
/// a check too. Of a reference with more than 1000 check suites GitHub tells the newest 1000.
async fn check_runs(api: &Api, repo: &RepoName, sha: &CommitSha) -> PortResult<Vec<CheckResult>> {
    let what = format!("the check runs of {} of {repo}", sha.short());
    // The list moves while it is read: a run that begins pushes another onto the next page.
    let (mut runs, mut total) = (BTreeMap::new(), 0);
    let first = path::repo(repo, &format!("/commits/{sha}/check-runs?filter=all&per_page=100"));
    api.pages(Who::on(repo), first, &what, |page: RunPage| {
        total = page.total_count;
        runs.extend(page.check_runs.into_iter().map(|run| (run.id, run)));
        ControlFlow::Continue(())
    })
    .await?;
    if runs.len() < total {
        return Err(PortError::retry(format!("GitHub told {} of {total} of {what}", runs.len())));
    }
    let of = |run: Run| CheckResult {
        app: match &run.app {
            Some(app) if is_ours(api, app, &run, sha) => CheckApp::Ourselves,
            // An app that is gone; no app has this number.
            app => CheckApp::App(app.as_ref().map_or(0, |app| app.id)),
        },
        outcome: CheckOutcome::of_run(&run.status, run.conclusion.as_deref()),
        number: run.id,
        name: run.name,
    };
    Ok(runs.into_values().map(of).collect())
}

/// Whether it is one that we made, or our own job, which waits for nobody but itself, or a build for any stage.
fn is_ours(api: &Api, app: &App, run: &Run, sha: &CommitSha) -> bool {
    let by_us = match api.credential() {
        Credential::App(ours) => app.id == ours.app_id,
        Credential::Job(job) => job.own_check == Some(run.id),
    };
    let is_at_work = is_of_a_job(&run.name, run.external_id.as_deref(), sha) || is_of_a_build(&run.name);
    by_us || app.is_actions() && is_at_work
}

#[derive(Deserialize)]
struct Status {
    id: u64,
    context: String,
    state: String,
}

/// Source: GitHub REST, "List commit statuses for a reference": every one, newest first.
async fn statuses(api: &Api, repo: &RepoName, sha: &CommitSha) -> PortResult<Vec<CheckResult>> {
    let what = format!("the commit statuses of {} of {repo}", sha.short());
    let mut statuses: Vec<CheckResult> = Vec::new();
    let first = path::repo(repo, &format!("/commits/{sha}/statuses?per_page=100"));
    api.pages(Who::Repo(repo, Scope::Statuses), first, &what, |page: Vec<Status>| {
        statuses.extend(page.into_iter().map(|status| CheckResult {
            outcome: CheckOutcome::of_status(&status.state),
            app: CheckApp::Status,
            number: status.id,
            name: status.context,
        }));
        ControlFlow::Continue(())
    })
    .await?;
    Ok(statuses)
}

/// How many commits of the branch the commit lacks. The branch is looked up first and compared by
/// its commit: a tag may have the branch's name, and whoever may push could then choose what the
/// comparison is with.
///
/// Source: GitHub REST, "Compare two commits", `behind_by`.
pub(super) async fn behind_by(api: &Api, repo: &RepoName, branch: &Branch, sha: &CommitSha) -> PortResult<u32> {
    #[derive(Deserialize)]
    struct Comparison {
        behind_by: u32,
    }
    let Some(base) = branch_head(api, repo, branch).await? else {
        return Err(PortError::NotFound { what: format!("branch {} of {repo}", branch.0) });
    };
    if base == *sha {
        return Ok(0);
    }
    let ask = Ask::get(path::repo(repo, &format!("/compare/{base}...{sha}?per_page=1")));
    let answer = api.get(Who::on(repo), ask, Freshness::Always).await?;
    let compared: Comparison = answer.json(&format!("the difference of {} and {} of {repo}", branch.0, sha.short()))?;
    Ok(compared.behind_by)
}
