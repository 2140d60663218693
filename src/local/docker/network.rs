//! The network of a stage: its containers are in it and nobody else's.
//!
//! Guarantees: two stages are never in one network, and between networks the engine lets nothing pass,
//! as long as it keeps rules in the kernel's tables (`iptables` of the engine's settings, on by default);
//! the network goes with its stage.

use sha2::{Digest, Sha256};

use super::words;
use crate::decide::subnets;
use crate::local::shared::Shared;
use crate::model::StageId;
use crate::port::{PortError, PortResult};

/// Sees that the stage's network is there, and answers its name.
pub(super) async fn ensure(shared: &Shared, stage: &StageId) -> PortResult<String> {
    let name = name(shared, stage);
    // Two services may begin at once, and an engine may have two networks of one name.
    let _one_makes_it = shared.docker.making_network.lock().await;
    if shared.docker.call(&words(["network", "inspect", "--format", "{{.Name}}", &name])).await?.code == Some(0) {
        return Ok(name);
    }
    let mut call = words(["network", "create", "--driver", "bridge"]);
    for (label, value) in labels(shared, stage) {
        call.extend(["--label".to_owned(), format!("greenroom.{label}={value}")]);
    }
    for subnet in subnets(&name) {
        let made = shared.docker.call(&[call.clone(), words(["--subnet", &subnet, &name])].concat()).await?;
        if made.code == Some(0) || made.err.contains("already exists") {
            return Ok(name);
        }
        if !made.err.contains("overlap") {
            return Err(made.retry("making the stage's network"));
        }
    }
    Err(PortError::retry("the engine has no addresses left for the stage's network"))
}

/// The stage's networks.
pub(in crate::local) async fn networks(shared: &Shared, stage: &StageId) -> PortResult<Vec<String>> {
    let mut call = words(["network", "ls", "--format", "{{.Name}}"]);
    for (label, value) in labels(shared, stage) {
        call.extend(["--filter".to_owned(), format!("label=greenroom.{label}={value}")]);
    }
    shared.docker.list(&call).await
}

/// Every stage that has a network.
pub(super) async fn stages(shared: &Shared) -> PortResult<Vec<String>> {
    let home = format!("label=greenroom.home={}", shared.home);
    let format = "{{.Label \"greenroom.repo\"}}/{{.Label \"greenroom.stage\"}}";
    shared.docker.list(&words(["network", "ls", "--filter", &home, "--format", format])).await
}

/// Removes a network in which nothing runs any more. Absent is success.
pub(in crate::local) async fn remove_network(shared: &Shared, name: &str) -> PortResult<()> {
    let printed = shared.docker.call(&words(["network", "rm", name])).await?;
    let said = printed.err.to_ascii_lowercase();
    let absent = said.contains("no such network") || said.contains("not found");
    if printed.code == Some(0) || absent { Ok(()) } else { Err(printed.retry("removing the stage's network")) }
}

fn labels(shared: &Shared, stage: &StageId) -> [(&'static str, String); 3] {
    [("home", shared.home.clone()), ("repo", stage.repo.to_string()), ("stage", stage.name.to_string())]
}

/// Unique on the engine, also where several servers share it.
fn name(shared: &Shared, stage: &StageId) -> String {
    let whose = hex::encode(Sha256::digest(format!("{} {}", shared.home, stage.repo)));
    format!("greenroom-{}-{}", stage.name, &whose[..12])
}
