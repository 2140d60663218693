//! What exists of a stage on this machine, and removing it.
//!
//! Everything is read from the disk, the process list and the Docker engine; nothing is remembered.
//! The order of the resources is the order of their removal: the files go last, because they are the
//! evidence for the rest.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use super::disk::VersionId;
use super::launch::{is_left, log_file};
use super::shared::Shared;
use super::unit::{Farewell, roles};
use super::{docker, log};
use crate::model::{Observed, ObservedService, Resource, Runtime, ServiceName, StageId};
use crate::port::{PortError, PortResult, Progress};

const WAIT: Duration = Duration::from_millis(600);
/// How long the first look at a stage waits, for all of its services together; less than the engine waits
/// for an answer. Later looks at what hangs find it as it is.
const FIRST_LOOK: Duration = Duration::from_secs(10);

const ROUTE: &str = "route";
const PROCESS: &str = "process";
const CONTAINER: &str = "container";
const NETWORK: &str = "network";
const IMAGE: &str = "image";
const FILES: &str = "files";

/// What exists of a stage.
pub(super) async fn observe(shared: &Arc<Shared>, stage: &StageId) -> PortResult<Observed> {
    let first_look = tokio::time::Instant::now() + FIRST_LOOK;
    let mut services = BTreeMap::new();
    let (mut routes, mut programs, mut files) = (Vec::new(), Vec::new(), Vec::new());
    for service in shared.disk.services(stage)? {
        let route = shared.disk.read_route(stage, &service)?;
        if let Some(host) = route.as_ref().and_then(|route| route.host.clone()) {
            routes.push(resource(ROUTE, host, Some(&service)));
        }
        let mut seen = ObservedService { serving: None, others: Vec::new() };
        for id in shared.disk.versions(stage, &service)? {
            programs
                .extend(processes(shared, &id).await?.into_iter().map(|name| resource(PROCESS, name, Some(&service))));
            let unit = shared.unit(&id)?.filter(|_| route.as_ref().is_some_and(|route| route.version == id.version));
            if let Some(unit) = &unit {
                unit.known(first_look).await;
            }
            if unit.is_some_and(|unit| unit.is_healthy()) {
                seen.serving = Some(id.version);
            } else {
                seen.others.push(id.version);
            }
        }
        files.push(resource(FILES, format!("{}/{service}", stage.name), Some(&service)));
        services.insert(service, seen);
    }
    let (mut networks, mut images) = (Vec::new(), Vec::new());
    match docker_things(shared, stage).await {
        Ok((containers, found)) => {
            programs.extend(containers);
            (networks, images) = found;
        }
        // Where no container of the stage ever ran, an engine that is not there has none.
        Err(error) if shared.disk.has_containers(stage)? => return Err(error),
        Err(error) => tracing::debug!(%error, "no containers are looked for"),
    }
    let resources = [routes, programs, networks, images, files].concat();
    Ok(Observed { services, resources, blueprint: None })
}

/// Containers; networks and images.
async fn docker_things(
    shared: &Shared,
    stage: &StageId,
) -> PortResult<(Vec<Resource>, (Vec<Resource>, Vec<Resource>))> {
    let containers = docker::containers(shared, stage).await?;
    let of = |(name, service): (String, String)| resource(CONTAINER, name, ServiceName::new(service).ok().as_ref());
    let containers = containers.into_iter().map(of).collect();
    let networks = docker::networks(shared, stage).await?;
    let images = docker::images(shared, stage).await?;
    let all = |kind, names: Vec<String>| names.into_iter().map(|name| resource(kind, name, None)).collect();
    Ok((containers, (all(NETWORK, networks), all(IMAGE, images))))
}

/// The programs of a version of which something lives, or may, by name.
async fn processes(shared: &Arc<Shared>, id: &VersionId) -> PortResult<Vec<String>> {
    let Some(record) = shared.disk.read_version(id)? else { return Ok(Vec::new()) };
    let mut left = Vec::new();
    if matches!(record.spec.runtime, Runtime::Process { .. }) {
        for role in roles(record.ports.len()) {
            if is_left(shared, id, &role).await? {
                left.push(process_name(id, &role));
            }
        }
    }
    Ok(left)
}

fn process_name(id: &VersionId, role: &str) -> String {
    format!("{}/{}/{}/{role}", id.stage.name, id.service, id.version)
}

fn resource(kind: &str, id: String, service: Option<&ServiceName>) -> Resource {
    Resource { kind: kind.to_owned(), id, service: service.cloned() }
}

/// Removes one thing of a stage.
pub(super) async fn remove(shared: &Arc<Shared>, stage: &StageId, resource: &Resource) -> PortResult<Progress<()>> {
    match (resource.kind.as_str(), &resource.service) {
        (ROUTE, Some(service)) => {
            shared.routes.remove(stage, service);
            shared.disk.remove_route(stage, service)?;
            Ok(Progress::Done(()))
        }
        (PROCESS, Some(service)) => {
            let named = |id: &VersionId| resource.id.starts_with(&process_name(id, ""));
            end_versions(shared, stage, service, named).await
        }
        (CONTAINER, Some(service)) => {
            let ended = end_versions(shared, stage, service, |id| resource.id.contains(&id.version.0)).await?;
            if let Progress::Done(()) = ended {
                docker::remove_container(shared, &resource.id).await?;
            }
            Ok(ended)
        }
        (CONTAINER, None) => docker::remove_container(shared, &resource.id).await.map(Progress::Done),
        (NETWORK, _) => docker::remove_network(shared, &resource.id).await.map(Progress::Done),
        (IMAGE, _) => docker::remove_image(shared, &resource.id).await.map(Progress::Done),
        (FILES, Some(service)) => {
            let ended = end_versions(shared, stage, service, |_| true).await?;
            if let Progress::Done(()) = ended {
                shared.routes.remove(stage, service);
                let (inner, stage, service) = (Arc::clone(shared), stage.clone(), service.clone());
                tokio::task::spawn_blocking(move || {
                    inner.disk.remove_service(&stage, &service)?;
                    inner.disk.prune_stage(&stage)
                })
                .await
                .map_err(|error| PortError::bug("removing a service's files", error))??;
            }
            Ok(ended)
        }
        _ => Err(PortError::Bug { context: format!("this machine knows no {resource}"), source: None }),
    }
}

/// Ends the versions of a service that are meant, with their files.
async fn end_versions(
    shared: &Arc<Shared>,
    stage: &StageId,
    service: &ServiceName,
    meant: impl Fn(&VersionId) -> bool,
) -> PortResult<Progress<()>> {
    let mut units = Vec::new();
    for id in shared.disk.versions(stage, service)?.into_iter().filter(meant) {
        units.extend(shared.unit(&id)?);
    }
    let ends = units.iter().map(|unit| unit.retired(shared, Farewell::Now, WAIT));
    let gone = futures_util::future::try_join_all(ends).await?;
    if gone.iter().all(|gone| *gone) {
        return Ok(Progress::Done(()));
    }
    Ok(Progress::Pending { again_millis: 250, note: format!("waiting for `{service}` to end") })
}

/// Every stage of which anything exists here.
pub(super) async fn stages(shared: &Shared) -> PortResult<Vec<StageId>> {
    let mut stages: BTreeSet<StageId> = shared.disk.stages()?.into_iter().collect();
    match docker::stages(shared).await {
        Ok(found) => stages.extend(found),
        Err(error) => tracing::debug!(%error, "no containers are looked for"),
    }
    Ok(stages.into_iter().collect())
}

/// The last lines of the serving version; of the newest one where none serves.
pub(super) async fn logs(
    shared: &Shared,
    stage: &StageId,
    service: &ServiceName,
    lines: usize,
) -> PortResult<Vec<String>> {
    let serving = shared.disk.read_route(stage, service)?.map(|route| route.version);
    let mut versions = Vec::new();
    for id in shared.disk.versions(stage, service)? {
        if let Some(record) = shared.disk.read_version(&id)? {
            versions.push((Some(&id.version) == serving.as_ref(), record.made_at, id, record));
        }
    }
    let newest = versions.into_iter().max_by_key(|(serves, made_at, _, _)| (*serves, *made_at));
    let Some((_, _, id, record)) = newest else {
        return Err(PortError::NotFound { what: format!("a version of `{service}` in {stage}") });
    };
    let copies = record.ports.len();
    let mut last = Vec::new();
    for copy in 0..copies {
        let printed = match record.spec.runtime {
            Runtime::Process { .. } => {
                let path = log_file(shared, &id, &copy.to_string());
                log::tail(&path, lines, &shared.secret_values(&record.spec))
            }
            Runtime::Image(_) => docker::version_log(shared, &id, &record.spec, copy, lines).await,
        };
        let tell_apart = |line: String| if copies == 1 { line } else { format!("[{copy}] {line}") };
        last.extend(printed.into_iter().map(tell_apart));
    }
    Ok(last)
}
