//! As what the engine of a world reaches GitHub: as the App, or as a job of a workflow.

use std::sync::Arc;

use greenroom::github::{GitHub, GitHubSettings, TokenSettings};
use greenroom::sandbox::{JobOf, Sandbox};
use secrecy::SecretString;

use super::{HandClock, World};

/// What the workflows of the README grant their jobs.
const JOB_MAY: [&str; 6] = [
    "contents: read",
    "pull-requests: write",
    "issues: write",
    "checks: write",
    "deployments: write",
    "statuses: read",
];

impl World {
    /// From now on a job of a workflow does the work, with its token and without an App. Answers the token.
    pub(crate) fn runs_as_a_job(&mut self, of: JobOf) -> SecretString {
        let token = self.github.job_token(&self.repo, &JOB_MAY, of).expect("a token");
        let repo = self.github.repo_seen(&self.repo).expect("a repository");
        let settings = TokenSettings::new(self.github.api_url(), token.clone(), repo, self.clock.clone(), 7);
        self.ports.forge = Arc::new(GitHub::with_token(&settings).expect("a connection to the sandbox"));
        self.ports.app = None;
        self.restart();
        token
    }

    /// From now on the server does the work, as the App.
    pub(crate) fn runs_as_the_app(&mut self) {
        let github = as_the_app(&self.github, &self.clock);
        (self.ports.forge, self.ports.app) = (github.clone(), Some(github));
        self.restart();
    }
}

pub(super) fn as_the_app(github: &Sandbox, clock: &Arc<HandClock>) -> Arc<GitHub> {
    let settings = GitHubSettings::new(github.api_url(), github.app_id(), github.private_key_pem(), clock.clone(), 7);
    Arc::new(GitHub::new(&settings).expect("a connection to the sandbox"))
}
