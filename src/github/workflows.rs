//! [`Workflows`] by GitHub: runs that are asked for, found, followed and ended.

use std::ops::ControlFlow;
use std::sync::Arc;

use async_trait::async_trait;
use http::{Method, StatusCode};
use serde::Deserialize;
use serde_json::json;
use tokio::sync::OnceCell;

use super::answer::Answer;
use super::api::{Api, Who};
use super::cache::Freshness;
use super::path::{self, encode};
use super::read::{User, confirm};
use super::token::Scope;
use super::transport::Ask;
use super::{forge::GitHub, job_log, read};
use crate::model::{Branch, CommitSha, FailureKind, RepoId, RepoName};
use crate::port::{
    Cancellation, Conclusion, Dispatch, Dispatched, PortError, PortResult, RunOrigin, RunStarter, RunState, TreeEntry,
    WorkflowRun, Workflows,
};

const SCOPE: Scope = Scope::Actions;
/// Of a list that begins with the newest.
const MOST_RUNS: usize = 300;
/// Where workflows lie in a repository.
const FOLDER: &str = ".github/workflows/";

impl GitHub {
    /// The runs of workflows, by the same connection.
    pub fn workflows(&self) -> Arc<dyn Workflows> {
        Arc::new(GitHubWorkflows { api: self.api.clone(), own_login: Arc::default() })
    }
}

/// GitHub Actions as one App sees it.
struct GitHubWorkflows {
    api: Api,
    /// Our own account's, as GitHub writes it: `greenroom[bot]`.
    own_login: Arc<OnceCell<String>>,
}

#[derive(Deserialize)]
struct Run {
    id: u64,
    display_title: Option<String>,
    status: Option<String>,
    conclusion: Option<String>,
    #[serde(default)]
    path: String,
    event: String,
    head_branch: Option<String>,
    actor: Option<User>,
    triggering_actor: Option<User>,
    html_url: String,
}

impl Run {
    fn seen(self, own_login: &str) -> WorkflowRun {
        let is_own =
            |user: Option<&User>| user.is_some_and(|it| it.kind == "Bot" && it.login.eq_ignore_ascii_case(own_login));
        let starter = if is_own(self.actor.as_ref()) && is_own(self.triggering_actor.as_ref()) {
            RunStarter::Ourselves
        } else {
            RunStarter::SomebodyElse
        };
        // A reusable workflow's path is followed by `@` and a reference.
        let path = self.path.split('@').next().unwrap_or_default();
        WorkflowRun {
            id: self.id,
            title: self.display_title.unwrap_or_default(),
            state: state(self.status.as_deref(), self.conclusion.as_deref()),
            origin: RunOrigin {
                workflow: path.strip_prefix(FOLDER).unwrap_or_default().to_owned(),
                event: self.event,
                branch: self.head_branch.unwrap_or_default(),
                starter,
            },
            page: self.html_url,
        }
    }
}

/// Source: GitHub REST, "Workflow runs", the values of `status` and `conclusion`.
fn state(status: Option<&str>, conclusion: Option<&str>) -> RunState {
    match status {
        Some("completed") => RunState::Ended(match conclusion {
            Some("success") => Conclusion::Success,
            Some("failure") => Conclusion::Failure,
            Some("cancelled") => Conclusion::Cancelled,
            Some("timed_out") => Conclusion::TimedOut,
            Some("startup_failure") => Conclusion::StartupFailure,
            Some("action_required") => Conclusion::ActionRequired,
            _ => Conclusion::Other,
        }),
        Some("in_progress") => RunState::Running,
        _ => RunState::Waiting,
    }
}

impl GitHubWorkflows {
    fn who(repo: &RepoName) -> Who<'_> {
        Who::Repo(repo, SCOPE)
    }

    fn path(repo: &RepoName, rest: &str) -> String {
        path::repo(repo, &format!("/actions{rest}"))
    }

    /// GitHub: an app's account is called as the app with `[bot]` behind it.
    async fn own_login(&self) -> PortResult<&str> {
        #[derive(Deserialize)]
        struct App {
            slug: String,
        }
        let ask = || async {
            let answer = self.api.get(Who::App, Ask::get("/app"), Freshness::Conditional).await?;
            Ok::<_, PortError>(format!("{}[bot]", answer.json::<App>("the app itself")?.slug))
        };
        self.own_login.get_or_try_init(ask).await.map(String::as_str)
    }

    /// Asks with the wish to be told which run it is, and without it where the server does not know that wish.
    async fn ask_for_run(&self, dispatch: &Dispatch<'_>) -> PortResult<Answer> {
        let Dispatch { repo, workflow, branch, inputs } = dispatch;
        let path = Self::path(repo, &format!("/workflows/{}/dispatches", encode(workflow)));
        let mut body = json!({ "ref": branch, "inputs": inputs, "return_run_details": true });
        let answer = self.api.send(Self::who(repo), Method::POST, path.clone(), Some(body.clone())).await?;
        let is_unknown = match answer.status {
            // Source: GitHub Enterprise Server before 3.20, which refuses a field that it does not know.
            StatusCode::BAD_REQUEST => true,
            StatusCode::UNPROCESSABLE_ENTITY => answer.complaint().contains("return_run_details"),
            _ => false,
        };
        if !is_unknown {
            return Ok(answer);
        }
        if let Some(fields) = body.as_object_mut() {
            fields.remove("return_run_details");
        }
        self.api.send(Self::who(repo), Method::POST, path, Some(body)).await
    }

    async fn git_tree(&self, repo: &RepoName, tree: &str) -> PortResult<Vec<Entry>> {
        #[derive(Deserialize)]
        struct Tree {
            tree: Vec<Entry>,
        }
        let ask = Ask::get(path::repo(repo, &format!("/git/trees/{}", encode(tree))));
        let answer = self.api.get(Who::on(repo), ask, Freshness::Immutable).await?;
        Ok(answer.json::<Tree>(&format!("a folder of {repo}"))?.tree)
    }

    async fn root(&self, repo: &RepoName, sha: &CommitSha) -> PortResult<String> {
        #[derive(Deserialize)]
        struct Commit {
            tree: Object,
        }
        #[derive(Deserialize)]
        struct Object {
            sha: String,
        }
        let ask = Ask::get(path::repo(repo, &format!("/git/commits/{sha}")));
        let answer = self.api.get(Who::on(repo), ask, Freshness::Immutable).await?;
        Ok(answer.json::<Commit>(&format!("commit {} of {repo}", sha.short()))?.tree.sha)
    }
}

/// One line of a folder, as git keeps it.
#[derive(Deserialize)]
struct Entry {
    path: String,
    mode: String,
    #[serde(rename = "type")]
    kind: String,
    sha: String,
}

impl Entry {
    fn meant(self) -> TreeEntry {
        match (&*self.kind, &*self.mode) {
            ("tree", _) => TreeEntry::Folder(self.sha),
            // A link is kept as a file that holds where it leads.
            ("blob", mode) if mode != "120000" => TreeEntry::File(self.sha),
            _ => TreeEntry::Other,
        }
    }
}

/// Why GitHub starts no run, and what to do about it.
fn refused(dispatch: &Dispatch<'_>, answer: Answer) -> PortError {
    let Dispatch { repo, workflow, branch, .. } = dispatch;
    let (file, said) = (format!("{FOLDER}{workflow}"), answer.complaint());
    let lower = said.to_ascii_lowercase();
    let fail = |summary: String, advice: String| PortError::failed(FailureKind::Environment, summary, advice);
    if lower.contains("disabled") {
        return fail(
            format!("GitHub Actions does not run `{file}` of {repo}: {said}"),
            "Enable the workflow under \"Actions\", or Actions itself under \"Settings\", \"Actions\", \"General\"; or \
             write `builder: docker`. Then deploy again."
                .to_owned(),
        );
    }
    match answer.status {
        StatusCode::NOT_FOUND => fail(
            format!("`{file}` is not on the branch {} of {repo}", branch.0),
            "`greenroom init --workflows` writes it: commit it to that branch, or write `builder: docker`. Then deploy \
             again."
                .to_owned(),
        ),
        StatusCode::UNPROCESSABLE_ENTITY if !lower.contains("no ref found") => fail(
            format!("`{file}` on the branch {} of {repo} is not the one that this server asks for: {said}", branch.0),
            "`greenroom init --workflows` writes it anew: commit it to that branch, then deploy again.".to_owned(),
        ),
        _ => match answer.ok(&format!("a run of `{file}` of {repo}")) {
            Err(error) => SCOPE.explain(error),
            Ok(_) => PortError::retry(format!("GitHub took the wish for a run of `{file}` in a way that is not known")),
        },
    }
}

#[async_trait]
impl Workflows for GitHubWorkflows {
    fn only(&self, repo: RepoId) -> Arc<dyn Workflows> {
        Arc::new(Self { api: self.api.only(repo), own_login: self.own_login.clone() })
    }

    async fn default_branch(&self, repo: &RepoName) -> PortResult<Branch> {
        Ok(read::repository(&self.api, repo).await?.default_branch)
    }

    async fn tree_entry(&self, repo: &RepoName, sha: &CommitSha, path: &str) -> PortResult<Option<TreeEntry>> {
        let mut found = TreeEntry::Folder(self.root(repo, sha).await?);
        for part in path.split('/').filter(|part| !matches!(*part, "" | ".")) {
            let TreeEntry::Folder(tree) = &found else { return Ok(None) };
            let entries = self.git_tree(repo, tree).await?;
            let Some(entry) = entries.into_iter().find(|entry| entry.path == part) else { return Ok(None) };
            found = entry.meant();
        }
        Ok(Some(found))
    }

    async fn dispatch(&self, dispatch: &Dispatch<'_>) -> PortResult<Dispatched> {
        #[derive(Deserialize)]
        struct Details {
            workflow_run_id: u64,
        }
        let answer = self.ask_for_run(dispatch).await?;
        match answer.status {
            StatusCode::OK => {
                let details: Details = answer.json("the run that was asked for")?;
                Ok(Dispatched::Run(details.workflow_run_id))
            }
            status if status.is_success() => Ok(Dispatched::Unnamed),
            StatusCode::NOT_FOUND => {
                confirm(&self.api, dispatch.repo).await?;
                Err(refused(dispatch, answer))
            }
            _ => Err(refused(dispatch, answer)),
        }
    }

    async fn runs(&self, repo: &RepoName, workflow: &str) -> PortResult<Vec<WorkflowRun>> {
        #[derive(Deserialize)]
        struct Page {
            workflow_runs: Vec<Run>,
        }
        let own_login = self.own_login().await?;
        let rest = format!("/workflows/{}/runs?event=workflow_dispatch&per_page=100", encode(workflow));
        let mut seen: Vec<WorkflowRun> = Vec::new();
        let visit = |page: Page| {
            let is_whole = page.workflow_runs.len() == 100;
            seen.extend(page.workflow_runs.into_iter().map(|run| run.seen(own_login)));
            if is_whole && seen.len() < MOST_RUNS { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        };
        let what = format!("the runs of `{workflow}` of {repo}");
        match self.api.pages(Self::who(repo), Self::path(repo, &rest), &what, visit).await {
            // No workflow, no runs; asking for one says so.
            Err(PortError::NotFound { .. }) => Ok(Vec::new()),
            Err(error) => Err(SCOPE.explain(error)),
            Ok(()) => {
                seen.retain(|run| run.origin.starter == RunStarter::Ourselves);
                Ok(seen)
            }
        }
    }

    async fn run(&self, repo: &RepoName, run: u64) -> PortResult<WorkflowRun> {
        let own_login = self.own_login().await?;
        let ask = Ask::get(Self::path(repo, &format!("/runs/{run}")));
        let answer = self.api.get(Self::who(repo), ask, Freshness::Conditional).await?;
        let found: Run = answer.json(&format!("run {run} of {repo}")).map_err(|error| SCOPE.explain(error))?;
        Ok(found.seen(own_login))
    }

    async fn cancel(&self, repo: &RepoName, run: u64, how: Cancellation) -> PortResult<()> {
        let verb = match how {
            Cancellation::Gentle => "cancel",
            Cancellation::Forced => "force-cancel",
        };
        let path = Self::path(repo, &format!("/runs/{run}/{verb}"));
        let answer = self.api.send(Self::who(repo), Method::POST, path, None).await?;
        // 409: it has ended.
        if matches!(answer.status, StatusCode::CONFLICT | StatusCode::NOT_FOUND) {
            return Ok(());
        }
        answer.ok(&format!("the end of run {run} of {repo}")).map(drop).map_err(|error| SCOPE.explain(error))
    }

    async fn log(&self, repo: &RepoName, run: u64, lines: usize) -> PortResult<Vec<String>> {
        #[derive(Deserialize)]
        struct Jobs {
            jobs: Vec<Job>,
        }
        #[derive(Deserialize)]
        struct Job {
            id: u64,
            conclusion: Option<String>,
        }
        let ask = Ask::get(Self::path(repo, &format!("/runs/{run}/jobs?filter=latest&per_page=100")));
        let answer = self.api.get(Self::who(repo), ask, Freshness::Always).await?;
        let jobs = match answer.json::<Jobs>(&format!("the jobs of run {run} of {repo}")) {
            Err(PortError::NotFound { .. }) => return Ok(Vec::new()),
            answer => answer.map_err(|error| SCOPE.explain(error))?.jobs,
        };
        let has_failed = |job: &&Job| matches!(job.conclusion.as_deref(), Some("failure" | "timed_out" | "cancelled"));
        let Some(job) = jobs.iter().find(has_failed).or(jobs.last()) else { return Ok(Vec::new()) };
        let ask = Ask::get(Self::path(repo, &format!("/jobs/{}/logs", job.id)));
        let answer = self.api.get(Self::who(repo), ask, Freshness::Always).await?;
        job_log::last_lines(&self.api, answer, lines).await
    }
}
