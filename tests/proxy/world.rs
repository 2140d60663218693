//! One stage on this machine, with the scripted program in it.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use greenroom::local::{DockerSettings, LocalCloud, LocalSettings, WardenProgram};
use greenroom::model::{
    Artifact, Generation, Health, Place, Runtime, Scale, Seconds, ServiceSpec, Size, StageId, StageKind, StageSpec,
    Timestamp, Trust, VersionKey,
};
use greenroom::port::{Clock, Cloud, Phase, PortError, Progress, Rollout, Site};
use tempfile::TempDir;

use crate::script::PATIENCE;
use crate::{client, hang, program};

pub(crate) struct World {
    /// Where the proxy listens.
    pub(crate) proxy: SocketAddr,
    /// Where its program listens.
    pub(crate) plain: SocketAddr,
    cloud: Option<Arc<LocalCloud>>,
    stage: StageSpec,
    pid: i32,
    _folders: [TempDir; 2],
}

struct StillClock;

impl Clock for StillClock {
    fn now(&self) -> Timestamp {
        Timestamp(1_700_000_000_000)
    }
}

fn settings(data: &Path, connections: usize) -> LocalSettings {
    LocalSettings {
        data_dir: data.to_path_buf(),
        connections,
        proxy_listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
        proxy_port_shown: None,
        clock: Arc::new(StillClock),
        path: "/usr/bin:/bin".into(),
        server_env: Arc::new(|_| None),
        warden: WardenProgram { program: env!("CARGO_BIN_EXE_greenroom").into(), arguments: vec!["warden".into()] },
        // No engine: processes need none.
        docker: DockerSettings { program: "docker-is-not-installed".into(), env: BTreeMap::new() },
    }
}

fn stage(port: u16) -> StageSpec {
    let service = ServiceSpec {
        name: "web".parse().expect("a service"),
        runtime: Runtime::Process { command: program::command() },
        port: Some(3000),
        host: Some("pr-1.localhost".into()),
        url: Some(format!("http://pr-1.localhost:{port}")),
        size: Size { cpu: 256, memory: 512 },
        scale: Scale { min: 1, max: 1, cpu: None, memory: None },
        health: Health {
            path: "/health".into(),
            status: 200,
            // It is looked at once: what the tests do to it is nobody else's business.
            interval: Seconds(600),
            timeout: Seconds(30),
            healthy: 1,
            unhealthy: 5,
            grace: Seconds(60),
        },
        env: BTreeMap::new(),
        secrets: BTreeMap::new(),
        migrate: None,
        needs: vec![],
        paths: vec![],
        drain: Seconds(5),
        canary: None,
        edition: None,
    };
    StageSpec {
        stage: StageId { repo: "acme/shop".parse().expect("a repository"), name: "pr-1".parse().expect("a stage") },
        sha: "0123456789012345678901234567890123456789".parse().expect("a commit"),
        pull: None,
        kind: StageKind::Ephemeral,
        place: Place::default(),
        services: vec![service],
        expires: None,
        digest: "digest".into(),
        file: String::new(),
        origin: None,
        trust: Trust::Preview,
        pinned: None,
        label: None,
        builds: greenroom::model::Builds::default(),
        only: Vec::new(),
    }
}

impl World {
    pub(crate) async fn new() -> Self {
        Self::with_places(300).await
    }

    /// Its proxy takes no more connections than these at once.
    pub(crate) async fn with_places(connections: usize) -> Self {
        hang::watch();
        let folders = [(); 2].map(|()| tempfile::tempdir().expect("a folder"));
        let cloud = LocalCloud::start(settings(folders[0].path(), connections)).await.expect("a local target starts");
        let proxy = cloud.proxy_address();
        let stage = stage(proxy.port());
        let artifact = Artifact { reference: folders[1].path().display().to_string(), digest: "sha256:one".to_owned() };
        let version = VersionKey("one".into());
        for phase in [Phase::Start, Phase::Shift, Phase::Check, Phase::Retire] {
            let rollout = Rollout {
                stage: &stage,
                service: &stage.services[0],
                artifact: &artifact,
                version: &version,
                generation: Generation(1),
            };
            settle(&cloud, phase, &rollout).await;
        }
        let port: u16 = client::get(proxy, "/port").await.parse().expect("a port");
        let pid: i32 = client::get(proxy, "/pid").await.parse().expect("a process");
        let plain = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        Self { proxy, plain, cloud: Some(cloud), stage, pid, _folders: folders }
    }

    /// Removes everything.
    pub(crate) async fn tear_down(mut self) {
        let Some(cloud) = &self.cloud else { return };
        let place = Place::default();
        let site = || Site { stage: &self.stage.stage, place: &place };
        let seen = cloud.observe(site()).await.expect("a stage can be observed");
        for resource in seen.resources {
            let begun = Instant::now();
            while !matches!(cloud.remove(site(), &resource).await, Ok(Progress::Done(()))) {
                assert!(begun.elapsed() < PATIENCE, "{resource} never goes");
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
        cloud.shutdown().await;
        // By now its number may be somebody else's.
        self.pid = 0;
    }
}

impl Drop for World {
    /// A test that fails leaves no program behind.
    fn drop(&mut self) {
        // First whoever would start it again.
        drop(self.cloud.take());
        if let Some(pid) = rustix::process::Pid::from_raw(self.pid) {
            // One that ended by itself is as good.
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
        }
    }
}

async fn settle(cloud: &LocalCloud, phase: Phase, rollout: &Rollout<'_>) {
    let begun = Instant::now();
    loop {
        let wait = match cloud.ensure(phase, rollout).await {
            Ok(Progress::Done(_)) => return,
            Ok(Progress::Pending { again_millis, .. }) => u64::try_from(again_millis).expect("not in the past"),
            Err(PortError::Retry { .. }) => 100,
            Err(error) => panic!("{phase:?}: {error:?}"),
        };
        assert!(begun.elapsed() < PATIENCE * 2, "{phase:?} takes too long");
        tokio::time::sleep(Duration::from_millis(wait)).await;
    }
}
