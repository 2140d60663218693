//! Stages for the tests of this module, told as a story: a world of one stage, its deploys and
//! their steps, with times in seconds after the first push.

use std::collections::BTreeMap;

use super::{Links, StageView, check, comment, comment_wish, deployment, line, marker};
use crate::model::{
    Action, Artifact, CommitSha, Conditions, Deploy, DeployId, Failure, FailureKind, Fence, Generation, GoneReason,
    Health, Interruption, Outcome, Output, Plan, PullNumber, Release, RepoName, Resource, Runs, Runtime, Scale,
    Seconds, ServiceName, ServiceSpec, Size, SkipReason, Skipped, StageId, StageName, StageRecord, StageSpec,
    StageStatus, Step, StepEvent, StepEventKind, StepKey, StepLog, Subject, Target, Timestamp, Wanted,
};

/// 2026-11-20 05:04 UTC.
const PUSHED: Timestamp = Timestamp(1_795_151_040_000);

pub(crate) fn at(seconds: i64) -> Timestamp {
    PUSHED.after_millis(seconds * 1000)
}

pub(crate) fn sha(digit: char) -> CommitSha {
    CommitSha::new(digit.to_string().repeat(40)).expect("a sha")
}

pub(crate) fn service(name: &str) -> ServiceName {
    ServiceName::new(name).expect("a service")
}

pub(crate) struct World {
    pub record: StageRecord,
    pub deploys: Vec<Deploy>,
    pub log: StepLog,
    pub release: Option<Release>,
    pub links: Links<'static>,
}

impl World {
    /// `pr-42` of `acme/shop`, just pushed to.
    pub(crate) fn new() -> Self {
        let id = StageId {
            repo: RepoName::new("acme/shop").expect("a name"),
            name: StageName::new("pr-42").expect("a name"),
        };
        let record = StageRecord {
            id,
            subject: Subject::PullRequest(PullNumber(42)),
            target: Target::PullRequest(PullNumber(42)),
            generation: Generation(1),
            status: StageStatus::New,
            approval: None,
            lock: None,
            queue: Vec::new(),
            keep_until: None,
            asked: None,
            settled: Generation(0),
            place: None,
            touched_at: PUSHED,
            expires_at: Some(PUSHED.after(Seconds(7 * 86_400))),
            conditions: Conditions::new(),
        };
        Self { record, deploys: Vec::new(), log: StepLog::default(), release: None, links: Links::default() }
    }

    pub(crate) fn spec(&self, sha: CommitSha) -> StageSpec {
        let service_spec = |name: &str, url: Option<&str>| ServiceSpec {
            name: service(name),
            runtime: Runtime::Process { command: vec!["run".into()] },
            port: Some(8080),
            host: None,
            url: url.map(str::to_owned),
            size: Size { cpu: 256, memory: 512 },
            scale: Scale { min: 1, max: 1, cpu: None, memory: None },
            health: Health {
                path: "/health".into(),
                status: 200,
                interval: Seconds(10),
                timeout: Seconds(5),
                healthy: 2,
                unhealthy: 3,
                grace: Seconds(60),
            },
            env: BTreeMap::new(),
            secrets: BTreeMap::new(),
            migrate: None,
            needs: Vec::new(),
            paths: Vec::new(),
            drain: Seconds(10),
            canary: None,
            edition: None,
        };
        StageSpec {
            stage: self.record.id.clone(),
            sha,
            pull: Some(PullNumber(42)),
            kind: crate::model::StageKind::Ephemeral,
            place: crate::model::Place::default(),
            services: vec![
                service_spec("web", Some("https://pr-42.example.com")),
                service_spec("api", Some("https://api-pr-42.example.com")),
                service_spec("worker", None),
            ],
            expires: None,
            digest: "d".into(),
            file: String::new(),
            origin: None,
            trust: crate::model::Trust::Preview,
            pinned: None,
            label: None,
            builds: crate::model::Builds::default(),
            only: Vec::new(),
        }
    }

    fn open(&mut self, wanted: Wanted, actions: Vec<Action>, skipped: Vec<Skipped>, second: i64) {
        let step = |action: Action| Step {
            key: key(&action),
            needs: Vec::new(),
            action,
            deadline: Seconds(600),
            interruption: Interruption::Allowed,
            runs: Runs::AfterSuccess,
        };
        let number = i64::try_from(self.deploys.len()).expect("few deploys") + 1;
        self.record.generation = Generation(number);
        self.record.status = StageStatus::Deploying { generation: self.record.generation };
        self.log = StepLog::default();
        let plan = Plan {
            stage: self.record.id.clone(),
            place: crate::model::Place::default(),
            generation: Generation(number),
            wanted,
            steps: actions.into_iter().map(step).collect(),
            skipped,
        };
        self.deploys.insert(0, Deploy { id: DeployId(number), plan, started_at: at(second), ended: None });
    }

    /// Begins a deploy of web and api, and of worker unless it runs already.
    pub(crate) fn deploy(&mut self, sha: CommitSha, second: i64) {
        let mut actions = vec![Action::Fetch];
        for name in ["web", "api"] {
            let service = || service(name);
            actions.extend([
                Action::Build { service: service() },
                Action::Start { service: service() },
                Action::Shift { service: service() },
                Action::Check { service: service() },
            ]);
        }
        let mut skipped = Vec::new();
        if self.release.is_some() {
            skipped.push(Skipped { service: service("worker"), why: SkipReason::NoPathChanged });
        } else {
            let service = || service("worker");
            actions.extend([
                Action::Build { service: service() },
                Action::Start { service: service() },
                Action::Check { service: service() },
            ]);
        }
        let wanted = Wanted::Live(Box::new(self.spec(sha)));
        self.open(wanted, actions, skipped, second);
    }

    /// Begins a deploy that finds nothing to do.
    pub(crate) fn deploy_nothing(&mut self, sha: CommitSha, second: i64) {
        let wanted = Wanted::Live(Box::new(self.spec(sha)));
        self.open(wanted, Vec::new(), Vec::new(), second);
    }

    /// Begins the removal of four resources.
    pub(crate) fn remove(&mut self, reason: GoneReason, second: i64) {
        self.record.target = Target::Gone(reason.clone());
        let resource = |id: &str| Resource { kind: "container".into(), id: id.into(), service: None };
        let mut actions: Vec<Action> =
            ["web-1", "api-1", "worker-1", "web-2"].map(|id| Action::Remove { resource: resource(id) }).into();
        actions.push(Action::Prove { planned: 4 });
        self.open(Wanted::Gone(reason), actions, Vec::new(), second);
    }

    pub(crate) fn event(&mut self, step: &str, second: i64, kind: StepEventKind) {
        let seq = self.log.next_seq();
        let event = StepEvent { seq, step: StepKey(step.into()), fence: Fence(1), at: at(second), kind };
        self.log.push(event).expect("a history that can happen");
    }

    pub(crate) fn start(&mut self, step: &str, second: i64) {
        self.event(step, second, StepEventKind::Started);
    }

    pub(crate) fn done(&mut self, step: &str, from: i64, to: i64, output: Output) {
        self.start(step, from);
        self.event(step, to, StepEventKind::Done(output));
    }

    pub(crate) fn fail(&mut self, step: &str, from: i64, to: i64, failure: Failure) {
        self.start(step, from);
        self.event(step, to, StepEventKind::Failed(failure));
        self.end(Outcome::Failed, to);
    }

    /// All steps of a deploy, in 161 seconds.
    pub(crate) fn succeed(&mut self, from: i64) {
        let answered = |millis| Output::Answered { url: "https://x.example.com".into(), status: 200, millis };
        self.done("fetch", from, from + 3, Output::Nothing);
        self.done("build:web", from + 3, from + 80, Output::Nothing);
        self.done("build:api", from + 3, from + 40, Output::Nothing);
        for name in ["web", "api"] {
            self.done(&format!("start:{name}"), from + 80, from + 130, Output::Nothing);
            self.done(&format!("shift:{name}"), from + 130, from + 138, Output::Nothing);
        }
        self.done("check:web", from + 138, from + 161, answered(84));
        self.done("check:api", from + 138, from + 150, answered(12));
        if self.release.is_none() {
            self.done("build:worker", from + 3, from + 40, Output::Nothing);
            self.done("start:worker", from + 80, from + 90, Output::Nothing);
            self.done("check:worker", from + 138, from + 139, Output::Running { copies: 1, wanted: 1 });
        }
        self.end(Outcome::Live, from + 170);
    }

    /// The remaining steps of a deploy whose build of web has begun three seconds after it.
    pub(crate) fn succeed_rest(&mut self) {
        self.event("build:web", 80, StepEventKind::Done(Output::Nothing));
        self.done("start:web", 80, 130, Output::Nothing);
        self.end(Outcome::Live, 170);
    }

    pub(crate) fn end(&mut self, outcome: Outcome, second: i64) {
        let deploy = self.deploys.first_mut().expect("a deploy");
        deploy.ended = Some((at(second), outcome));
        let sha = match &deploy.plan.wanted {
            Wanted::Live(spec) => spec.sha.clone(),
            Wanted::Gone(_) => sha('0'),
        };
        let removes = matches!(deploy.plan.wanted, Wanted::Gone(_));
        self.record.status = match outcome {
            Outcome::Live => StageStatus::Live { sha: sha.clone() },
            Outcome::Failed if removes => StageStatus::RemovalBlocked,
            Outcome::Failed => StageStatus::Failed { sha: sha.clone() },
            Outcome::Superseded { by } => StageStatus::Deploying { generation: by },
            Outcome::Gone { removed } => StageStatus::Gone { removed },
        };
        if outcome == Outcome::Live {
            let artifact = || Artifact { reference: "r".into(), digest: "sha256:0".into() };
            self.release = Some(Release {
                stage: self.record.id.clone(),
                deploy: deploy.id,
                generation: deploy.plan.generation,
                sha,
                digest: "d".into(),
                artifacts: ["web", "api", "worker"].map(|name| (service(name), artifact())).into(),
                at: at(second),
                only: Vec::new(),
            });
        }
    }

    pub(crate) fn view(&self) -> StageView {
        let current = self.deploys.first().map(|deploy| (deploy, &self.log));
        StageView::of(&self.record, current, &self.deploys, self.release.as_ref(), at(600), &self.links)
    }
}

fn key(action: &Action) -> StepKey {
    StepKey(match action {
        Action::Fetch => "fetch".into(),
        Action::Build { service } => format!("build:{service}"),
        Action::Canary { service } => format!("canary:{service}"),
        Action::Start { service } => format!("start:{service}"),
        Action::Shift { service } => format!("shift:{service}"),
        Action::Check { service } => format!("check:{service}"),
        Action::Remove { resource } => format!("remove:{}", resource.id),
        Action::Prove { .. } => "prove".into(),
        Action::Prepare | Action::Adopt { .. } | Action::Migrate { .. } | Action::Retire { .. } | Action::Tidy => {
            unreachable!("not part of these stories")
        }
    })
}

/// The comment without its hidden first line.
pub(crate) fn body(world: &World) -> String {
    let text = comment(&world.view());
    let (first, rest) = text.split_once('\n').expect("a marker and a body");
    assert!(first.starts_with(&marker(&world.record.id.name)) && first.ends_with(" -->"), "{first}");
    rest.to_owned()
}

/// The small surfaces: what the check run and the deployment say, and the line of a terminal.
pub(crate) fn small(view: &StageView) -> String {
    let (check, deployment) = (check(view), deployment(view));
    format!(
        "check {:?}: {}\ndeployment {:?}: {} -> {}\nline: {}\ncomment: {:?}",
        check.state,
        check.title,
        deployment.state,
        deployment.description,
        deployment.url.unwrap_or_else(|| "nowhere".into()),
        line(view),
        comment_wish(view),
    )
}

pub(crate) fn exited() -> Failure {
    Failure {
        kind: FailureKind::Exited,
        summary: "`web` ended by itself".into(),
        exit_code: Some(3),
        log: vec!["listening on 8080".into(), "Error: DATABASE_URL is missing".into()],
        advice: "Read the last lines; set DATABASE_URL under `env`.".into(),
    }
}
