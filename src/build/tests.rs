//! The builder through its port, as far as no engine is needed.

use std::fs;
use std::io::{Cursor, Write};

use flate2::Compression;
use flate2::write::GzEncoder;
use futures_util::FutureExt as _;
use tokio::io::{AsyncRead, AsyncWriteExt as _};
use tokio::sync::mpsc;

use super::*;
use crate::port::TarballStream;

fn builder(data: &Path) -> DockerBuilder {
    DockerBuilder::new(BuildSettings {
        data_dir: data.to_owned(),
        docker: "no-such-docker".into(),
        docker_env: Vec::new(),
        registry: None,
        cache: None,
        limits: UnpackLimits::default(),
        concurrency: NonZeroUsize::MIN,
    })
    .expect("a data folder")
}

fn stage(name: &str) -> StageId {
    StageId { repo: "acme/shop".parse().expect("a name"), name: name.parse().expect("a name") }
}

fn sha(digit: &str) -> CommitSha {
    digit.repeat(40).parse().expect("a commit")
}

fn archive(files: &[(&str, &str)]) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    for (name, text) in files {
        let mut header = tar::Header::new_ustar();
        header.set_size(text.len() as u64);
        header.set_mode(0o644);
        tar.append_data(&mut header, format!("top/{name}"), text.as_bytes()).expect("a vector takes all");
    }
    let mut zip = GzEncoder::new(Vec::new(), Compression::fast());
    zip.write_all(&tar.into_inner().expect("a vector takes all")).expect("a vector takes all");
    zip.finish().expect("a vector takes all")
}

fn tarball(way: impl AsyncRead + Send + 'static) -> Tarball {
    let way: TarballStream = Box::pin(way);
    Box::pin(async { Ok(way) })
}

pub(super) fn service(runtime: &Runtime) -> ServiceSpec {
    let spec = serde_json::json!({
        "name": "web", "runtime": runtime, "port": 8080, "host": null, "url": null,
        "size": { "cpu": 256, "memory": 512 },
        "scale": { "min": 1, "max": 1, "cpu": null, "memory": null },
        "health": {
            "path": "/health", "status": 200, "interval": 10, "timeout": 5, "healthy": 2, "unhealthy": 3, "grace": 30
        },
        "env": {}, "secrets": {}, "migrate": null, "needs": [], "paths": [], "drain": 5,
    });
    serde_json::from_value(spec).expect("a service")
}

fn process() -> ServiceSpec {
    service(&Runtime::Process { command: vec!["python3".into(), "app.py".into()] })
}

fn everything_below(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path.clone());
            }
            found.push(path);
        }
    }
    found.sort();
    found
}

/// The folder of a source, once it arrived.
async fn arrived(builder: &DockerBuilder, stage: &StageId, sha: &CommitSha, archive: Vec<u8>) -> PortResult<String> {
    let mut progress = builder.unpack(stage, sha, tarball(Cursor::new(archive))).await?;
    loop {
        match progress {
            Progress::Done(folder) => return Ok(folder),
            Progress::Pending { .. } => progress = builder.source(stage, sha).await?.expect("it is on its way"),
        }
    }
}

async fn finished(builder: &DockerBuilder, job: &BuildJob<'_>) -> PortResult<Output> {
    loop {
        if let Progress::Done(output) = builder.ensure(job).await? {
            return Ok(output);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_is_there_completely_or_not_at_all() {
    let data = tempfile::tempdir().expect("a temporary folder");
    let builder = builder(data.path());
    let (stage, sha) = (stage("pr-1"), sha("a"));
    let whole = archive(&[("app.py", "print('hello')"), ("lib/x.py", &"x = 1\n".repeat(2000))]);

    let cut = arrived(&builder, &stage, &sha, whole[..whole.len() - 9].to_vec()).await;
    assert!(matches!(cut, Err(PortError::Retry { .. })), "{cut:?}");
    assert_eq!(builder.source(&stage, &sha).await.expect("an answer"), None, "half a source is none");

    let partial = builder.folders.stage(&stage).join("partial/tree/app.py");
    fs::create_dir_all(partial.parent().expect("a folder")).expect("a folder");
    fs::write(&partial, "left by a server that died").expect("a file");
    let folder = arrived(&builder, &stage, &sha, whole).await.expect("a whole archive");
    assert_eq!(fs::read_to_string(Path::new(&folder).join("app.py")).expect("a file"), "print('hello')");
    assert_eq!(builder.source(&stage, &sha).await.expect("an answer"), Some(Progress::Done(folder.clone())));

    let again = arrived(&builder, &stage, &sha, b"not even read".to_vec()).await.expect("it is there");
    assert_eq!(again, folder);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_archive_says_why_and_leaves_nothing() {
    let data = tempfile::tempdir().expect("a temporary folder");
    let builder = builder(data.path());
    let refused = arrived(&builder, &stage("pr-1"), &sha("a"), b"<html>not found</html>".to_vec()).await;
    match refused {
        Err(PortError::Failed(failure)) => {
            assert_eq!(failure.kind, FailureKind::Source);
            assert!(failure.summary.starts_with("The archive of aaaaaaa is not"), "{}", failure.summary);
        }
        other => panic!("{other:?}"),
    }
    builder.tidy(&stage("pr-1")).await.expect("tidied");
    assert_eq!(everything_below(data.path()), [data.path().join("running"), data.path().join("stages")]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_that_is_slow_to_come_holds_no_call_up_and_ends_with_its_stage() {
    let data = tempfile::tempdir().expect("a temporary folder");
    let builder = builder(data.path());
    let (stage, sha) = (stage("pr-1"), sha("a"));
    let whole = archive(&[("app.py", "print('hello')")]);
    let (mut github, way) = tokio::io::duplex(whole.len());
    github.write_all(&whole[..whole.len() / 2]).await.expect("half of it");
    let told = builder.unpack(&stage, &sha, tarball(way)).await.expect("an answer");
    assert!(matches!(told, Progress::Pending { .. }), "{told:?}");
    builder.cancel(&stage).await.expect("cancelled");
    assert_eq!(builder.source(&stage, &sha).await.expect("an answer"), None);
    // Nobody reads the rest: what is sent now comes back.
    while github.write_all(b"x").await.is_ok() {}
    let folder = loop {
        match arrived(&builder, &stage, &sha, whole.clone()).await {
            // The folder's lock goes a little after the stream.
            Err(PortError::Retry { .. }) => tokio::task::yield_now().await,
            other => break other.expect("a whole archive"),
        }
    };
    assert!(Path::new(&folder).join("app.py").is_file());
    assert!(!builder.folders.stage(&stage).join("partial").exists());
}

/// Whether a commit's tarball was asked for is told; it never comes.
fn never(asked: &mpsc::UnboundedSender<String>, what: &str) -> Tarball {
    let (asked, what) = (asked.clone(), what.to_owned());
    Box::pin(async move {
        asked.send(what).expect("the test listens");
        std::future::pending().await
    })
}

#[tokio::test]
async fn a_fetch_is_begun_and_not_waited_for() {
    let data = tempfile::tempdir().expect("a temporary folder");
    let builder = builder(data.path());
    let (asked, mut asks) = mpsc::unbounded_channel();
    let (stage, sha) = (stage("pr-1"), sha("a"));
    let told = builder.unpack(&stage, &sha, never(&asked, "pr-1")).now_or_never().expect("at once");
    assert!(matches!(told, Ok(Progress::Pending { .. })), "{told:?}");
    assert_eq!(asks.recv().await.as_deref(), Some("pr-1"));
}

#[tokio::test]
async fn thirty_pull_requests_of_one_repository_do_not_ask_for_thirty_archives() {
    let data = tempfile::tempdir().expect("a temporary folder");
    let builder = builder(data.path());
    let (asked, mut asks) = mpsc::unbounded_channel();
    for number in 1..=30 {
        let name = format!("pr-{number}");
        let told = builder.unpack(&stage(&name), &sha("a"), never(&asked, &name)).await;
        assert!(matches!(told, Ok(Progress::Pending { .. })), "{told:?}");
    }
    let other = StageId { repo: "acme/docs".parse().expect("a name"), ..stage("pr-1") };
    builder.unpack(&other, &sha("a"), never(&asked, "another's")).await.expect("an answer");
    let mut first = Vec::new();
    while first.last().is_none_or(|last| last != "another's") {
        first.push(asks.recv().await.expect("it is asked for"));
    }
    assert_eq!(first, ["pr-1", "pr-2", "another's"]);
    // Its stage goes: the next one's turn.
    builder.cancel(&stage("pr-1")).await.expect("cancelled");
    assert_eq!(asks.recv().await.as_deref(), Some("pr-3"));
}

#[tokio::test(flavor = "multi_thread")]
async fn tidying_one_stage_leaves_the_others() {
    let data = tempfile::tempdir().expect("a temporary folder");
    let builder = builder(data.path());
    for name in ["pr-1", "pr-2"] {
        arrived(&builder, &stage(name), &sha("a"), archive(&[("f", name)])).await.expect("a source");
    }
    builder.tidy(&stage("pr-1")).await.expect("tidied");
    builder.tidy(&stage("pr-1")).await.expect("absent is success");
    builder.forget(&stage("pr-1")).await.expect("absent is success");
    assert_eq!(builder.source(&stage("pr-1"), &sha("a")).await.expect("an answer"), None);
    assert!(builder.source(&stage("pr-2"), &sha("a")).await.expect("an answer").is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_runs_from_its_source_and_is_known_by_its_content() {
    let data = tempfile::tempdir().expect("a temporary folder");
    let builder = builder(data.path());
    let (stage, service) = (stage("pr-1"), process());
    let mut digests = Vec::new();
    for (digit, text) in [("a", "one"), ("b", "two"), ("c", "one")] {
        let sha = sha(digit);
        let source = arrived(&builder, &stage, &sha, archive(&[("app.py", text)])).await.expect("a source");
        // A program that runs there writes beside its code.
        fs::write(Path::new(&source).join("app.pyc"), digit).expect("a file");
        let job = BuildJob {
            stage: &stage,
            place: &crate::model::Place::default(),
            sha: &sha,
            trust: crate::model::Trust::Preview,
            service: &service,
            generation: crate::model::Generation(1),
            builds: &crate::model::Builds::default(),
            source: Some(&source),
        };
        let Output::Built(artifact) = finished(&builder, &job).await.expect("an artifact") else { panic!("not built") };
        assert_eq!(artifact.reference, source);
        assert!(artifact.digest.starts_with("sha256:") && artifact.digest.len() == 71, "{}", artifact.digest);
        builder.remove(&artifact).await.expect("a source is no image");
        digests.push(artifact.digest);
    }
    assert_eq!(digests[0], digests[2], "the same content");
    assert_ne!(digests[0], digests[1], "another content");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_that_is_gone_is_not_built() {
    let data = tempfile::tempdir().expect("a temporary folder");
    let (stage, sha, service) = (stage("pr-1"), sha("a"), process());
    let gone = data.path().join("gone").display().to_string();
    let job = BuildJob {
        stage: &stage,
        place: &crate::model::Place::default(),
        sha: &sha,
        trust: crate::model::Trust::Preview,
        service: &service,
        generation: crate::model::Generation(1),
        builds: &crate::model::Builds::default(),
        source: Some(&gone),
    };
    let asked = builder(data.path()).ensure(&job).await;
    assert!(matches!(asked, Err(PortError::NotFound { .. })), "{asked:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_docker_an_image_fails_and_says_how_to_get_it() {
    let data = tempfile::tempdir().expect("a temporary folder");
    let builder = builder(data.path());
    let (stage, sha) = (stage("pr-1"), sha("a"));
    let service = service(&Runtime::Image(crate::model::ImageSpec {
        context: ".".into(),
        dockerfile: "Dockerfile".into(),
        target: None,
        platform: None,
        args: std::collections::BTreeMap::new(),
    }));
    let source = arrived(&builder, &stage, &sha, archive(&[("Dockerfile", "FROM scratch")])).await.expect("a source");
    let job = BuildJob {
        stage: &stage,
        place: &crate::model::Place::default(),
        sha: &sha,
        trust: crate::model::Trust::Preview,
        service: &service,
        generation: crate::model::Generation(1),
        builds: &crate::model::Builds::default(),
        source: Some(&source),
    };
    match finished(&builder, &job).await {
        Err(PortError::Failed(failure)) => {
            assert_eq!(failure.kind, FailureKind::Environment);
            assert!(failure.summary.contains("`no-such-docker` cannot be run"), "{}", failure.summary);
            assert!(failure.advice.contains("local.command"), "{}", failure.advice);
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(builder.log(&stage, &service, 10).await.expect("a log"), Vec::<String>::new());
}
