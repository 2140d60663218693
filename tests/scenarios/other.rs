//! Another repository on the same server.

use greenroom::model::{
    CommitSha, PullNumber, RepoName, SecretRef, ServiceName, StageId, StageName, StageStatus, Wanted,
};
use greenroom::sandbox::FileChange;

use crate::world::{CONFIG, World};

/// The shop of the scenarios, with a secret of the server's and, if wanted, a zone.
pub(crate) fn config(zone: Option<&str>) -> String {
    let secret = CONFIG.replace(
        "    health: { path: /health }\n",
        "    health: { path: /health }\n    secrets: { TOKEN: \"env:TOKEN\" }\n",
    );
    match zone {
        Some(zone) => secret.replace("app: shop\n", &format!("app: shop\ndomain: {{ zone: {zone} }}\n")),
        None => secret,
    }
}

/// A repository beside the world's own.
pub(crate) struct Other {
    /// What GitHub calls it.
    pub(crate) name: RepoName,
    /// As what the server knows it.
    pub(crate) key: RepoName,
}

impl Other {
    pub(crate) fn made(w: &World, name: &str, config: &str) -> Self {
        let files = [FileChange::write(".github/greenroom.yml", config), FileChange::write("app", "1")];
        let name = w.github.create_repo(name, files).expect("a repository");
        Self { key: name.clone(), name }
    }

    pub(crate) fn open(&self, w: &World, content: &str) -> (PullNumber, CommitSha) {
        let sha = self.push(w, content);
        (w.github.open_pull(&self.name, "topic", "A change").expect("a pull request"), sha)
    }

    pub(crate) fn push(&self, w: &World, content: &str) -> CommitSha {
        w.github.push(&self.name, "topic", [FileChange::write("app", content)], "A change").expect("a commit")
    }

    pub(crate) fn stage(&self, name: &str) -> StageId {
        StageId { repo: self.key.clone(), name: StageName::new(name).expect("a name") }
    }

    pub(crate) fn serving(&self, w: &World, stage: &str) -> Option<CommitSha> {
        w.cloud.serving(&self.stage(stage), &ServiceName::new("web").expect("a name"))
    }

    pub(crate) async fn status(&self, w: &World, stage: &str) -> Option<StageStatus> {
        w.store.stage(&self.stage(stage)).await.expect("the database answers").map(|record| record.status)
    }

    /// As what the server knows it, which it tells whoever it does not serve.
    pub(crate) fn told_key(&self, w: &World, number: PullNumber) -> String {
        let said = self.read(w, number).join("\n");
        let key = said.split("they add ").nth(1).and_then(|rest| rest.split(' ').next());
        key.unwrap_or_else(|| panic!("no way out: {said}")).to_owned()
    }

    /// Everything that was written on a pull request, without the backslashes of Markdown.
    pub(crate) fn read(&self, w: &World, number: PullNumber) -> Vec<String> {
        let comments = w.github.comments(&self.name, number);
        comments.into_iter().map(|comment| comment.body.replace('\\', "")).collect()
    }
}

/// The variable that a stage's `TOKEN` comes from.
pub(crate) async fn token(w: &World, stage: &StageId) -> String {
    let deploys = w.store.deploys(stage, 9).await.expect("the database answers");
    let spec = deploys.into_iter().find_map(|deploy| match deploy.plan.wanted {
        Wanted::Live(spec) => Some(spec),
        Wanted::Gone(_) => None,
    });
    let spec = spec.expect("a deploy");
    match &spec.services.iter().find(|service| service.name.as_str() == "web").expect("web").secrets["TOKEN"] {
        SecretRef::ServerEnv(name) => name.clone(),
        other => panic!("{other:?}"),
    }
}
