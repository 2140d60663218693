//! What others say about a commit, and who is in which team. None of it is told to the webhook: the
//! app asks for it.

use std::collections::BTreeMap;

use super::action::{Verb, unknown};
use super::record::{Check, CommitStatus, Membership, Team};
use super::serve::{Sandbox, SandboxError};
use super::world::{APP_SLUG, PERSON};
use crate::model::{CommitSha, RepoName};

/// GitHub: "List check runs for a Git reference"; the last three come from GitHub Actions alone.
const CHECK_STATUSES: [&str; 6] = ["queued", "in_progress", "completed", "waiting", "requested", "pending"];
/// GitHub: "Create a commit status".
const STATES: [&str; 4] = ["error", "failure", "pending", "success"];

impl Sandbox {
    /// Adds a check run of another app, which is made on first sight. Each call is a run of its own,
    /// as a rerun is.
    pub fn check(
        &self,
        repo: &RepoName,
        sha: &CommitSha,
        app: &str,
        name: &str,
        status: &str,
        conclusion: Option<&str>,
    ) -> Verb<u64> {
        let fits = CHECK_STATUSES.contains(&status) && (status == "completed") == conclusion.is_some();
        if !fits || app == APP_SLUG {
            return Err(SandboxError::Refused(format!("{app} has no check that is {status} with {conclusion:?}")));
        }
        let mut world = self.shared.world();
        if !world.commits.contains_key(sha) {
            return Err(unknown(sha));
        }
        let (app, id, now) = (world.foreign_app(app), world.id(), world.now());
        let check = Check {
            id,
            app: Some(app),
            sha: sha.clone(),
            name: name.to_owned(),
            external_id: None,
            details_url: None,
            status: status.to_owned(),
            conclusion: conclusion.map(str::to_owned),
            title: None,
            summary: None,
            text: None,
            started_at: Some(now),
            completed_at: conclusion.map(|_| now),
        };
        world.repo_mut(repo).ok_or_else(|| unknown(repo))?.checks.insert(id, check);
        Ok(id)
    }

    /// Gives a commit a status.
    pub fn status(&self, repo: &RepoName, sha: &CommitSha, context: &str, state: &str) -> Verb<u64> {
        let mut world = self.shared.world();
        if !STATES.contains(&state) {
            return Err(SandboxError::Refused(format!("{state} is no state of a commit")));
        }
        if !world.commits.contains_key(sha) {
            return Err(unknown(sha));
        }
        let (id, at, creator) = (world.id(), world.now(), world.person(PERSON));
        let (sha, context, state) = (sha.clone(), context.to_owned(), state.to_owned());
        let status = CommitStatus { id, sha, context, state, creator, at };
        world.repo_mut(repo).ok_or_else(|| unknown(repo))?.statuses.insert(id, status);
        Ok(id)
    }

    /// Makes somebody a member of a team of the repository's organisation, which is made on first
    /// sight. Answers the account's id.
    pub fn add_to_team(&self, repo: &RepoName, team: &str, user: &str) -> u64 {
        self.enrol(repo, team, user, Membership::Active)
    }

    /// Invites somebody who has not accepted yet.
    pub fn invite_to_team(&self, repo: &RepoName, team: &str, user: &str) -> u64 {
        self.enrol(repo, team, user, Membership::Pending)
    }

    /// Takes a member out of a team, which stays.
    pub fn remove_from_team(&self, repo: &RepoName, team: &str, user: &str) -> Verb<()> {
        let mut world = self.shared.world();
        let found = world.teams.get_mut(&(repo.owner().to_owned(), team.to_owned())).ok_or_else(|| unknown(team))?;
        found.members.remove(&user.to_ascii_lowercase()).map(drop).ok_or_else(|| unknown(user))
    }

    fn enrol(&self, repo: &RepoName, team: &str, user: &str, held: Membership) -> u64 {
        let mut world = self.shared.world();
        let (id, created_at, person) = (world.id(), world.now(), world.person(user));
        let key = (repo.owner().to_owned(), team.to_owned());
        let found = world.teams.entry(key).or_insert(Team { id, created_at, members: BTreeMap::new() });
        found.members.insert(user.to_ascii_lowercase(), held);
        person.id
    }
}
