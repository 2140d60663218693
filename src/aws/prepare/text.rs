//! The text of a stage's stack, which follows from its configuration alone.

use std::collections::BTreeMap;

use serde_json::json;
use sha2::{Digest as _, Sha256};

use super::super::settings::PreviewCapacity;
use super::super::{Shared, template};
use crate::model::{Dns, Health, ServiceSpec, StageKind, StageSpec};
use crate::port::{PortResult, Site};

/// How long an old copy of a preview may finish its requests, in seconds: nobody waits for a
/// preview's last request, everybody for its deploy.
const PREVIEW_DRAIN: u64 = 5;
const PREVIEW_LOG_DAYS: u32 = 7;
const LOG_DAYS: u32 = 30;

/// The hash of everything that the stage's stack and its share of the foundation are made from.
pub(in crate::aws) fn blueprint(shared: &Shared, spec: &StageSpec) -> String {
    // A text that cannot be rendered is told by whoever makes the stack.
    let text = render(shared, spec).unwrap_or_else(|error| error.to_string());
    let site = Site { stage: &spec.stage, place: &spec.place };
    let place = json!([spec.kind, spec.place.domain, spec.place.base, super::tags(shared, site)]);
    // Previews that an older release made have the roles that all of them share: the next look at one
    // gives it those of its repository.
    let roles = if spec.kind == StageKind::Ephemeral { "\nroles of its repository" } else { "" };
    hex::encode(&Sha256::digest(format!("{place}\n{text}{roles}"))[..16])
}

/// The text itself.
pub(in crate::aws) fn render(shared: &Shared, spec: &StageSpec) -> PortResult<String> {
    let capacity = match (spec.kind, shared.settings.preview_capacity) {
        (StageKind::Ephemeral, PreviewCapacity::FargateSpot) => "FARGATE_SPOT",
        _ => "FARGATE",
    };
    let services: Vec<_> = in_order(spec).map(|service| context(shared, spec, service)).collect();
    template::stage(&json!({
        "stage": spec.stage.to_string(),
        "capacity": capacity,
        "rule": if is_certified(spec) { "SecureRule" } else { "Rule" },
        "retention": if spec.kind == StageKind::Ephemeral { PREVIEW_LOG_DAYS } else { LOG_DAYS },
        "has_public": spec.services.iter().any(|service| service.host.is_some()),
        "has_records": spec.services.iter().any(|service| has_record(spec, service)),
        "services": services,
    }))
}

/// By name: the order in the file means nothing here.
fn in_order(spec: &StageSpec) -> impl Iterator<Item = &ServiceSpec> {
    let by_name: BTreeMap<_, _> = spec.services.iter().map(|service| (&service.name, service)).collect();
    by_name.into_values()
}

/// Whether the stage's addresses are https, by its own configuration: another repository may have
/// the zone certified.
pub(super) fn is_certified(spec: &StageSpec) -> bool {
    spec.place.domain.as_ref().is_some_and(|domain| domain.dns != Dns::None || domain.certificate.is_some())
}

/// Behind a second load balancer a host needs a record of its own beside the wildcard.
fn has_record(spec: &StageSpec, service: &ServiceSpec) -> bool {
    service.host.is_some() && spec.place.domain.as_ref().is_some_and(|domain| domain.dns == Dns::Route53)
}

fn context(shared: &Shared, spec: &StageSpec, service: &ServiceSpec) -> serde_json::Value {
    let scale = service.scale;
    let percents = [("CPU", scale.cpu), ("Memory", scale.memory)];
    let metrics: Vec<_> =
        percents.iter().filter_map(|(word, percent)| Some(json!({ "word": word, "percent": (*percent)? }))).collect();
    let drain = if spec.kind == StageKind::Ephemeral { PREVIEW_DRAIN.min(service.drain.0) } else { service.drain.0 };
    json!({
        "id": template::logical(service.name.as_str()),
        "name": service.name,
        "host": service.host,
        "host_id": service.host.as_deref().map(template::short_hash),
        "port": service.port,
        "log_group": shared.names.log_group(&spec.stage, &service.name),
        "health": health(&service.health),
        // Source: TargetGroupAttribute, deregistration_delay.timeout_seconds: 0 to 3600.
        "drain": drain.min(3_600),
        "has_record": has_record(spec, service),
        "scales": scale.max > scale.min && !metrics.is_empty(),
        "scale": { "min": scale.min, "max": scale.max },
        "metrics": metrics,
    })
}

/// Within what a target group takes. Source: `CreateTargetGroup`: interval 5 to 300 seconds, timeout
/// 2 to 120 and shorter than the interval, thresholds 2 to 10.
fn health(health: &Health) -> serde_json::Value {
    let interval = health.interval.0.clamp(5, 300);
    json!({
        "path": health.path,
        "status": health.status,
        "interval": interval,
        "timeout": health.timeout.0.clamp(2, 120).min(interval - 1),
        "healthy": health.healthy.clamp(2, 10),
        "unhealthy": health.unhealthy.clamp(2, 10),
        "grace": health.grace.0,
    })
}

/// Every parameter of the text, with a value to stand in where nothing is known yet.
pub(super) fn parameters(spec: &StageSpec) -> BTreeMap<String, String> {
    let shared = ["Blueprint", "Cluster", "ExecutionRole", "TaskRole", "Subnets", "SecurityGroup"];
    let mut values: BTreeMap<String, String> = shared.map(|key| (key.to_owned(), "-".to_owned())).into();
    let mut set = |key: String, value: &str| values.insert(key, value.to_owned());
    set("PublicAddress".into(), "ENABLED");
    for service in &spec.services {
        let id = template::logical(service.name.as_str());
        set(format!("{id}TaskDefinition"), "-");
        set(format!("{id}Copies"), "zero");
        if service.host.is_some() {
            set("Vpc".into(), "-");
            set(format!("{id}Listener"), "-");
            set(format!("{id}Priority"), "1");
            set(format!("{id}Port"), "");
        }
        if has_record(spec, service) {
            set("HostedZone".into(), "-");
            set(format!("{id}DoorName"), "");
            set(format!("{id}DoorZone"), "");
        }
    }
    values
}
