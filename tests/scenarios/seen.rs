//! What there is to see of a scenario's world: on GitHub, on the target, in the database.

use greenroom::model::{CommitSha, PullNumber, ServiceName, StageStatus};

use crate::world::World;

impl World {
    /// The commit that a service answers from.
    pub(crate) fn serving(&self, stage: &str, service: &str) -> Option<CommitSha> {
        self.cloud.serving(&self.stage_id(stage), &ServiceName::new(service).expect("a name"))
    }

    /// The only comment of a pull request, without its hidden first line.
    pub(crate) fn comment(&self, number: PullNumber) -> String {
        let body = self.raw_comment(number);
        let (_, shown) = body.split_once('\n').expect("a marker line");
        shown.trim().to_owned()
    }

    /// The only comment of a pull request as it was written.
    pub(crate) fn raw_comment(&self, number: PullNumber) -> String {
        let comments = self.github.comments(&self.repo, number);
        let mut sticky: Vec<String> =
            comments.into_iter().map(|comment| comment.body).filter(|body| is_sticky(body)).collect();
        assert_eq!(sticky.len(), 1, "one comment, edited in place: {sticky:#?}");
        sticky.remove(0)
    }

    /// What was answered on a pull request, oldest first, without the hidden first lines.
    pub(crate) fn answers(&self, number: PullNumber) -> Vec<String> {
        let comments = self.github.comments(&self.repo, number);
        let bodies = comments.into_iter().map(|comment| comment.body);
        let answers = bodies.filter(|body| body.starts_with("<!-- greenroom receipt"));
        // Without what no reader sees: the marker and the end of the audit.
        let shown = answers.map(|body| body.split_once('\n').map_or(String::new(), |(_, shown)| shown.to_owned()));
        shown.map(|shown| shown.split("<!-- greenroom audit").next().unwrap_or_default().trim().to_owned()).collect()
    }

    /// The newest answer on a pull request.
    pub(crate) fn answer(&self, number: PullNumber) -> String {
        self.answers(number).pop().expect("an answer")
    }

    /// The reactions to a comment, in the order in which they came.
    pub(crate) fn reactions(&self, comment: u64) -> Vec<String> {
        self.github.reactions(&self.repo, comment).into_iter().map(|reaction| reaction.content).collect()
    }

    /// The comment's first line that a person sees.
    pub(crate) fn headline(&self, number: PullNumber) -> String {
        self.comment(number).lines().next().unwrap_or_default().to_owned()
    }

    /// Every check run of a commit as `name: conclusion`.
    pub(crate) fn checks(&self, sha: &CommitSha) -> Vec<String> {
        let checks = self.github.checks(&self.repo, sha);
        checks
            .iter()
            .map(|check| format!("{}: {}", check.name, check.conclusion.as_ref().unwrap_or(&check.status)))
            .collect()
    }

    /// Every deployment as `environment sha: state`.
    pub(crate) fn deployments(&self) -> Vec<String> {
        let deployments = self.github.deployments(&self.repo);
        deployments.iter().map(|made| format!("{} {}: {}", made.environment, made.sha.short(), made.state())).collect()
    }

    pub(crate) fn environments(&self) -> Vec<String> {
        self.github.environments(&self.repo).into_iter().map(|environment| environment.name).collect()
    }

    /// Everything that a crash must not change, as text. Deployments of commits that were passed over
    /// are left out: whether they were ever shown depends on when the crash was.
    pub(crate) async fn final_world(&self, numbers: &[PullNumber]) -> String {
        let mut lines = self.cloud.world();
        lines.extend(self.builder.sources().iter().map(|source| format!("source left: {source}")));
        for stage in self.store.stages(Some(&self.repo)).await.expect("the database answers") {
            lines.push(format!("{} is {}", stage.id.name, status_word(&stage.status)));
        }
        for number in numbers {
            let comments = self.github.comments(&self.repo, *number);
            lines.push(format!("#{number} has {} comment(s)", comments.len()));
            lines.extend(comments.iter().filter_map(|comment| state_of(&comment.body)));
            // How long it took, and how far something was when it was stopped, depends on the crash.
            let labels =
                |answer: String| answer.lines().filter(|line| line.starts_with("**")).map(label).collect::<Vec<_>>();
            lines.extend(self.answers(*number).into_iter().flat_map(labels));
            let last = |id| self.reactions(id).pop();
            lines.extend(comments.iter().filter_map(|comment| Some(format!("reaction {}", last(comment.id)?))));
        }
        let mut deployments = self.deployments();
        deployments.retain(|line| !line.ends_with("inactive"));
        deployments.sort();
        lines.extend(deployments);
        lines.extend(self.environments().iter().map(|name| format!("environment {name}")));
        lines.join("\n")
    }

    /// Nothing was done twice in one life of a stage.
    pub(crate) fn assert_nothing_doubled(&self, story: &str) {
        for journal in [self.cloud.journal(), self.builder.journal()] {
            let journal: Vec<String> =
                journal.rsplit(|line| line.starts_with("remove")).next().unwrap_or_default().into();
            for (index, line) in journal.iter().enumerate() {
                let is_effect =
                    ["migrate", "canary", "start", "shift", "build"].iter().any(|verb| line.starts_with(verb));
                assert!(
                    !is_effect || !journal[..index].contains(line),
                    "{story}: {line:?} was done twice: {journal:#?}"
                );
            }
        }
    }
}

/// The beginning of an answer: how it ended, and the command.
fn label(line: &str) -> String {
    line.match_indices('`').nth(1).map_or(line, |(end, _)| &line[..=end]).to_owned()
}

/// A stage's own comment, and no answer to somebody's.
fn is_sticky(body: &str) -> bool {
    body.starts_with("<!-- greenroom:")
}

fn status_word(status: &StageStatus) -> String {
    match status {
        StageStatus::Live { sha } => format!("live at {}", sha.short()),
        StageStatus::Failed { sha } => format!("failed at {}", sha.short()),
        StageStatus::Gone { .. } => "gone".into(),
        other => format!("{other:?}"),
    }
}

/// The state and commit that a comment's hidden line names.
fn state_of(body: &str) -> Option<String> {
    let json = body.lines().next()?.split_once('{')?.1.rsplit_once('}')?.0;
    let value: serde_json::Value = serde_json::from_str(&format!("{{{json}}}")).ok()?;
    Some(format!("the comment says {} {}", value["state"], value["sha"]))
}
