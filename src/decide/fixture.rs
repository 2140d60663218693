//! A small shop for the tests of this floor: `web` at the stage's address, `api` beside it with a
//! migration, `worker` without an address.

use std::collections::BTreeMap;

use crate::model::{
    Actor, ActorKind, Addressing, AppName, Artifact, AwsRoles, Branch, BranchFilter, CommandRules, CommitSha,
    Conditions, DeployId, Dns, Domain, DraftPolicy, ForkPolicy, Generation, HeadRef, Health, HostLabel, Limits,
    LocalCommand, LocalCommands, Migrate, Observed, ObservedService, Project, PullNumber, PullRequest,
    PullRequestState, Release, RepoName, Resource, Scale, Scheme, Seconds, Service, ServiceKind, ServiceName, Size,
    StageId, StageName, StagePattern, StagePolicy, StageRecord, StageRule, StageSpec, StageStatus, Subject, Target,
    Timestamp, Trigger, UserId, VersionKey,
};

pub(super) fn repo() -> RepoName {
    RepoName::new("acme/shop").unwrap()
}

pub(super) fn sha(digit: char) -> CommitSha {
    CommitSha::new(digit.to_string().repeat(40)).unwrap()
}

pub(super) fn name(text: &str) -> ServiceName {
    ServiceName::new(text).unwrap()
}

pub(super) fn stage(text: &str) -> StageId {
    StageId { repo: repo(), name: StageName::new(text).unwrap() }
}

pub(super) fn addressing() -> Addressing {
    Addressing { scheme: Scheme::Https, zone: "localhost".into(), port: None, local_commands: LocalCommands::Run }
}

pub(super) fn service(text: &str, host: Option<HostLabel>) -> Service {
    Service {
        name: name(text),
        kind: ServiceKind::Ecs,
        build: None,
        port: host.is_some().then_some(3000),
        host,
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
        paths: Vec::new(),
        needs: Vec::new(),
        local: Some(LocalCommand { command: vec!["serve".into(), text.into()] }),
        drain: Seconds(30),
        canary: None,
        overrides: Vec::new(),
    }
}

pub(super) fn rule(pattern: StagePattern, trigger: Trigger) -> StageRule {
    StageRule {
        pattern,
        trigger,
        apex: false,
        protect: false,
        retain: false,
        expires: None,
        max: None,
        limits: Limits::default(),
        cors: None,
        allow: StagePolicy::default(),
    }
}

pub(super) fn pull_rule() -> StageRule {
    rule(
        StagePattern::PullRequest { prefix: "pr-".into(), suffix: String::new() },
        Trigger::PullRequest { drafts: DraftPolicy::Skip, forks: ForkPolicy::Approve, label: None },
    )
}

pub(super) fn shop() -> Project {
    let push = |pattern: &str| Trigger::Push { branches: BranchFilter::of(pattern) };
    let named = |text: &str| StagePattern::Named(StageName::new(text).unwrap());
    let mut web = service("web", Some(HostLabel::Root));
    web.env.insert("API_URL".into(), "{urls.api}/v1?{{raw}}".into());
    web.paths = vec!["web/**".into()];
    web.needs = vec![name("api")];
    let mut api = service("api", Some(HostLabel::Label("api".into())));
    api.migrate = Some(Migrate { command: vec!["migrate".into()], timeout: Seconds(600) });
    Project {
        app: AppName::new("shop").unwrap(),
        aws: None,
        aws_roles: AwsRoles::default(),
        domain: Some(Domain { zone: "shop.test".into(), dns: Dns::None, certificate: None }),
        commands: CommandRules::default(),
        builds: crate::model::Builds::default(),
        stages: vec![
            StageRule { apex: true, ..rule(named("prod"), push("main")) },
            rule(named("staging"), push("staging")),
            pull_rule(),
            rule(StagePattern::Branch { prefix: String::new(), suffix: String::new() }, push("feature-*")),
        ],
        services: vec![web, api, service("worker", None)],
        digest: "d".into(),
    }
}

pub(super) fn spec(commit: char) -> StageSpec {
    super::resolve(&shop(), &pull_rule(), &stage("pr-7"), &sha(commit), Some(PullNumber(7)), &addressing())
}

/// All three services serve, nothing beside them.
pub(super) fn all_serving() -> Observed {
    let services = ["api", "web", "worker"].map(|text| {
        (name(text), ObservedService { serving: Some(VersionKey(format!("{text}-1"))), others: Vec::new() })
    });
    let resources = ["api", "web", "worker"].map(|text| Resource {
        kind: "process".into(),
        id: format!("{text}-1"),
        service: Some(name(text)),
    });
    Observed { services: services.into(), resources: resources.into(), blueprint: None }
}

pub(super) fn release(spec: &StageSpec) -> Release {
    let artifact = |text: &str| Artifact { reference: text.into(), digest: "sha256:0".into() };
    Release {
        stage: spec.stage.clone(),
        deploy: DeployId(1),
        generation: Generation(1),
        sha: spec.sha.clone(),
        digest: spec.digest.clone(),
        artifacts: spec.services.iter().map(|service| (service.name.clone(), artifact("a"))).collect(),
        at: Timestamp(0),
        only: Vec::new(),
    }
}

pub(super) fn record(text: &str, subject: Subject, target: Target) -> StageRecord {
    StageRecord {
        place: None,
        id: stage(text),
        subject,
        target,
        generation: Generation(1),
        status: StageStatus::New,
        approval: None,
        lock: None,
        queue: Vec::new(),
        keep_until: None,
        asked: None,
        settled: Generation(0),
        touched_at: Timestamp(0),
        expires_at: None,
        conditions: Conditions::new(),
    }
}

pub(super) fn pull_record(number: u64) -> StageRecord {
    let number = PullNumber(number);
    record(&format!("pr-{number}"), Subject::PullRequest(number), Target::PullRequest(number))
}

pub(super) fn pull(number: u64) -> PullRequest {
    PullRequest {
        repo: repo(),
        number: PullNumber(number),
        title: "A change".into(),
        author: actor(),
        head: HeadRef { repo: Some(repo()), branch: Branch("topic".into()), sha: sha('a') },
        base: Branch("main".into()),
        state: PullRequestState::Open,
        labels: Vec::new(),
    }
}

pub(super) fn actor() -> Actor {
    Actor { id: UserId(1), login: "ann".into(), kind: ActorKind::Person }
}
