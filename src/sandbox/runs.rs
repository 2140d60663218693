//! GitHub Actions, with whoever uses this GitHub as the runner: a run does what the verbs say and nothing by
//! itself.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::action::{Verb, unknown};
use super::body::EventKind;
use super::git::Commit;
use super::record::Account;
use super::serve::Sandbox;
use super::world::World;
use crate::model::{Branch, CommitSha, RepoName, Timestamp};

/// Where workflows lie in a repository.
pub(super) const FOLDER: &str = ".github/workflows/";

/// What a GitHub answers to whoever asks for a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum DispatchAnswer {
    /// Which run it is, where that is wished for.
    #[default]
    Details,
    /// Nothing, whatever is wished for.
    Nothing,
    /// 400 to a wish that it does not know: GitHub Enterprise Server 3.17 to 3.19.
    RefusesWish,
}

/// Whether workflows run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ActionsSwitch {
    #[default]
    On,
    Off,
}

/// What a run does when it is asked to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Manners {
    /// It ends.
    #[default]
    Obedient,
    /// It ends by force alone: a step of it runs `always()`.
    Stubborn,
}

/// Actions on this GitHub.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Actions {
    pub(super) answer: DispatchAnswer,
    pub(super) switch: ActionsSwitch,
}

/// A run of a workflow that somebody asked for, with one job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Run {
    pub id: u64,
    pub number: u64,
    /// The number of its job.
    pub job: u64,
    /// The file's name.
    pub workflow: String,
    /// The workflow's own name.
    pub name: String,
    pub title: String,
    pub branch: Branch,
    /// The branch's head when it was asked for.
    pub sha: CommitSha,
    pub starter: Arc<Account>,
    pub inputs: BTreeMap<String, String>,
    /// `queued`, `in_progress` or `completed`.
    pub status: &'static str,
    /// Only of a completed one.
    pub conclusion: Option<String>,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
    pub manners: Manners,
    /// How it was asked to end: `cancel`, `force-cancel`.
    pub asked_to_end: Vec<&'static str>,
    pub log: Vec<String>,
}

/// A run that is asked for.
pub(super) struct Wish<'a> {
    pub(super) workflow: &'a str,
    pub(super) branch: &'a Branch,
    pub(super) inputs: BTreeMap<String, String>,
    pub(super) starter: Arc<Account>,
}

/// The value of a key at the top of a workflow's file.
pub(super) fn top_key<'a>(file: &'a str, key: &str) -> Option<&'a str> {
    let value = file.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':'))?;
    Some(value.trim().trim_matches(['"', '\'']))
}

impl World {
    /// A workflow's file at a commit.
    pub(super) fn workflow(commit: &Commit, workflow: &str) -> Option<String> {
        let bytes = commit.tree.get(&format!("{FOLDER}{workflow}"))?;
        Some(String::from_utf8_lossy(bytes).into_owned())
    }

    /// Adds a run of a workflow that is there: `workflow_run` `requested`, `workflow_job` `queued`.
    pub(super) fn add_run(&mut self, repo: &RepoName, wish: Wish<'_>) -> Option<Run> {
        let Wish { workflow, branch, inputs, starter } = wish;
        let head = self.head(repo, branch)?.clone();
        let file = Self::workflow(&head, workflow)?;
        let name = top_key(&file, "name").unwrap_or(workflow).to_owned();
        let mut title = top_key(&file, "run-name").unwrap_or(&name).to_owned();
        for (input, value) in &inputs {
            title = title.replace(&format!("${{{{ inputs.{input} }}}}"), value);
        }
        let (id, job, now) = (self.id(), self.id(), self.now());
        let target = self.repo_mut(repo)?;
        let run = Run {
            id,
            number: target.runs.len() as u64 + 1,
            job,
            workflow: workflow.to_owned(),
            name,
            title,
            branch: branch.clone(),
            sha: head.sha.clone(),
            starter,
            inputs,
            status: "queued",
            conclusion: None,
            created_at: now,
            updated_at: now,
            manners: Manners::default(),
            asked_to_end: Vec::new(),
            log: Vec::new(),
        };
        target.runs.insert(id, run.clone());
        self.tell_of_run(repo, &run, "requested", "queued");
        Some(run)
    }

    fn tell_of_run(&mut self, repo: &RepoName, run: &Run, of_run: &'static str, of_job: &'static str) {
        let sender = run.starter.clone();
        self.announce(repo, &sender, &EventKind::Job { action: of_job, run });
        self.announce(repo, &sender, &EventKind::Run { action: of_run, run });
    }

    /// Ends a run that has not ended: `workflow_job` and `workflow_run` `completed`.
    pub(super) fn end_run(&mut self, repo: &RepoName, id: u64, conclusion: &str) -> bool {
        let now = self.now();
        let Some(run) = self.repo_mut(repo).and_then(|repo| repo.runs.get_mut(&id)) else { return false };
        if run.status == "completed" {
            return false;
        }
        (run.status, run.conclusion, run.updated_at) = ("completed", Some(conclusion.to_owned()), now);
        let run = run.clone();
        self.tell_of_run(repo, &run, "completed", "completed");
        true
    }

    /// Asks a run to end, with `cancel` or `force-cancel`; `None` where it has ended.
    pub(super) fn ask_to_end(&mut self, repo: &RepoName, id: u64, verb: &'static str) -> Option<()> {
        let run = self.repo_mut(repo)?.runs.get_mut(&id).filter(|run| run.status != "completed")?;
        run.asked_to_end.push(verb);
        if run.manners == Manners::Obedient || verb == "force-cancel" {
            self.end_run(repo, id, "cancelled");
        }
        Some(())
    }
}

impl Sandbox {
    /// The runs of a repository, oldest first.
    pub fn runs(&self, repo: &RepoName) -> Vec<Run> {
        self.shared.world().repo(repo).map_or_else(Vec::new, |repo| repo.runs.values().cloned().collect())
    }

    /// Somebody asks for a run by hand.
    pub fn dispatch(
        &self,
        repo: &RepoName,
        workflow: &str,
        branch: &str,
        user: &str,
        inputs: &[(&str, &str)],
    ) -> Verb<u64> {
        let mut world = self.shared.world();
        let starter = world.person(user);
        let inputs = inputs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let wish = Wish { workflow, branch: &Branch(branch.to_owned()), inputs, starter };
        world.add_run(repo, wish).map(|run| run.id).ok_or_else(|| unknown(workflow))
    }

    /// A runner takes a run: `in_progress`.
    pub fn start_run(&self, repo: &RepoName, id: u64) -> Verb<()> {
        let mut world = self.shared.world();
        let now = world.now();
        let target = world.repo_mut(repo).ok_or_else(|| unknown(repo))?;
        let run = target.runs.get_mut(&id).filter(|run| run.status == "queued").ok_or_else(|| unknown(id))?;
        (run.status, run.updated_at) = ("in_progress", now);
        let run = run.clone();
        world.tell_of_run(repo, &run, "in_progress", "in_progress");
        Ok(())
    }

    /// A run ends, having printed this.
    pub fn end_run(&self, repo: &RepoName, id: u64, conclusion: &str, log: &[&str]) -> Verb<()> {
        let mut world = self.shared.world();
        let target = world.repo_mut(repo).ok_or_else(|| unknown(repo))?;
        let run = target.runs.get_mut(&id).ok_or_else(|| unknown(id))?;
        run.log = log.iter().map(|line| (*line).to_owned()).collect();
        if world.end_run(repo, id, conclusion) { Ok(()) } else { Err(unknown(id)) }
    }

    /// Somebody deletes a run.
    pub fn delete_run(&self, repo: &RepoName, id: u64) -> Verb<()> {
        let mut world = self.shared.world();
        let target = world.repo_mut(repo).ok_or_else(|| unknown(repo))?;
        target.runs.remove(&id).map(drop).ok_or_else(|| unknown(id))
    }

    /// Says what a run does when it is asked to end.
    pub fn teach_run(&self, repo: &RepoName, id: u64, manners: Manners) -> Verb<()> {
        let mut world = self.shared.world();
        let target = world.repo_mut(repo).ok_or_else(|| unknown(repo))?;
        target.runs.get_mut(&id).ok_or_else(|| unknown(id))?.manners = manners;
        Ok(())
    }

    /// What is answered to whoever asks for a run from now on.
    pub fn set_dispatch_answer(&self, answer: DispatchAnswer) {
        self.shared.world().actions.answer = answer;
    }

    /// Switches workflows on or off.
    pub fn switch_actions(&self, switch: ActionsSwitch) {
        self.shared.world().actions.switch = switch;
    }
}
