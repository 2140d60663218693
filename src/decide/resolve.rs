//! A configuration at a commit, made concrete: the host rule and the placeholders.
//!
//! Addresses follow from names alone, so they are known before anything is built and can be given
//! to the build.

use std::collections::BTreeMap;

use sha2::{Digest, Sha256};

use crate::model::{
    Addressing, AwsTarget, CommitSha, Dns, Domain, HostLabel, ImageSpec, LocalCommands, Place, Project, PullNumber,
    Runtime, Scheme, SecretRef, Service, ServiceName, ServiceSpec, StageId, StageKind, StageRule, StageSpec, Trust,
};

/// What the placeholders of one stage and commit stand for.
struct Values<'a> {
    stage: &'a StageId,
    sha: &'a CommitSha,
    pull: Option<PullNumber>,
    urls: &'a BTreeMap<ServiceName, String>,
    /// The stage's own address.
    url: Option<&'a str>,
    local_commands: LocalCommands,
}

/// Resolves every service of `project` for a stage.
pub fn resolve(
    project: &Project,
    rule: &StageRule,
    stage: &StageId,
    sha: &CommitSha,
    pull: Option<PullNumber>,
    addressing: &Addressing,
) -> StageSpec {
    let services = services_at(project, rule, stage, sha, pull, addressing);
    // The same without the commit: what differs then is configuration.
    let any_sha = CommitSha::new("0".repeat(40)).unwrap_or_else(|_| sha.clone());
    let neutral = services_at(project, rule, stage, &any_sha, pull, addressing);
    let place = place(project, rule, stage);
    let digest = Sha256::digest(serde_json::to_string(&(&place, &neutral)).unwrap_or_default());
    StageSpec {
        stage: stage.clone(),
        sha: sha.clone(),
        pull,
        kind: stage_kind(rule),
        place,
        services,
        expires: rule.expires,
        digest: hex::encode(digest),
        file: project.digest.clone(),
        origin: pull,
        trust: Trust::default(),
        pinned: None,
        label: None,
        builds: project.builds.clone(),
        only: Vec::new(),
    }
}

fn place(project: &Project, rule: &StageRule, stage: &StageId) -> Place {
    let kind = stage_kind(rule);
    let roles = &project.aws_roles;
    let own = match kind {
        StageKind::Ephemeral => &roles.preview,
        StageKind::Permanent => &roles.permanent,
        StageKind::Production => &roles.production,
    };
    let aws =
        project.aws.as_ref().map(|aws| AwsTarget { role: own.clone().or_else(|| aws.role.clone()), ..aws.clone() });
    let base = project.domain.as_ref().map(|domain| match (rule.apex, kind) {
        (true, _) | (_, StageKind::Ephemeral) => domain.zone.clone(),
        (false, _) => format!("{}.{}", stage.name, domain.zone),
    });
    Place { app: Some(project.app.clone()), kind, aws, domain: project.domain.clone(), base, retain: rule.retain }
}

/// How long a stage of the rule is meant to be there.
pub(super) fn stage_kind(rule: &StageRule) -> StageKind {
    if rule.pattern.is_ephemeral() {
        StageKind::Ephemeral
    } else if rule.apex || rule.protect {
        StageKind::Production
    } else {
        StageKind::Permanent
    }
}

fn services_at(
    project: &Project,
    rule: &StageRule,
    stage: &StageId,
    sha: &CommitSha,
    pull: Option<PullNumber>,
    addressing: &Addressing,
) -> Vec<ServiceSpec> {
    let zone = project.domain.as_ref().map_or(addressing.zone.as_str(), |domain| domain.zone.as_str());
    let chosen: Vec<&Service> = project.services.iter().map(|service| service.at(&rule.pattern)).collect();
    let hosts: BTreeMap<ServiceName, String> = chosen
        .iter()
        .filter_map(|service| Some((service.name.clone(), host_name(service.host.as_ref()?, rule, stage, zone))))
        .collect();
    let urls: BTreeMap<ServiceName, String> =
        hosts.iter().map(|(name, host)| (name.clone(), url_of(host, addressing, project.domain.as_ref()))).collect();
    let url = urls.values().min_by_key(|url| url.len()).map(String::as_str);
    let values = Values { stage, sha, pull, urls: &urls, url, local_commands: addressing.local_commands };
    in_order_of_need(&chosen).into_iter().map(|service| concrete(service, &hosts, &values)).collect()
}

/// The host rule: permanent stages at `h.stage.z` and `stage.z`, the apex at `h.z` and `z`; stages
/// that come and go one level deep at `h-stage.z` and `stage.z`, so that one wildcard covers all.
fn host_name(label: &HostLabel, rule: &StageRule, stage: &StageId, zone: &str) -> String {
    let name = &stage.name;
    match (label, rule.apex, rule.pattern.is_ephemeral()) {
        (HostLabel::Root, true, _) => zone.to_owned(),
        (HostLabel::Label(label), true, _) => format!("{label}.{zone}"),
        (HostLabel::Root, false, _) => format!("{name}.{zone}"),
        (HostLabel::Label(label), false, true) => format!("{label}-{name}.{zone}"),
        (HostLabel::Label(label), false, false) => format!("{label}.{name}.{zone}"),
    }
}

fn url_of(host: &str, addressing: &Addressing, domain: Option<&Domain>) -> String {
    let certified = domain.is_some_and(|domain| domain.dns != Dns::None || domain.certificate.is_some());
    let scheme = match addressing.scheme {
        Scheme::Http => "http",
        Scheme::HttpsIfCertified if !certified => "http",
        Scheme::Https | Scheme::HttpsIfCertified => "https",
    };
    match addressing.port {
        Some(port) => format!("{scheme}://{host}:{port}"),
        None => format!("{scheme}://{host}"),
    }
}

/// Each service after those it needs; the configuration's check has refused circles.
fn in_order_of_need<'a>(services: &[&'a Service]) -> Vec<&'a Service> {
    let mut ordered: Vec<&Service> = Vec::with_capacity(services.len());
    while ordered.len() < services.len() {
        let ready = services.iter().find(|service| {
            let placed = |name: &ServiceName| ordered.iter().any(|other| other.name == *name);
            !placed(&service.name) && service.needs.iter().all(placed)
        });
        match ready {
            Some(service) => ordered.push(service),
            None => break,
        }
    }
    ordered
}

fn concrete(service: &Service, hosts: &BTreeMap<ServiceName, String>, values: &Values<'_>) -> ServiceSpec {
    let fill_all = |map: &BTreeMap<String, String>| -> BTreeMap<String, String> {
        map.iter().map(|(key, text)| (key.clone(), fill(text, values))).collect()
    };
    let local = service.local.as_ref().filter(|_| values.local_commands == LocalCommands::Run);
    let runtime = match (local, &service.build) {
        (Some(local), _) => Runtime::Process { command: local.command.iter().map(|word| fill(word, values)).collect() },
        (None, Some(build)) => Runtime::Image(ImageSpec {
            context: build.context.clone(),
            dockerfile: build.dockerfile.clone(),
            target: build.target.clone(),
            platform: build.platform,
            args: fill_all(&build.args),
        }),
        (None, None) => Runtime::Image(ImageSpec {
            context: ".".into(),
            dockerfile: "Dockerfile".into(),
            target: None,
            platform: None,
            args: BTreeMap::new(),
        }),
    };
    let mut env = standard_env(values);
    env.extend(fill_all(&service.env));
    ServiceSpec {
        name: service.name.clone(),
        runtime,
        port: service.port,
        host: hosts.get(&service.name).cloned(),
        url: values.urls.get(&service.name).cloned(),
        size: service.size,
        scale: service.scale,
        health: service.health.clone(),
        env,
        secrets: service.secrets.iter().map(|(key, secret)| (key.clone(), fill_secret(secret, values))).collect(),
        migrate: service.migrate.clone(),
        needs: service.needs.clone(),
        paths: service.paths.clone(),
        drain: service.drain,
        canary: service.canary,
        edition: None,
    }
}

fn standard_env(values: &Values<'_>) -> BTreeMap<String, String> {
    let mut env = BTreeMap::from([
        ("GREENROOM_STAGE".to_owned(), values.stage.name.to_string()),
        ("GREENROOM_SHA".to_owned(), values.sha.to_string()),
    ]);
    if let Some(url) = values.url {
        env.insert("GREENROOM_URL".to_owned(), url.to_owned());
    }
    if let Some(pull) = values.pull {
        env.insert("GREENROOM_PR".to_owned(), pull.to_string());
    }
    env
}

fn fill_secret(secret: &SecretRef, values: &Values<'_>) -> SecretRef {
    match secret {
        SecretRef::SecretsManager(name) => SecretRef::SecretsManager(fill(name, values)),
        SecretRef::Ssm(name) => SecretRef::Ssm(fill(name, values)),
        SecretRef::ServerEnv(name) => SecretRef::ServerEnv(name.clone()),
    }
}

/// Fills `{name}`; `{{` and `}}` stand for braces. What is unknown stays as it is written: the
/// check of the configuration has refused it before.
fn fill(text: &str, values: &Values<'_>) -> String {
    let mut filled = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(['{', '}']) {
        filled.push_str(&rest[..at]);
        let from = &rest[at..];
        if from.starts_with("{{") || from.starts_with("}}") {
            filled.push_str(&from[..1]);
            rest = &from[2..];
        } else if let Some((name, after)) = from.strip_prefix('{').and_then(|inner| inner.split_once('}')) {
            match value_of(name, values) {
                Some(value) => filled.push_str(&value),
                None => filled.push_str(&from[..name.len() + 2]),
            }
            rest = after;
        } else {
            filled.push_str(&from[..1]);
            rest = &from[1..];
        }
    }
    filled.push_str(rest);
    filled
}

fn value_of(name: &str, values: &Values<'_>) -> Option<String> {
    match name {
        "stage" => Some(values.stage.name.to_string()),
        "sha" => Some(values.sha.to_string()),
        "pr" => Some(values.pull.map(|number| number.to_string()).unwrap_or_default()),
        "url" => Some(values.url.unwrap_or_default().to_owned()),
        _ => {
            let service = ServiceName::new(name.strip_prefix("urls.")?).ok()?;
            Some(values.urls.get(&service).cloned().unwrap_or_default())
        }
    }
}
