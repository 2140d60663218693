//! Attacks on the walls between repositories and around the host, against a real Docker engine.
//!
//! What an engine itself makes of an attack is tried beside it, so that a refusal is of something.

use std::path::PathBuf;

#[path = "isolation_docker/apart.rs"]
mod apart;
#[path = "isolation_docker/builds.rs"]
mod builds;
#[path = "isolation_docker/engine.rs"]
mod engine;
#[path = "support/hang.rs"]
mod hang;
#[path = "isolation_docker/layers.rs"]
mod layers;
#[path = "support/own.rs"]
mod own;
#[path = "isolation_docker/repository.rs"]
mod repository;
#[path = "isolation_docker/stages.rs"]
mod stages;

/// The one program in all images.
fn busybox() -> PathBuf {
    let found = ["/bin/busybox", "/usr/bin/busybox"].map(PathBuf::from).into_iter().find(|path| path.exists());
    found.expect("busybox-static is needed: `tests/run` installs it")
}
