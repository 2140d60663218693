//! What the engine has of a stage, and removing it.

use std::time::Duration;

use super::container::Container;
use super::{network, words};
use crate::local::disk::VersionId;
use crate::local::shared::Shared;
use crate::model::StageId;
use crate::port::PortResult;

/// Stops and removes every container of a version. Absent is success.
pub(in crate::local) async fn stop_version(shared: &Shared, id: &VersionId, drain: Duration) -> PortResult<()> {
    let mut filters = of_stage(shared, &id.stage);
    filters.extend(words(["--format", "{{.Names}}"]));
    filters.extend(["--filter".to_owned(), format!("label=greenroom.service={}", id.service)]);
    filters.extend(["--filter".to_owned(), format!("label=greenroom.version={}", id.version)]);
    let names = shared.docker.list(&filters).await?;
    let stops = names.iter().map(|name| async move {
        Container { name: name.clone(), address: None }.stop(&shared.docker, drain).await;
        remove_container(shared, name).await
    });
    futures_util::future::try_join_all(stops).await.map(drop)
}

/// Kills and removes a container. Absent is success.
pub(in crate::local) async fn remove_container(shared: &Shared, name: &str) -> PortResult<()> {
    let printed = shared.docker.call(&words(["rm", "--force", "--volumes", name])).await?;
    let absent = printed.err.to_ascii_lowercase().contains("no such container");
    if printed.code == Some(0) || absent { Ok(()) } else { Err(printed.retry("removing a container")) }
}

/// The containers of a stage, running or not, with their services.
pub(in crate::local) async fn containers(shared: &Shared, stage: &StageId) -> PortResult<Vec<(String, String)>> {
    let mut call = of_stage(shared, stage);
    call.extend(words(["--format", "{{.Names}} {{.Label \"greenroom.service\"}}"]));
    let lines = shared.docker.list(&call).await?;
    Ok(lines.iter().filter_map(|line| line.split_once(' ')).map(|(n, s)| (n.to_owned(), s.to_owned())).collect())
}

/// Every stage that has a container or a network.
pub(in crate::local) async fn stages(shared: &Shared) -> PortResult<Vec<StageId>> {
    let home = format!("label=greenroom.home={}", shared.home);
    let format = "{{.Label \"greenroom.repo\"}}/{{.Label \"greenroom.stage\"}}";
    let call = words(["ps", "--all", "--filter", &home, "--format", format]);
    let parse = |line: &String| {
        let (repo, name) = line.rsplit_once('/')?;
        Some(StageId { repo: repo.parse().ok()?, name: name.parse().ok()? })
    };
    let (containers, networks) = (shared.docker.list(&call).await?, network::stages(shared).await?);
    Ok(containers.iter().chain(&networks).filter_map(parse).collect())
}

/// The images of a stage, by the labels that the builder gives them. One without a tag goes by its
/// number.
pub(in crate::local) async fn images(shared: &Shared, stage: &StageId) -> PortResult<Vec<String>> {
    let mut call = words(["images", "--format", "{{.Repository}}:{{.Tag}} {{.ID}}"]);
    call.extend(labels_of(stage));
    let name = |line: &String| {
        let (tag, number) = line.split_once(' ')?;
        Some(if tag.contains("<none>") { number } else { tag }.to_owned())
    };
    Ok(shared.docker.list(&call).await?.iter().filter_map(name).collect())
}

/// Removes an image. Absent is success.
pub(in crate::local) async fn remove_image(shared: &Shared, image: &str) -> PortResult<()> {
    let printed = shared.docker.call(&words(["rmi", image])).await?;
    let absent = printed.err.to_ascii_lowercase().contains("no such image");
    if printed.code == Some(0) || absent { Ok(()) } else { Err(printed.retry("removing an image")) }
}

fn of_stage(shared: &Shared, stage: &StageId) -> Vec<String> {
    let home = format!("label=greenroom.home={}", shared.home);
    let mut call = words(["ps", "--all", "--filter", &home]);
    call.extend(labels_of(stage));
    call
}

/// The builder labels images the same.
fn labels_of(stage: &StageId) -> Vec<String> {
    let (repo, name) =
        (format!("label=greenroom.repo={}", stage.repo), format!("label=greenroom.stage={}", stage.name));
    words(["--filter", &repo, "--filter", &name])
}
