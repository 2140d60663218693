//! A target with nothing on it, and a version of a program, for tests of its parts.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::{Arc, Mutex};

use tokio_util::sync::CancellationToken;

use super::disk::{Disk, Fate, VersionId, VersionRecord};
use super::docker::Docker;
use super::settings::DockerSettings;
use super::shared::{Shared, home_of};
use super::unit::Unit;
use super::unrest::Watch;
use super::warden::WardenProgram;
use crate::crowd::Crowd;
use crate::model::{Artifact, Generation, Runtime, StageId, Timestamp, VersionKey};
use crate::port::Clock;

struct Noon;

impl Clock for Noon {
    fn now(&self) -> Timestamp {
        Timestamp(43_200_000)
    }
}

/// A target that keeps its stages in this folder. It can start nothing: it has no warden.
pub(super) fn shared(folder: &Path) -> Arc<Shared> {
    let home = home_of(folder);
    Arc::new(Shared {
        disk: Disk::new(folder),
        path: "/usr/bin:/bin".into(),
        server_env: Arc::new(|_: &str| None),
        clock: Arc::new(Noon),
        docker: Docker::new(DockerSettings { program: "docker".into(), env: BTreeMap::new() }),
        routes: Arc::default(),
        crowd: Crowd::new(1),
        door: SocketAddr::from((Ipv4Addr::LOCALHOST, 1)),
        port_shown: 80,
        units: Mutex::default(),
        next_port: Mutex::new(Shared::first_port(&home)),
        warden: WardenProgram { program: folder.join("no-warden"), arguments: Vec::new() },
        news: Arc::default(),
        halt: CancellationToken::new(),
        home,
    })
}

/// A version with one copy, which served before this server came, but for what is changed.
pub(super) fn unit(change: impl FnOnce(&mut VersionRecord)) -> Unit {
    let spec = serde_json::json!({
        "name": "web", "runtime": Runtime::Process { command: vec!["serve".to_owned()] }, "port": 8080,
        "host": null, "url": null,
        "size": { "cpu": 256, "memory": 512 },
        "scale": { "min": 1, "max": 1, "cpu": null, "memory": null },
        "health": {
            "path": "/health", "status": 200, "interval": 10, "timeout": 5, "healthy": 2, "unhealthy": 3, "grace": 30
        },
        "env": {}, "secrets": {}, "migrate": null, "needs": [], "paths": [], "drain": 5,
    });
    let mut record = VersionRecord {
        version: VersionKey("v1".into()),
        sha: "a".repeat(40).parse().expect("a commit"),
        generation: Generation(1),
        spec: serde_json::from_value(spec).expect("a service"),
        artifact: Artifact { reference: String::new(), digest: String::new() },
        made_at: Timestamp(0),
        fate: Fate::Proven,
        ports: vec![20_000],
    };
    change(&mut record);
    let id = VersionId {
        stage: StageId { repo: "acme/shop".parse().expect("a name"), name: "pr-1".parse().expect("a name") },
        service: "web".parse().expect("a name"),
        version: record.version.clone(),
    };
    Unit::new(id, record, Watch::default(), &CancellationToken::new())
}
