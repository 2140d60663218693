//! The task definition of a version, as a plain value.

use std::collections::BTreeMap;

use crate::aws::names::{Names, TAG_APP, TAG_GENERATION, TAG_KIND, TAG_OWNER, TAG_REPO, TAG_STAGE};
use crate::aws::stage_stack::StageStack;
use crate::model::{Failure, FailureKind, Platform, Runtime, SecretRef, ServiceName, ServiceSpec, StageKind};
use crate::port::Rollout;

/// Source: ECS, `ContainerDefinition`, `stopTimeout`: 2 to 120 s on Fargate.
const STOP_SECONDS: std::ops::RangeInclusive<u64> = 2..=120;

/// Everything that a task definition says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Definition {
    pub(super) family: String,
    pub(super) container: String,
    pub(super) image: String,
    /// 1024 are one virtual CPU.
    pub(super) cpu: u32,
    /// MiB.
    pub(super) memory: u32,
    pub(super) platform: Platform,
    pub(super) environment: BTreeMap<String, String>,
    /// Variable to where ECS finds its value.
    pub(super) secrets: BTreeMap<String, String>,
    pub(super) port: Option<u16>,
    pub(super) stop_seconds: i32,
    pub(super) log_group: String,
    pub(super) region: String,
    pub(super) execution_role: String,
    pub(super) task_role: String,
    pub(super) version: String,
    pub(super) tags: Vec<(&'static str, String)>,
}

/// Where the account's secrets lie.
pub(super) struct Realm<'a> {
    pub(super) region: &'a str,
    pub(super) account: &'a str,
}

/// What the version's task definition says.
pub(super) fn definition(
    names: &Names,
    realm: &Realm<'_>,
    rollout: &Rollout<'_>,
    stack: &StageStack,
    log_group: &str,
) -> Result<Definition, Failure> {
    let (spec, stage) = (rollout.service, rollout.stage);
    Ok(Definition {
        family: names.family(&stage.stage, &spec.name),
        container: spec.name.to_string(),
        image: rollout.artifact.reference.clone(),
        cpu: spec.size.cpu,
        memory: spec.size.memory,
        platform: platform(spec)?,
        environment: environment(spec),
        secrets: secrets(spec, &stack.execution_role, realm)?,
        port: spec.port,
        stop_seconds: i32::try_from(spec.drain.0.clamp(*STOP_SECONDS.start(), *STOP_SECONDS.end())).unwrap_or(30),
        log_group: log_group.to_owned(),
        region: realm.region.to_owned(),
        execution_role: stack.execution_role.clone(),
        task_role: stack.task_role.clone(),
        version: rollout.version.0.clone(),
        tags: tags(names, rollout),
    })
}

/// The image's platform, said outright: without it Fargate takes `X86_64` and an image for the other
/// processor ends in "exec format error" (trap 64).
fn platform(spec: &ServiceSpec) -> Result<Platform, Failure> {
    match &spec.runtime {
        Runtime::Image(image) => Ok(image.platform.unwrap_or(Platform::LinuxAmd64)),
        Runtime::Process { .. } => Err(Failure::new(
            FailureKind::Environment,
            format!("`{}` has no image, and on AWS only images run", spec.name),
            "Add `build:` to the service.",
        )),
    }
}

/// As on every target, a program is told the port that it must listen on.
fn environment(spec: &ServiceSpec) -> BTreeMap<String, String> {
    let mut environment = spec.env.clone();
    if let Some(port) = spec.port.filter(|_| !spec.secrets.contains_key("PORT")) {
        environment.entry("PORT".to_owned()).or_insert_with(|| port.to_string());
    }
    // ECS refuses a name that stands in both lists; the secret is the more deliberate one.
    environment.retain(|name, _| !spec.secrets.contains_key(name));
    environment
}

fn secrets(spec: &ServiceSpec, role: &str, realm: &Realm<'_>) -> Result<BTreeMap<String, String>, Failure> {
    // `arn:aws-cn:iam::...`: roles and secrets of an account lie in the same partition.
    let partition = role.split(':').nth(1).filter(|partition| !partition.is_empty()).unwrap_or("aws");
    let value_from = |name: &String, secret: &SecretRef| match secret {
        SecretRef::SecretsManager(path) => Ok(secret_arn(path, partition, realm)),
        // Source: ECS, `Secret`, `valueFrom`: a parameter of the task's own region by name or ARN.
        SecretRef::Ssm(path) => Ok(path.clone()),
        SecretRef::ServerEnv(_) => Err(only_local(&spec.name, name)),
    };
    spec.secrets.iter().map(|(name, secret)| Ok((name.clone(), value_from(name, secret)?))).collect()
}

/// ECS wants an ARN, and takes one without the random end of the secret's name. What follows the
/// name after a colon is a key of its JSON.
///
/// Source: ECS, "Pass Secrets Manager secrets through Amazon ECS environment variables":
/// `arn:...:secret:name:json-key:version-stage:version-id`.
fn secret_arn(path: &str, partition: &str, realm: &Realm<'_>) -> String {
    if path.starts_with("arn:") {
        return path.to_owned();
    }
    let prefix = format!("arn:{partition}:secretsmanager:{}:{}:secret", realm.region, realm.account);
    match path.split_once(':') {
        None => format!("{prefix}:{path}"),
        Some((name, key)) if key.contains(':') => format!("{prefix}:{name}:{key}"),
        Some((name, key)) => format!("{prefix}:{name}:{key}::"),
    }
}

fn only_local(service: &ServiceName, name: &str) -> Failure {
    Failure::new(
        FailureKind::Environment,
        format!("`{service}` takes `{name}` from the server's environment, which programs on AWS cannot see"),
        "Keep the value in AWS and name it as `secretsmanager:<name>` or `ssm:<name>`.",
    )
}

/// The tags by which a task and its definition are found.
pub(super) fn tags(names: &Names, rollout: &Rollout<'_>) -> Vec<(&'static str, String)> {
    let stage = rollout.stage;
    let kind = match stage.kind {
        StageKind::Ephemeral => "ephemeral",
        StageKind::Permanent => "permanent",
        StageKind::Production => "production",
    };
    let mut tags = vec![
        (TAG_OWNER, names.owner().to_owned()),
        (TAG_REPO, stage.stage.repo.to_string()),
        (TAG_STAGE, stage.stage.name.to_string()),
        (TAG_KIND, kind.to_owned()),
        (TAG_GENERATION, rollout.generation.0.to_string()),
    ];
    tags.extend(stage.place.app.iter().map(|app| (TAG_APP, app.to_string())));
    tags
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::model::{Artifact, Generation, Health, ImageSpec, Place, Scale, Seconds, Size, StageSpec, VersionKey};

    pub(in crate::aws::rollout) fn spec(secrets: BTreeMap<String, SecretRef>) -> ServiceSpec {
        ServiceSpec {
            name: "web".parse().unwrap(),
            runtime: Runtime::Image(ImageSpec {
                context: ".".into(),
                dockerfile: "Dockerfile".into(),
                target: None,
                platform: Some(Platform::LinuxArm64),
                args: BTreeMap::new(),
            }),
            port: Some(3000),
            host: Some("pr-1.shop.test".into()),
            url: Some("https://pr-1.shop.test".into()),
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
            env: BTreeMap::from([("STAGE".into(), "pr-1".into())]),
            secrets,
            migrate: None,
            needs: vec![],
            paths: vec![],
            drain: Seconds(300),
            canary: None,
            edition: None,
        }
    }

    fn made(service: ServiceSpec) -> Result<Definition, Failure> {
        let stage = StageSpec {
            stage: "acme/shop/pr-1"
                .rsplit_once('/')
                .map(|(repo, name)| crate::model::StageId { repo: repo.parse().unwrap(), name: name.parse().unwrap() })
                .unwrap(),
            sha: "0123456789012345678901234567890123456789".parse().unwrap(),
            pull: None,
            kind: StageKind::Ephemeral,
            place: Place { app: Some("shop".parse().unwrap()), ..Place::default() },
            services: vec![service],
            expires: None,
            digest: String::new(),
            file: String::new(),
            origin: None,
            trust: crate::model::Trust::Preview,
            pinned: None,
            label: None,
            builds: crate::model::Builds::default(),
            only: Vec::new(),
        };
        let rollout = Rollout {
            stage: &stage,
            service: &stage.services[0],
            artifact: &Artifact { reference: "registry.test/web@sha256:aa".into(), digest: "sha256:aa".into() },
            version: &VersionKey("0123456789abcdef".into()),
            generation: Generation(7),
        };
        let stack = StageStack {
            id: String::new(),
            status: String::new(),
            blueprint: None,
            cluster: "previews".into(),
            execution_role: "arn:aws-cn:iam::123456789012:role/execution".into(),
            task_role: "arn:aws-cn:iam::123456789012:role/task".into(),
            subnets: vec![],
            security_group: String::new(),
            public_address: false,
            services: BTreeMap::new(),
        };
        let realm = Realm { region: "cn-north-1", account: "123456789012" };
        definition(&Names::new("greenroom"), &realm, &rollout, &stack, "/greenroom/acme/shop/pr-1/web")
    }

    #[test]
    fn a_definition_is_pinned_labelled_and_tagged() {
        insta::assert_debug_snapshot!(made(spec(BTreeMap::new())).unwrap());
    }

    #[test]
    fn secrets_are_named_as_ecs_wants_them() {
        let manager = |path: &str| SecretRef::SecretsManager(path.into());
        let whole = "arn:aws:secretsmanager:eu-west-1:1:secret:x-AbCdEf:key::";
        let secrets = BTreeMap::from([
            ("A".to_owned(), manager("shop/pr-1/url")),
            ("B".to_owned(), manager("shop/db:password")),
            ("C".to_owned(), manager("shop/db:password:AWSPREVIOUS:")),
            ("D".to_owned(), manager(whole)),
            ("E".to_owned(), SecretRef::Ssm("/shop/token".into())),
            ("STAGE".to_owned(), SecretRef::Ssm("/shop/stage".into())),
        ]);
        let made = made(spec(secrets)).unwrap();
        let places: Vec<&str> = made.secrets.values().map(String::as_str).collect();
        let begin = "arn:aws-cn:secretsmanager:cn-north-1:123456789012:secret";
        let expected = [
            &format!("{begin}:shop/pr-1/url"),
            &format!("{begin}:shop/db:password::"),
            &format!("{begin}:shop/db:password:AWSPREVIOUS:"),
            whole,
            "/shop/token",
            "/shop/stage",
        ];
        assert_eq!(places, expected);
        assert!(!made.environment.contains_key("STAGE"), "ECS takes a name only once");
    }

    #[test]
    fn what_only_runs_on_one_machine_is_refused() {
        let secret = SecretRef::ServerEnv("TOKEN".into());
        let refused = made(spec(BTreeMap::from([("TOKEN".into(), secret)]))).unwrap_err();
        assert!(refused.advice.contains("secretsmanager:"), "{refused:?}");
        let process = Runtime::Process { command: vec!["serve".into()] };
        let refused = made(ServiceSpec { runtime: process, ..spec(BTreeMap::new()) }).unwrap_err();
        assert!(refused.summary.contains("no image"), "{refused:?}");
    }
}
