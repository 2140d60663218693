//! `greenroom check`: what a configuration means, or everything that is wrong with it.

use std::fmt::Write as _;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::Args;
use serde::Serialize;

use super::files_here::files_here;
use super::{ExitStatus, Printer};
use crate::config;
use crate::decide::resolve;
use crate::model::{
    Addressing, Branch, CommitSha, DraftPolicy, ForkPolicy, LocalCommands, Problem, Project, PullNumber, RepoName,
    Scheme, Seconds, Service, ServiceName, StageId, StageName, StagePattern, StageRule, Trigger,
};

/// More of a file is not read: the check refuses it by its size.
const MOST_BYTES: u64 = 1024 * 1024;

/// Check a configuration, and say what it means.
#[derive(Debug, Args)]
#[command(after_help = "\
Every problem is printed as file:line:column: message, and the exit code is 2. Where the
file lies in a repository's .github, patterns of `paths` are held against its files.
Whether a server serves the repository is its operator's to say: `greenroom doctor`
tells it where the server's GREENROOM_ALLOW is set.

Examples:
  greenroom check
  greenroom check examples/hello/.github/greenroom.yml
  greenroom --json check | jq .problems")]
pub(super) struct Check {
    /// The file.
    #[arg(default_value = config::PATH, value_name = "FILE")]
    file: PathBuf,
}

/// What `--json` prints.
#[derive(Debug, Serialize)]
struct Report {
    file: String,
    ok: bool,
    problems: Vec<Problem>,
    /// What is right and will hardly do what was meant.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    warnings: Vec<Problem>,
    #[serde(flatten)]
    found: Option<Found>,
}

#[derive(Debug, Serialize)]
struct Found {
    app: String,
    stages: Vec<StageRow>,
    services: Vec<ServiceRow>,
    example: Option<Example>,
}

#[derive(Debug, Serialize)]
struct StageRow {
    name: String,
    /// What makes it deploy, in words.
    when: String,
}

#[derive(Debug, Serialize)]
struct ServiceRow {
    name: ServiceName,
    what: String,
}

/// Where the services of one stage would answer.
#[derive(Debug, Serialize)]
struct Example {
    stage: StageName,
    urls: Vec<Address>,
}

#[derive(Debug, Serialize)]
struct Address {
    service: ServiceName,
    url: String,
}

impl Check {
    pub(super) fn run(self, printer: &mut Printer) -> anyhow::Result<ExitStatus> {
        let file = self.file.display().to_string();
        let bytes = read(&self.file)?;
        let report = match config::check(&file, &bytes) {
            Ok(project) => {
                let (warnings, found) = (warnings(&self.file, &project, &bytes)?, Some(found(&project)));
                Report { file, ok: true, problems: Vec::new(), warnings, found }
            }
            Err(problems) => Report { file, ok: false, problems: problems.problems, warnings: Vec::new(), found: None },
        };
        printer.result(&report, human)?;
        Ok(if report.ok { ExitStatus::Ok } else { ExitStatus::Usage })
    }
}

fn read(file: &Path) -> anyhow::Result<Vec<u8>> {
    let opened = match std::fs::File::open(file) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Err(ExitStatus::Usage.error(missing(file)));
        }
        opened => opened.with_context(|| format!("cannot read {}", file.display()))?,
    };
    let mut bytes = Vec::new();
    opened.take(MOST_BYTES).read_to_end(&mut bytes).with_context(|| format!("cannot read {}", file.display()))?;
    Ok(bytes)
}

/// That the file is not there, and what is there in its place.
fn missing(file: &Path) -> String {
    let name = file.display();
    let others = [config::MISNAMED, "greenroom.yml", "greenroom.yaml", ".greenroom.yml"].map(Path::new);
    match others.into_iter().find(|other| file == Path::new(config::PATH) && other.is_file()) {
        Some(other) => format!("there is no {name}, and {} is not read: give it that name", other.display()),
        None => format!("there is no {name}: `greenroom init` writes a first file"),
    }
}

/// What the files of the repository say against the file.
fn warnings(file: &Path, project: &Project, bytes: &[u8]) -> anyhow::Result<Vec<Problem>> {
    let folder = file.parent().filter(|folder| folder.file_name().is_some_and(|name| name == ".github"));
    let Some(top) = folder.and_then(Path::parent) else { return Ok(Vec::new()) };
    if project.services.iter().all(|service| service.paths.is_empty()) {
        return Ok(Vec::new());
    }
    let top = if top.as_os_str().is_empty() { Path::new(".") } else { top };
    let files = files_here(top).with_context(|| format!("cannot see which files are in {}", top.display()))?;
    Ok(files.map_or_else(Vec::new, |files| config::idle_patterns(bytes, &files)))
}

fn human(report: &Report) -> String {
    let Some(found) = &report.found else {
        let line = |problem: &Problem| format!("{}:{problem}\n", report.file);
        return report.problems.iter().map(line).collect();
    };
    let mut text = format!("{} is fine: the app {}\n\nStages:\n", report.file, found.app);
    let stages = found.stages.iter().map(|row| (row.name.as_str(), row.when.as_str()));
    columns(&mut text, stages.collect());
    text.push_str("\nServices:\n");
    columns(&mut text, found.services.iter().map(|row| (row.name.as_str(), row.what.as_str())).collect());
    if let Some(example) = found.example.as_ref().filter(|example| !example.urls.is_empty()) {
        let _ = writeln!(text, "\n{} would answer at:", example.stage);
        columns(&mut text, example.urls.iter().map(|row| (row.service.as_str(), row.url.as_str())).collect());
    }
    if !report.warnings.is_empty() {
        text.push_str("\nThis will hardly do what was meant:\n");
        for warning in &report.warnings {
            let _ = writeln!(text, "  {}:{warning}", report.file);
        }
    }
    text
}

fn columns(text: &mut String, rows: Vec<(&str, &str)>) {
    let width = rows.iter().map(|(left, _)| left.chars().count()).max().unwrap_or(0);
    for (left, right) in rows {
        let _ = writeln!(text, "  {left:<width$}  {right}");
    }
}

fn found(project: &Project) -> Found {
    let stage = |rule: &StageRule| StageRow { name: pattern(&rule.pattern), when: when(rule) };
    Found {
        app: project.app.to_string(),
        stages: project.stages.iter().map(stage).collect(),
        services: project.services.iter().map(service).collect(),
        example: example(project),
    }
}

/// The pattern as it is written in the file.
fn pattern(pattern: &StagePattern) -> String {
    match pattern {
        StagePattern::Named(name) => name.to_string(),
        StagePattern::PullRequest { prefix, suffix } => format!("{prefix}{{number}}{suffix}"),
        StagePattern::Branch { prefix, suffix } => format!("{prefix}{{branch}}{suffix}"),
    }
}

fn when(rule: &StageRule) -> String {
    let mut words = match &rule.trigger {
        Trigger::Push { branches } => vec![format!("a push to {branches}")],
        Trigger::Manual => vec!["on request".to_owned()],
        Trigger::PullRequest { drafts, forks, label } => {
            let which = label.as_ref().map_or(String::new(), |label| format!(" with the label {label}"));
            let drafts = if *drafts == DraftPolicy::Deploy { ", drafts too" } else { "" };
            let forks = match forks {
                ForkPolicy::Approve => "forks once approved",
                ForkPolicy::Never => "no forks",
            };
            vec![format!("each pull request{which}{drafts}"), forks.to_owned()]
        }
    };
    words.extend(rule.expires.map(|span| format!("goes after {}", brief(span))));
    words.extend(rule.max.map(|max| format!("at most {max}")));
    words.extend(rule.apex.then(|| "at the zone itself".to_owned()));
    words.extend(rule.protect.then(|| "protected".to_owned()));
    words.extend(rule.retain.then(|| "keeps its data".to_owned()));
    words.join(", ")
}

/// A span without the part that is nothing: `7d`, not `7d 0h`.
fn brief(span: Seconds) -> String {
    let text = span.to_string();
    text.split_once(" 0").map_or_else(|| text.clone(), |(whole, _)| whole.to_owned())
}

fn service(service: &Service) -> ServiceRow {
    let mut words = vec!["ecs".to_owned()];
    words.push(service.port.map_or_else(|| "no port".to_owned(), |port| format!("port {port}")));
    words.extend(service.build.as_ref().map(|build| format!("built from {}", build.context)));
    words.extend(service.local.as_ref().map(|_| "a process on one machine".to_owned()));
    words.extend(service.migrate.as_ref().map(|_| "migrates first".to_owned()));
    if !service.needs.is_empty() {
        let needs: Vec<&str> = service.needs.iter().map(ServiceName::as_str).collect();
        words.push(format!("after {}", needs.join(" and ")));
    }
    ServiceRow { name: service.name.clone(), what: words.join(", ") }
}

/// A stage of the first rule for pull requests, else of the first rule.
fn example(project: &Project) -> Option<Example> {
    let rule = project.rule_for_pull().next().or_else(|| project.stages.first())?;
    let pull = PullNumber(42);
    let name = rule.pattern.for_pull(pull).or_else(|| rule.pattern.for_branch(&some_branch(rule)))?;
    let repo = RepoName::new(format!("owner/{}", project.app)).ok()?;
    let sha = CommitSha::new("0".repeat(40)).ok()?;
    let stage = StageId { repo, name };
    let spec = resolve(project, rule, &stage, &sha, Some(pull), &addressing(project));
    let address = |service: crate::model::ServiceSpec| Some(Address { service: service.name, url: service.url? });
    Some(Example { stage: stage.name, urls: spec.services.into_iter().filter_map(address).collect() })
}

fn some_branch(rule: &StageRule) -> Branch {
    match &rule.trigger {
        Trigger::Push { branches } => Branch(branches.wanted().next().unwrap_or_default().replace('*', "example")),
        Trigger::PullRequest { .. } | Trigger::Manual => Branch("example".to_owned()),
    }
}

/// A file that names a zone is meant for it; any other for one machine, as `serve` is set by default.
fn addressing(project: &Project) -> Addressing {
    let (scheme, port) =
        if project.domain.is_some() { (Scheme::HttpsIfCertified, None) } else { (Scheme::Http, Some(8088)) };
    Addressing { scheme, zone: "localhost".into(), port, local_commands: LocalCommands::Run }
}
